// The API key, where the server asks for one: kept for this tab, or on this machine if its owner says so.

import { ofBrowser, ofTab } from "./storage.js";

const NAME = "key";
let key = ofTab.get(NAME) ?? ofBrowser.get(NAME) ?? "";

/** The key, or an empty string. */
export function currentKey() {
  return key;
}

/** Uses this key from now on. */
export function useKey(value, { isRemembered }) {
  forgetKey();
  key = value;
  (isRemembered ? ofBrowser : ofTab).set(NAME, value);
}

/** Nobody who comes to this tab or machine finds the key. */
export function forgetKey() {
  key = "";
  ofTab.remove(NAME);
  ofBrowser.remove(NAME);
}
