// Asking again and again, for as long as somebody looks.

import { delayMs, pause } from "../base/backoff.js";

const EVERY_MS = 3000;

/**
 * Calls `read()` every few seconds while the page is in sight. When that fails, `onFailure(error)` hears of it, and the
 * next time comes later and later. Returns a function that asks for the next time to be now.
 */
export function poll(read, { onFailure }) {
  let wake = new AbortController();

  async function run() {
    let failures = 0;
    for (;;) {
      await untilVisible();
      wake = new AbortController();
      let wait = EVERY_MS;
      try {
        await read();
        failures = 0;
      } catch (error) {
        failures += 1;
        onFailure(error);
        wait = Math.max(EVERY_MS / 3, delayMs(failures, { retryAfterSeconds: error.retryAfterSeconds }));
      }
      await pause(wait, wake.signal);
    }
  }

  run();
  return () => wake.abort();
}

function untilVisible() {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
  });
}
