// How long to wait before the next try.

const FIRST_MS = 300;
const LONGEST_MS = 8000;

/** Milliseconds before try number `failures` + 1: growing, spread out, and never sooner than the server asks for. */
export function delayMs(failures, { retryAfterSeconds = null, random = Math.random } = {}) {
  const grown = Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));
  return Math.max(grown * (0.5 + random() / 2), (retryAfterSeconds ?? 0) * 1000);
}

/**
 * Resolves after so long, or as soon as the network is back or `signal` says to stop.
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
