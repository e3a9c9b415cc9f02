// What the operations page knows, and says of it.

import assert from "node:assert/strict";
import test from "node:test";

import { reduce, UNKNOWN } from "../../../../api/web/ops/operations_state.js";
import { beatWords, durationWords, failureWords, liveWords, spreadWords } from "../../../../api/web/ops/words.js";

const NOW = Date.parse("2026-01-31T12:00:00.000Z");
const worker = { id: "worker_1", role: "worker", is_beating: true, seconds_since_beat: 0 };
const reply = { id: "reply_1", status: "failed", attempt: 1 };
const heard = (more = {}) => ({
  kind: "heard",
  operations: { live: [], failed: [] },
  health: { status: "ready" },
  processes: [worker],
  now: NOW,
  ...more,
});

test("a process that is listed no more is shown as gone for a while", () => {
  let state = reduce(UNKNOWN, heard());
  state = reduce(state, heard({ processes: [] }));
  state = reduce(state, heard({ processes: [], now: NOW + 20_000 }));
  assert.deepEqual(state.processes, [{ ...worker, goneAt: NOW }]);
  assert.equal(beatWords(state.processes[0], NOW + 20_000), "Gone for 20 s");
  assert.deepEqual(reduce(state, heard({ processes: [], now: NOW + 700_000 })).processes, []);
});

test("what was asked for is pending until the reply is seen to have moved", () => {
  const failed = { live: [], failed: [reply] };
  let state = reduce(UNKNOWN, heard({ operations: failed }));
  state = reduce(state, { kind: "asked", id: reply.id, what: "retry" });
  state = reduce(state, heard({ operations: failed }));
  assert.deepEqual(state.asked, { reply_1: "retry" });
  assert.deepEqual(reduce(state, { kind: "refused", id: reply.id }).asked, {});
  state = reduce(state, heard({ operations: { live: [{ ...reply, status: "queued" }], failed: [] } }));
  assert.deepEqual(state.asked, {});
});

test("while the server is away, what it said last stays", () => {
  const state = reduce(reduce(UNKNOWN, heard()), { kind: "away", problem: "The server cannot be reached.", health: null });
  assert.equal(state.health.status, "ready");
  assert.equal(state.problem, "The server cannot be reached.");
  assert.equal(reduce(state, heard()).problem, null);
});

test("durations read well from milliseconds to days", () => {
  const words = [0.0004, 0.34, 1.24, 9.96, 59.6, 200, 7500, 90_000].map(durationWords);
  assert.deepEqual(words, ["0 ms", "340 ms", "1.2 s", "10 s", "1 min", "3 min 20 s", "2 h 5 min", "1 d 1 h"]);
});

test("a live reply says what it waits for", () => {
  const queued = { ...reply, status: "queued", stop_requested: null, created_at: "2026-01-31T11:59:50.000Z" };
  const waiting = (queue) => liveWords({ ...queued, queue }, NOW);
  assert.equal(waiting({ waiting_for: "turn", turns_ahead: 2 }), "Waits for 2 earlier turns, 10 s so far");
  assert.equal(waiting({ waiting_for: "worker" }), "Waits for a worker, 10 s so far");
  const at = "2026-01-31T12:00:04.000Z";
  assert.equal(waiting({ waiting_for: "retry", next_attempt_at: at }), "Waits for try 2, in 4 s");
});

test("a chart has its words", () => {
  assert.equal(spreadWords(null), "Nothing to measure.");
  assert.equal(spreadWords({ p50: 0.02, p95: 1.5 }), "Half within 20 ms, 95 of 100 within 1.5 s.");
  const none = { ended: { failed: 0 }, attempt_failures: {} };
  assert.equal(failureWords(none), "Nothing failed.");
  const some = { ended: { failed: 1 }, attempt_failures: { rate_limited: 3 } };
  assert.equal(failureWords(some), "1 reply and 3 tries: 3 rate limited.");
});
