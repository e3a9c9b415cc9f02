// Listening to a stream of events for as long as it lasts, whatever happens to the connection.
//
// By fetch rather than EventSource, which cannot send a key.

import { send } from "./api.js";
import { delayMs, pause } from "./backoff.js";
import { EventStreamParser } from "./event_stream.js";

// The server says something every 15 seconds. A connection that is silent for longer than this is dead.
const SILENCE_MS = 40_000;

/**
 * Tells `onEvent({kind, data})` each event, data as parsed JSON, and `onState("open" | "waiting")` how the connection is.
 * Resumes with Last-Event-ID where the events have ids. Resolves when the server says that there is nothing more (204).
 * @param {string} path
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {(event: {kind: string, data: any}) => void} options.onEvent
 * @param {(state: "open" | "waiting") => void} [options.onState]
 * @throws {ApiError} when trying again would not help, such as 404.
 */
export async function listen(path, { signal, onEvent, onState = () => {} }) {
  let lastEventId = "";
  let failures = 0;
  while (!signal.aborted) {
    let retryAfterSeconds = null;
    try {
      const response = await send("GET", path, {
        signal,
        headers: { Accept: "text/event-stream", ...(lastEventId ? { "Last-Event-ID": lastEventId } : {}) },
      });
      if (response.status === 204) return;
      onState("open");
      await read(response, signal, (event) => {
        failures = 0;
        lastEventId = event.id;
        onEvent({ kind: event.kind, data: JSON.parse(event.data) });
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.status !== undefined && !error.isPassing) throw error;
      retryAfterSeconds = error.retryAfterSeconds ?? null;
    }
    if (signal.aborted) return;
    failures += 1;
    onState("waiting");
    await pause(delayMs(failures, { retryAfterSeconds }), signal);
  }
}

async function read(response, signal, onEvent) {
  const parser = new EventStreamParser();
  const reader = response.body.pipeThrough(new TextDecoderStream("utf-8", { ignoreBOM: true })).getReader();
  const stop = () => reader.cancel().catch(() => {});
  signal.addEventListener("abort", stop);
  let watchdog;
  try {
    for (;;) {
      watchdog = setTimeout(stop, SILENCE_MS);
      const { done, value } = await reader.read();
      clearTimeout(watchdog);
      if (done || signal.aborted) return;
      for (const event of parser.push(value)) onEvent(event);
    }
  } finally {
    clearTimeout(watchdog);
    signal.removeEventListener("abort", stop);
  }
}
