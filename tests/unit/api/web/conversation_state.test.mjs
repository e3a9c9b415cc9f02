// What is known of a conversation, whatever order it is heard in.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EMPTY, lastTurn, liveReplies, notThere, reduce, turnsAhead, turnsOf } from "../../../../api/web/chat/conversation_state.js";

const MESSAGE = { id: "msg_1", turn: 1, role: "user", content: "Hello", reply_id: null };

function replyOf(changes = {}) {
  return {
    ...{ id: "reply_1", turn: 1, candidate: 1, status: "queued", content: "", selected: false, attempt: 0 },
    ...changes,
  };
}

function conversationOf(changes = {}) {
  return { id: "conv_1", title: "Tea", messages: [MESSAGE], live_replies: [], previous_messages: null, ...changes };
}

/** The state after all of these, each an action or `[kind, data]` of the stream. */
function after(...steps) {
  return steps.reduce(
    (state, step) => reduce(state, Array.isArray(step) ? { type: "event", kind: step[0], data: step[1] } : step),
    EMPTY,
  );
}

const OPENED = { type: "snapshot", conversation: conversationOf({ live_replies: [replyOf()] }) };
const STARTED = ["reply.started", { reply_id: "reply_1", attempt: 1 }];
const delta = (text) => ["reply.delta", { reply_id: "reply_1", text }];

test("an answer grows and ends", () => {
  const growing = after(OPENED, STARTED, delta("Hel"), delta("lo"));
  assert.equal(turnsOf(growing)[0].replies[0].content, "Hello");
  const done = replyOf({ status: "completed", content: "Hello!", selected: true });
  const state = after(OPENED, STARTED, delta("Hel"), ["reply.completed", { reply: done }]);
  assert.deepEqual(turnsOf(state)[0].chosen, done);
  assert.deepEqual(liveReplies(state), []);
});

test("another try drops the text", () => {
  const state = after(OPENED, STARTED, delta("Hel"), ["reply.restarted", { reply_id: "reply_1", attempt: 2 }], delta("Good"));
  assert.equal(state.replies.reply_1.content, "Good");
  assert.equal(state.replies.reply_1.attempt, 2);
});

test("a snapshot replaces what was shown", () => {
  const again = conversationOf({ live_replies: [replyOf({ status: "in_progress", content: "Hello, A" })] });
  const state = after(OPENED, STARTED, delta("Hel"), ["snapshot", { conversation: again }], delta("da"));
  assert.equal(state.replies.reply_1.content, "Hello, Ada");
});

test("an answer to a request that is older than the stream takes nothing back", () => {
  const turn = { turn: 1, message: MESSAGE, replies: [replyOf()] };
  const live = after(OPENED, STARTED, delta("Hel"), { type: "turn", turn });
  assert.equal(live.replies.reply_1.content, "Hel");
  assert.equal(live.replies.reply_1.status, "in_progress");
  const done = replyOf({ status: "completed", content: "Hello!" });
  const ended = after(OPENED, ["reply.completed", { reply: done }], { type: "turn", turn });
  assert.equal(ended.replies.reply_1.status, "completed");
});

test("a request that is newer than the stream is not overtaken by it", () => {
  const done = replyOf({ status: "completed", content: "Hello!" });
  const state = after(OPENED, { type: "replies", replies: [done] }, STARTED, delta("Hel"));
  assert.equal(state.replies.reply_1.content, "Hello!");
});

test("a reply that is tried again lives again", () => {
  const failed = replyOf({ status: "failed", error: { code: "rate_limited" } });
  const state = after(OPENED, ["reply.failed", { reply: failed }], ["reply.queued", { reply_id: "reply_1" }], STARTED, delta("Hi"));
  assert.equal(state.replies.reply_1.content, "Hi");
  assert.equal(state.replies.reply_1.error, null);
});

test("what is heard of a reply before its turn is known is kept", () => {
  const other = ["reply.delta", { reply_id: "reply_2", text: "Hey" }];
  const unknown = after(OPENED, other);
  assert.equal(turnsOf(unknown)[0].replies.length, 1);
  const found = replyOf({ id: "reply_2", candidate: 2, status: "in_progress", content: "" });
  const [turn] = turnsOf(after(OPENED, other, { type: "replies", replies: [found] }));
  assert.deepEqual(
    turn.replies.map((reply) => reply.content),
    ["", "Hey"],
  );
});

test("of a turn's answers one is chosen", () => {
  const first = replyOf({ status: "completed", selected: true });
  const second = replyOf({ id: "reply_2", candidate: 2, status: "completed", selected: true });
  const state = after(OPENED, { type: "replies", replies: [first] }, ["reply.completed", { reply: second }]);
  assert.equal(turnsOf(state)[0].chosen.id, "reply_2");
  assert.equal(state.replies.reply_1.selected, false);
  assert.equal(turnsOf(after(OPENED, { type: "replies", replies: [first, second] }, ["reply.selected", { reply_id: "reply_1" }]))[0].chosen.id, "reply_1");
});

test("turns that are still to end are ahead of later ones", () => {
  const replies = [1, 2, 2, 3].map((turn, index) => replyOf({ id: `reply_${index}`, turn }));
  const state = after(OPENED, { type: "left" }, { type: "replies", replies });
  assert.equal(turnsAhead(state, replies[3]), 2);
  assert.equal(turnsAhead(state, replies[0]), 0);
});

test("an old answer is shown from its message alone", () => {
  const said = { id: "msg_2", turn: 1, role: "assistant", content: "Hi", reply_id: "reply_9" };
  const [turn] = turnsOf(after({ type: "snapshot", conversation: conversationOf({ messages: [MESSAGE, said] }) }));
  assert.equal(turn.chosen.content, "Hi");
  assert.deepEqual(turn.said, [MESSAGE]);
});

test("an answer that was made elsewhere is an answer", () => {
  const said = { id: "msg_2", turn: 1, role: "assistant", content: "Hi", reply_id: null };
  const [turn] = turnsOf(after({ type: "snapshot", conversation: conversationOf({ messages: [said] }) }));
  assert.deepEqual([turn.said, turn.replies[0].content], [[], "Hi"]);
});

test("a message that the stream has told is no longer on its way", () => {
  const opened = after(OPENED);
  const sent = { text: "Hello", after: lastTurn(opened) };
  const other = { text: "Hello", after: lastTurn(opened) };
  assert.deepEqual(notThere(opened, [sent, other]), [sent, other]);
  const state = after(OPENED, ["message.created", { message: { ...MESSAGE, id: "msg_2", turn: 2 } }]);
  assert.deepEqual(notThere(state, [sent, other]), [other]);
});
