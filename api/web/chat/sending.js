// Requests that make something. Each has a key of its own and is repeated until there is an answer: whatever gets lost on
// the way, nothing is asked twice. What is under way outlives a reload of the tab.

import { call } from "../base/api.js";
import { delayMs, pause } from "../base/backoff.js";
import { ofTab } from "../base/storage.js";

/** @typedef {import("../base/api.js").ApiError} ApiError */

const NAME = "under-way";

/** A request to send: `about` is for whoever finds it after a reload. */
export function newRequest(path, body, about = {}) {
  return { key: newKey(), path, body, about };
}

/**
 * Sends it until there is an answer. `onTrouble(error)` hears why it takes longer.
 * @param {{key: string, path: string, body: unknown, about: object}} request
 * @param {{onTrouble?: (error: ApiError) => void}} [options]
 * @throws {ApiError} when it was refused; nothing was made then.
 */
export async function post(request, { onTrouble } = {}) {
  remember(request);
  const headers = { "Idempotency-Key": request.key };
  try {
    return await answered(() => call("POST", request.path, { body: request.body, headers }), { onTrouble });
  } finally {
    forget(request);
  }
}

/**
 * What `attempt` resolves to, tried until it does: for what may be done twice, or has an Idempotency-Key.
 * @param {() => Promise<any>} attempt
 * @param {{onTrouble?: (error: ApiError) => void}} [options]
 * @throws {ApiError} when it was refused.
 */
export async function answered(attempt, { onTrouble = () => {} } = {}) {
  for (let failures = 1; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      // A full queue is for whoever asks to judge.
      if (!error.isPassing || error.code === "queue_full") throw error;
      onTrouble(error);
      await pause(delayMs(failures, error));
    }
  }
}

/** What this tab was sending when it was reloaded. */
export function leftUnderWay() {
  return Object.values(underWay());
}

function underWay() {
  try {
    return JSON.parse(ofTab.get(NAME) ?? "{}");
  } catch {
    return {};
  }
}

function remember(request) {
  ofTab.set(NAME, JSON.stringify({ ...underWay(), [request.key]: request }));
}

function forget(request) {
  const { [request.key]: _done, ...others } = underWay();
  ofTab.set(NAME, JSON.stringify(others));
}

// crypto.randomUUID is only there on secure origins, and a server at home may be none.
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
