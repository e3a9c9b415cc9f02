// What a reply waits for, in words.

import assert from "node:assert/strict";
import { test } from "node:test";

import { delayMs } from "../../../../api/web/base/backoff.js";
import { cutAtWords, endWords, waitingWords } from "../../../../api/web/chat/words.js";

const NOW = Date.parse("2026-01-31T12:00:00.000Z");
const QUEUED = { status: "queued", content: "", queue: { next_attempt_at: null } };

function words(reply, context = {}) {
  return waitingWords({ ...QUEUED, ...reply }, { ahead: 0, now: NOW, ...context });
}

test("what a live reply waits for", () => {
  assert.equal(words({}), "Waiting for a worker");
  assert.equal(words({}, { ahead: 1 }), "1 turn ahead");
  assert.equal(words({}, { ahead: 2 }), "2 turns ahead");
  const queue = { next_attempt_at: "2026-01-31T12:00:03.200Z" };
  assert.equal(words({ queue }, { reason: "rate_limited" }), "Retrying in 4 s: the model is rate limited");
  assert.equal(words({ queue }), "Retrying in 4 s");
  assert.equal(words({ queue }, { now: NOW + 5000 }), "Waiting for a worker");
  assert.equal(words({ status: "in_progress", attempt: 1 }), "Thinking…");
  assert.equal(words({ status: "in_progress", attempt: 2 }), "Thinking… (try 2)");
  assert.equal(words({ status: "in_progress", content: "Hi" }), null);
  assert.equal(words({ status: "in_progress", content: "Hi", stop_requested: "cancel" }), "Stopping…");
});

test("why an answer is not whole", () => {
  assert.equal(endWords({ status: "completed" }), null);
  assert.match(endWords({ status: "cancelled" }), /^Stopped/);
  assert.match(endWords({ status: "incomplete", incomplete_reason: "max_output_tokens" }), /longest length/);
});

test("tries come less and less often, and never before the server wants them", () => {
  const random = () => 1;
  assert.deepEqual(
    [1, 2, 3, 9].map((failures) => delayMs(failures, { random })),
    [300, 600, 1200, 8000],
  );
  assert.equal(delayMs(1, { retryAfterSeconds: 5, random }), 5000);
});

test("the words of a search are found in any case, whatever they are made of", () => {
  assert.deepEqual(cutAtWords("Ärger in C++ (and c+)", "c+ ärger C++"), ["", "Ärger", " in ", "C++", " (and ", "c+", ")"]);
  assert.deepEqual(cutAtWords("[a].*|\\d{2}^$/?", "[a].*|\\d{2}^$/?"), ["", "[a].*|\\d{2}^$/?", ""]);
  assert.deepEqual(cutAtWords("all of it", "  "), ["all of it"]);
});
