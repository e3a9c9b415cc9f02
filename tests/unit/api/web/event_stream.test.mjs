// Reading server-sent events, wherever the network cuts them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EventStreamParser } from "../../../../api/web/base/event_stream.js";

const STREAM =
  "\uFEFF: hello\n" +
  "id: 1-1\r\nevent: reply.delta\r\ndata: {\"text\":\"a\"}\r\n\r\n" +
  ": ping\n" +
  "event: two\ndata: one\ndata: two\n\n" +
  "data:without a space\rid: 2-0\r\r" +
  "event: nothing\n\n" +
  "data: a: b\nretry: 10\nunknown\n\n" +
  "data: never completed";

const EVENTS = [
  { kind: "reply.delta", data: '{"text":"a"}', id: "1-1" },
  { kind: "two", data: "one\ntwo", id: "1-1" },
  { kind: "message", data: "without a space", id: "2-0" },
  { kind: "message", data: "a: b", id: "2-0" },
];

test("a stream in one piece", () => {
  assert.deepEqual(new EventStreamParser().push(STREAM), EVENTS);
});

test("a stream cut anywhere is the same stream", () => {
  for (let size = 1; size < 30; size += 1) {
    const parser = new EventStreamParser();
    const events = [];
    for (let at = 0; at < STREAM.length; at += size) events.push(...parser.push(STREAM.slice(at, at + size)));
    assert.deepEqual(events, EVENTS, `in pieces of ${size}`);
    assert.equal(parser.lastEventId, "2-0");
  }
});
