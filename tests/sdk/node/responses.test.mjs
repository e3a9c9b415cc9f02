// A script for OpenAI's service, in parts: responses in the background, their streams, and chains of them.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { all, counted, FAST, failure, finished, SLOW } from "./client.mjs";

const client = new OpenAI();
const ENDS = ["response.completed", "response.failed", "response.incomplete"];

test("a response that is asked for is answered", async () => {
  const response = await client.responses.create({ model: FAST, input: "What is 12 * 7?" });
  assert.equal(response.status, "completed");
  assert.match(response.output_text, /^12 \* 7 is 84\./);
  assert.equal(response.usage.total_tokens, response.usage.input_tokens + response.usage.output_tokens);
  assert.ok(response._request_id);
});

test("one in the background is polled to its end", async () => {
  const response = await client.responses.create({ model: "demo-500ms", input: "What is 12 * 7?", background: true });
  assert.ok(["queued", "in_progress"].includes(response.status));
  assert.equal(response.background, true);
  const ended = await finished(client, response);
  assert.equal(ended.status, "completed");
  assert.match(ended.output_text, /^12 \* 7 is 84\./);
});

test("a stream that breaks off resumes behind the last event that was seen", async () => {
  const stream = await client.responses.create({
    model: SLOW, input: "Hello, I am Ada", background: true, stream: true,
  });
  const seen = [];
  for await (const event of stream) {
    seen.push(event);
    if (seen.filter((each) => each.type === "response.output_text.delta").length === 3) break;
  }
  const id = seen[0].response.id;
  const rest = await all(
    await client.responses.retrieve(id, { stream: true, starting_after: seen.at(-1).sequence_number }),
  );
  const events = [...seen, ...rest];
  assert.deepEqual(events.map((each) => each.sequence_number), [...events.keys()]);
  assert.deepEqual(events.slice(0, 3).map((each) => each.type), [
    "response.created", "response.queued", "response.in_progress",
  ]);
  const text = events.filter((each) => each.type === "response.output_text.delta").map((each) => each.delta).join("");
  const ended = events.at(-1);
  assert.equal(ended.type, "response.completed");
  assert.equal(ended.response.output[0].content[0].text, text);
  assert.equal((await client.responses.retrieve(id)).output_text, text);
});

test("a response that was created without a stream has one, also after its end", async () => {
  const response = await client.responses.create({ model: FAST, input: "What is 2 + 2?" });
  const events = await all(await client.responses.retrieve(response.id, { stream: true }));
  assert.equal(events[0].type, "response.created");
  assert.equal(events.at(-1).response.output[0].content[0].text, response.output_text);
});

test("one in the background is cancelled, and its stream ends", async () => {
  const response = await client.responses.create({ model: "demo-drip", input: "Wait", background: true });
  const events = all(await client.responses.retrieve(response.id, { stream: true }));
  const cancelled = await client.responses.cancel(response.id);
  assert.equal(cancelled.status, "cancelled");
  assert.equal((await events).filter((each) => ENDS.includes(each.type)).length, 0);
  assert.equal((await client.responses.retrieve(response.id)).status, "cancelled");
});

test("a response follows another by its id, and one that is not the last as well", async () => {
  const first = await client.responses.create({ model: FAST, input: "Hello, I am Ada" });
  const second = await client.responses.create({
    model: FAST, input: "What is my name?", previous_response_id: first.id,
  });
  assert.equal(second.previous_response_id, first.id);
  assert.match(second.output_text, /^Your name is Ada\. This is our second exchange\./);
  const beside = await client.responses.create({
    model: FAST, input: "What is my name?", previous_response_id: first.id,
  });
  assert.match(beside.output_text, /second exchange/);
});

test("what was said to get a response is listed, page by page", async () => {
  const input = ["one", "two", "three"].map((content) => ({ role: "user", content }));
  const response = await client.responses.create({ model: "demo-echo", input });
  assert.equal(response.output_text, "three");
  const items = await all(client.responses.inputItems.list(response.id, { limit: 1, order: "asc" }));
  assert.deepEqual(items.map((each) => each.content[0].text), ["one", "two", "three"]);
});

test("a deleted response is not found", async () => {
  const response = await client.responses.create({ model: FAST, input: "Hello" });
  await client.responses.delete(response.id);
  assert.ok((await failure(client.responses.retrieve(response.id))) instanceof OpenAI.NotFoundError);
});

test("the helper for streams puts the whole response together", async () => {
  const deltas = [];
  const stream = client.responses
    .stream({ model: FAST, input: "What is 12 * 7?" })
    .on("response.output_text.delta", (event) => deltas.push(event.delta));
  const response = await stream.finalResponse();
  assert.equal(response.status, "completed");
  assert.match(response.output_text, /^12 \* 7 is 84\./);
  assert.equal(deltas.join(""), response.output_text);
});

test("the helper for streams resumes a response by its id", async () => {
  const response = await client.responses.create({ model: SLOW, input: "Hello, I am Ada", background: true });
  const stream = client.responses.stream({ response_id: response.id, starting_after: 5 });
  const numbers = [];
  for await (const event of stream) numbers.push(event.sequence_number);
  assert.equal(numbers[0], 6);
  assert.equal((await stream.finalResponse()).output_text, (await client.responses.retrieve(response.id)).output_text);
});

test("the text is parsed where it was to be JSON", async () => {
  const schema = { type: "object", properties: { a: { type: "number" } }, required: ["a"], additionalProperties: false };
  const response = await client.responses.parse({
    model: "demo-echo", input: '{"a": 1}', text: { format: { type: "json_schema", name: "letters", schema, strict: true } },
  });
  assert.deepEqual(response.output_parsed, { a: 1 });
});

test("a response that fails says so with a code that the SDK knows", async () => {
  const response = await client.responses.create({ model: "demo-fail-404", input: "Hello" });
  assert.equal(response.status, "failed");
  assert.equal(response.error.code, "invalid_prompt");
});

test("a response that is cut off says why", async () => {
  const response = await client.responses.create({ model: FAST, input: "Hello, I am Ada", max_output_tokens: 16 });
  assert.equal(response.status, "incomplete");
  assert.equal(response.incomplete_details.reason, "max_output_tokens");
});

test("a request that is sent again after its answer was lost makes nothing new", async () => {
  const lost = [];
  const forgetful = new OpenAI({
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      lost.push((await answer.clone().json()).id);
      if (lost.length === 1) throw new TypeError("the connection broke");
      return answer;
    },
  });
  const asked = { model: FAST, input: "Hello", background: true };
  const response = await forgetful.responses.create(asked, { headers: { "Idempotency-Key": crypto.randomUUID() } });
  assert.deepEqual(lost, [response.id, response.id]);
});

test("what is refused for good is sent once", async () => {
  const { client: counting, sent } = counted();
  const tools = [{ type: "web_search" }];
  const error = await failure(counting.responses.create({ model: FAST, input: "Hello", tools }));
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.deepEqual([error.status, error.param, error.code], [400, "tools", "unsupported_parameter"]);
  assert.equal(error.type, "invalid_request_error");
  assert.ok(error.requestID);
  assert.deepEqual(sent, ["POST /v1/responses"]);
});

test("a response that nobody made is not found", async () => {
  const error = await failure(client.responses.retrieve("resp_01jd0000000000000000000000"));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.equal(error.status, 404);
});

test("one that was not made in the background cannot be cancelled after its end", async () => {
  const response = await client.responses.create({ model: FAST, input: "Hello" });
  const error = await failure(client.responses.cancel(response.id));
  assert.ok(error instanceof OpenAI.BadRequestError);
  assert.match(error.message, /Cannot cancel a synchronous response\./);
});

test("a live response that is not in the background is cancelled, too", async () => {
  const stream = await client.responses.create({ model: "demo-drip", input: "Wait", stream: true });
  for await (const event of stream) {
    if (event.type === "response.created") assert.equal((await client.responses.cancel(event.response.id)).status, "cancelled");
    else assert.ok(!ENDS.includes(event.type));
  }
});

test("the helper for streams takes an answer that had to be begun anew", async () => {
  const input = `Hello, I am Ada ${crypto.randomUUID()}`;
  const stream = client.responses.stream({ model: "demo-reset-once", input, background: true });
  const done = [];
  stream.on("response.output_item.done", (event) => done.push(event.item.status));
  const response = await stream.finalResponse();
  assert.deepEqual(done, ["incomplete", "completed"]);
  assert.equal(response.output_text, (await client.responses.retrieve(response.id)).output_text);
});

test("the helper for streams takes an answer that was cut off", async () => {
  const stream = client.responses.stream({ model: FAST, input: "Hello, I am Ada", max_output_tokens: 16 });
  const response = await stream.finalResponse();
  assert.equal(response.status, "incomplete");
  assert.ok(response.output_text);
});

test("the helper for streams tells of a response that failed", async () => {
  const stream = client.responses.stream({ model: "demo-fail-404", input: "Hello" });
  const response = await stream.finalResponse();
  assert.equal(response.status, "failed");
  assert.equal(response.error.code, "invalid_prompt");
});

test("what a response said is said again by a client that keeps the history itself", async () => {
  const input = [{ role: "user", content: [{ type: "input_text", text: "Hello, I am Ada" }] }];
  const first = await client.responses.create({ model: FAST, input, store: false });
  input.push(...first.output, { role: "user", content: "What is my name?" });
  const second = await client.responses.create({
    model: FAST, input, store: false, include: ["reasoning.encrypted_content"],
  });
  assert.match(second.output_text, /^Your name is Ada\. This is our second exchange\./);
  assert.ok((await failure(client.responses.retrieve(second.id))) instanceof OpenAI.NotFoundError);
});

test("a stream that is asked for again with its key is the same stream", async () => {
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  const ask = async () =>
    await all(await client.responses.create({ model: "demo-500ms", input: "Hello", stream: true }, { headers }));
  assert.deepEqual(await ask(), await ask());
});

test("instructions hold for their own response only", async () => {
  const first = await client.responses.create({
    model: "demo-transcript", input: "Hello", instructions: "Speak like a pirate.",
  });
  assert.match(first.output_text, /pirate/);
  const second = await client.responses.create({
    model: "demo-transcript", input: [{ role: "developer", content: "Be brief." }, { role: "user", content: "Hello" }],
    conversation: (await client.conversations.create()).id,
  });
  assert.deepEqual(JSON.parse(second.output_text).map((each) => each.role), ["system", "user"]);
  const third = await client.responses.create({
    model: "demo-transcript", input: "And now?", previous_response_id: first.id,
  });
  assert.notEqual(JSON.parse(third.output_text)[0].role, "system");
});
