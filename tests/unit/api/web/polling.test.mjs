// Asking again and again, for as long as somebody looks.

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { poll } from "../../../../api/web/ops/polling.js";

const LONG_MS = 60_000;
let asked;
let answer;
let failures;

/** All that has been promised by now has come about. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function pass(milliseconds) {
  mock.timers.tick(milliseconds);
  await settled();
}

function look(isLooking) {
  document.hidden = !isLooking;
  document.dispatchEvent(new Event("visibilitychange"));
  return settled();
}

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  globalThis.document = Object.assign(new EventTarget(), { hidden: false });
  const network = new EventTarget();
  globalThis.addEventListener = network.addEventListener.bind(network);
  globalThis.removeEventListener = network.removeEventListener.bind(network);
  asked = 0;
  failures = [];
  answer = async () => {};
});

function start() {
  const readSoon = poll(
    () => {
      asked += 1;
      return answer();
    },
    { onFailure: (error) => failures.push(error.message) },
  );
  return settled().then(() => readSoon);
}

test("it asks every few seconds, and sooner when it is told to", async () => {
  const readSoon = await start();
  assert.equal(asked, 1);
  await pass(2900);
  assert.equal(asked, 1);
  await pass(100);
  assert.equal(asked, 2);
  readSoon();
  await settled();
  assert.equal(asked, 3);
});

test("it asks for nothing while nobody looks, and at once when somebody does again", async () => {
  await start();
  await look(false);
  for (let turn = 0; turn < 5; turn += 1) await pass(LONG_MS);
  assert.equal(asked, 1);
  await look(true);
  assert.equal(asked, 2);
});

test("it says so when the server is away, and asks later and later", async () => {
  answer = async () => {
    throw new Error("away");
  };
  await start();
  assert.deepEqual(failures, ["away"]);
  for (let turn = 0; turn < 10; turn += 1) await pass(LONG_MS);
  const before = asked;
  await pass(3900);
  assert.equal(asked, before, "by now at least four seconds lie between two times");
  answer = async () => {};
  await pass(LONG_MS);
  await pass(3000);
  assert.equal(asked, before + 2);
  assert.equal(failures.length, before);
});

test("it waits for as long as the server asks for", async () => {
  answer = async () => {
    throw Object.assign(new Error("too many"), { retryAfterSeconds: 20 });
  };
  await start();
  await pass(19_900);
  assert.equal(asked, 1);
  await pass(100);
  assert.equal(asked, 2);
});
