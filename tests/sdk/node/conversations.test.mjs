// A script for OpenAI's service: conversations and their items.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { all, FAST, failure, finished } from "./client.mjs";

const client = new OpenAI();
const text = (item) => item.content[0].text;

test("a conversation is made with items, and remembers what is said in it", async () => {
  const items = [{ type: "message", role: "user", content: "Hello, I am Ada" }];
  const conversation = await client.conversations.create({ items, metadata: { topic: "names" } });
  const response = await client.responses.create({
    model: FAST, input: "What is my name?", conversation: conversation.id,
  });
  assert.match(response.output_text, /^Your name is Ada\./);
  assert.equal(response.conversation.id, conversation.id);
  const said = await all(client.conversations.items.list(conversation.id, { order: "asc", limit: 1 }));
  assert.deepEqual(said.map(text), ["Hello, I am Ada", "What is my name?", response.output_text]);
});

test("two that are asked at once are answered in order", async () => {
  const conversation = await client.conversations.create();
  const ask = (input) =>
    client.responses.create({ model: "demo-300ms", input, conversation: conversation.id, background: true });
  const [first, second] = [await ask("Hello, I am Ada"), await ask("What is my name?")];
  assert.match((await finished(client, second)).output_text, /^Your name is Ada\./);
  assert.equal((await client.responses.retrieve(first.id)).status, "completed");
});

test("items are added, fetched, listed backwards and deleted", async () => {
  const conversation = await client.conversations.create();
  const items = ["one", "two"].map((content) => ({ type: "message", role: "user", content }));
  const added = await client.conversations.items.create(conversation.id, { items });
  const [first, second] = added.data;
  const fetched = await client.conversations.items.retrieve(first.id, { conversation_id: conversation.id });
  assert.equal(text(fetched), "one");
  assert.deepEqual((await all(client.conversations.items.list(conversation.id))).map(text), ["two", "one"]);
  const left = await client.conversations.items.delete(second.id, { conversation_id: conversation.id });
  assert.equal(left.id, conversation.id);
  assert.deepEqual((await all(client.conversations.items.list(conversation.id))).map(text), ["one"]);
});

test("a conversation is changed and deleted", async () => {
  const { id } = await client.conversations.create({ metadata: { topic: "names" } });
  const changed = await client.conversations.update(id, { metadata: { topic: "numbers" } });
  assert.deepEqual(changed.metadata, { topic: "numbers" });
  assert.deepEqual((await client.conversations.retrieve(id)).metadata, { topic: "numbers" });
  assert.equal((await client.conversations.delete(id)).deleted, true);
  assert.ok((await failure(client.conversations.retrieve(id))) instanceof OpenAI.NotFoundError);
});
