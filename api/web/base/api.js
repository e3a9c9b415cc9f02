// Requests to this server: JSON in, JSON out, with the key where one is asked for.

import { currentKey } from "./key.js";

/** Why a request was not answered as hoped. `status` is 0 where there was no answer at all. */
export class ApiError extends Error {
  constructor(status, code, detail, { retryAfterSeconds = null, requestId = null } = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfterSeconds = retryAfterSeconds;
    this.requestId = requestId;
  }

  /** Whether the same request may be answered in a moment. */
  get isPassing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

let aheadMs = 0;

/** The server's time in milliseconds, to a second: this machine's clock may be wrong. */
export function serverNow() {
  return Date.now() + aheadMs;
}

/** @type {(refusal: {wasRefused: boolean, detail: string}) => Promise<boolean>} */
let askForKey = async () => false;
let asking = null;

/** `ask` is called when a key is needed or the present one is refused; it resolves to whether there is a new one. */
export function whenLocked(ask) {
  askForKey = ask;
}

/**
 * How to send a request. `keepalive` lets it go on when the page is left.
 * @typedef {{body?: unknown, headers?: Record<string, string>, signal?: AbortSignal, keepalive?: boolean}} Options
 */

/**
 * Sends a request and returns the Response, whose status is below 400.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @throws {ApiError} for any other; an AbortError if `signal` says so.
 */
export async function send(method, path, { body, headers = {}, signal, keepalive = false } = {}) {
  for (;;) {
    const key = currentKey();
    const response = await fetchOnce(method, path, {
      signal,
      keepalive,
      headers: {
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(key ? { Authorization: `Bearer ${key}` } : {}),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.ok) return response;
    const error = await errorOf(response);
    if (error.status !== 401 || !(await newKey(key, error))) throw error;
  }
}

/**
 * The JSON that the server answers with, null if it has none to say.
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function call(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

async function fetchOnce(method, path, options) {
  try {
    const response = await fetch(path, { method, credentials: "omit", redirect: "error", ...options });
    const told = Date.parse(response.headers.get("Date"));
    if (!Number.isNaN(told)) aheadMs = told - Date.now();
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server cannot be reached.");
  }
}

async function errorOf(response) {
  const problem = await response.json().catch(() => ({}));
  const seconds = Number.parseFloat(response.headers.get("Retry-After"));
  // What is said about one value alone: `detail` has its place before it, which is for whoever wrote the request.
  const detail = problem.errors?.[0]?.detail ?? problem.detail;
  return new ApiError(response.status, problem.code ?? "unknown", detail ?? `The server answered ${response.status}.`, {
    retryAfterSeconds: Number.isFinite(seconds) ? seconds : null,
    requestId: problem.request_id ?? null,
  });
}

/** Several requests may be refused at once: whoever uses the page is asked once. */
async function newKey(refused, error) {
  if (currentKey() !== refused) return true;
  asking ??= askForKey({ wasRefused: refused !== "", detail: error.message }).finally(() => (asking = null));
  return asking;
}
