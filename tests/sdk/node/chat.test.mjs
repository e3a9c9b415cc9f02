// A script for OpenAI's service: chat completions and models.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { all, counted, FAST, failure } from "./client.mjs";

const client = new OpenAI();
const messages = [{ role: "user", content: "What is 12 * 7?" }];

test("a completion has all its choices", async () => {
  const completion = await client.chat.completions.create({ model: FAST, messages, n: 2 });
  assert.deepEqual(completion.choices.map((each) => each.index), [0, 1]);
  assert.deepEqual(completion.choices.map((each) => each.finish_reason), ["stop", "stop"]);
  assert.match(completion.choices[0].message.content, /84/);
  assert.ok(completion.usage.total_tokens > 0);
});

test("a completion comes in chunks", async () => {
  const chunks = await all(
    await client.chat.completions.create({
      model: FAST, messages, stream: true, stream_options: { include_usage: true },
    }),
  );
  const text = chunks.map((each) => each.choices[0]?.delta.content ?? "").join("");
  assert.match(text, /^12 \* 7 is 84\./);
  assert.equal(chunks.at(-2).choices[0].finish_reason, "stop");
  assert.ok(chunks.at(-1).usage.total_tokens > 0);
});

test("the helper for streams puts the whole completion together", async () => {
  const stream = client.chat.completions.stream({ model: FAST, messages });
  assert.match(await stream.finalContent(), /^12 \* 7 is 84\./);
  assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, "stop");
});

test("a model that fails is an error, and is not asked again by the client", async () => {
  const { client: counting, sent } = counted();
  const error = await failure(counting.chat.completions.create({ model: "demo-fail-404", messages }));
  assert.ok(error instanceof OpenAI.NotFoundError);
  assert.deepEqual(sent, ["POST /v1/chat/completions"]);
});

test("a stream whose model fails ends with an error", async () => {
  const stream = await client.chat.completions.create({ model: "demo-fail-404", messages, stream: true });
  const error = await failure(all(stream));
  assert.ok(error instanceof OpenAI.APIError);
  assert.ok(error.message);
});

test("models are listed and fetched by their names", async () => {
  const models = await all(client.models.list());
  assert.ok(models.length > 0);
  assert.deepEqual(await client.models.retrieve(models[0].id), models[0]);
  assert.ok((await failure(client.models.retrieve("no-such-model"))) instanceof OpenAI.NotFoundError);
});

test("a stream goes on where the model had to begin anew with the same words", async () => {
  const asked = { messages: [{ role: "user", content: `Hello, I am Ada ${crypto.randomUUID()}` }] };
  const broken = await client.chat.completions.stream({ ...asked, model: "demo-reset-once" }).finalContent();
  const whole = await client.chat.completions.create({ ...asked, model: FAST });
  assert.equal(broken, whole.choices[0].message.content);
});

test("the helper for streams ends with the model's error", async () => {
  const stream = client.chat.completions.stream({ model: "demo-fail-404", messages });
  const error = await failure(stream.finalContent());
  assert.ok(error instanceof OpenAI.APIError);
});
