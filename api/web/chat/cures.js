// What an error code means and what helps, as the server explains it.

import { call } from "../base/api.js";

const known = new Map();

/** `{title, cause, cure}`, or null if there is no explanation to be had. */
export function explained(code) {
  if (!known.has(code)) {
    known.set(
      code,
      call("GET", `/errors/${encodeURIComponent(code)}`).catch(() => {
        known.delete(code);
        return null;
      }),
    );
  }
  return known.get(code);
}
