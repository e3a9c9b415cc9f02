// The conversations at the side: the newest ones, or those that a search finds.

import { call } from "../base/api.js";
import { createStore } from "../base/store.js";

const PAGE = 30;
// A search answers with what it has found after a moment, which may be nothing yet.
const MOST_EMPTY_PAGES = 20;
const SOON_MS = 250;
const CHANNEL = "asyncchat.conversations";

const INITIAL = { items: [], cursor: null, query: "", isLoaded: false, error: null };

function reduce(state, action) {
  switch (action.type) {
    case "searched":
      return { ...INITIAL, query: action.query };
    case "page": {
      const { data, next_cursor: cursor } = action.page;
      const known = new Set(data.map((item) => item.id));
      const others = state.items.filter((item) => !known.has(item.id));
      if (action.isNext) return { ...state, items: [...others, ...data], cursor, isLoaded: true, error: null };
      // What was shown below the first page stays: it may be where somebody is.
      const below = cursor === null ? [] : others.filter((item) => isBelow(item, data.at(-1)));
      return { ...state, items: [...data, ...below], cursor: below.length ? state.cursor : cursor, isLoaded: true, error: null };
    }
    case "removed":
      return { ...state, items: state.items.filter((item) => item.id !== action.id) };
    case "renamed":
      return { ...state, items: state.items.map((item) => (item.id === action.id ? { ...item, title: action.title } : item)) };
    case "failed":
      return { ...state, error: action.error };
  }
  throw new Error(action.type);
}

/** Whether a list by last change has the one further down than the other. */
function isBelow(item, other) {
  return item.updated_at === other.updated_at ? item.id < other.id : item.updated_at < other.updated_at;
}

/** Keeps the list equal to what the server has, also when other tabs change it. */
export class ConversationList {
  store = createStore(reduce, INITIAL);

  #soon = 0;
  #isReadingMore = false;
  #channel = globalThis.BroadcastChannel ? new BroadcastChannel(CHANNEL) : null;

  constructor() {
    if (this.#channel) {
      this.#channel.onmessage = ({ data: action }) => {
        if (action) this.store.dispatch(action);
        this.#readSoon();
      };
    }
    addEventListener("focus", () => this.#readSoon());
  }

  /** Something changed in this tab, perhaps by an action on the list: the others look, too. */
  changed(action = null) {
    if (action) this.store.dispatch(action);
    this.#channel?.postMessage(action);
    this.#readSoon();
  }

  /** Shows what is found, or everything for an empty query. */
  search(query) {
    this.store.dispatch({ type: "searched", query });
    this.#readSoon();
  }

  async read() {
    await this.#readPage(null);
  }

  async readMore() {
    if (this.#isReadingMore || this.store.state.cursor === null) return;
    this.#isReadingMore = true;
    await this.#readPage(this.store.state.cursor);
    this.#isReadingMore = false;
  }

  async rename(id, title) {
    await call("PATCH", `/conversations/${id}/`, { body: { title } });
    this.changed({ type: "renamed", id, title });
  }

  async remove(id) {
    await call("DELETE", `/conversations/${id}/`).catch((error) => {
      if (error.status !== 404) throw error;
    });
    this.changed({ type: "removed", id });
  }

  #readSoon() {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => this.read(), SOON_MS);
  }

  async #readPage(cursor) {
    const { query } = this.store.state;
    const parameters = new URLSearchParams({ limit: String(PAGE), ...(query && { q: query }), ...(cursor && { after: cursor }) });
    try {
      let page = await call("GET", `/conversations/?${parameters}`);
      for (let empty = 1; !page.data.length && page.has_more && empty < MOST_EMPTY_PAGES; empty += 1) {
        parameters.set("after", page.next_cursor);
        page = await call("GET", `/conversations/?${parameters}`);
      }
      // Meanwhile another search may have begun.
      if (query === this.store.state.query) this.store.dispatch({ type: "page", page, isNext: cursor !== null });
    } catch (error) {
      this.store.dispatch({ type: "failed", error });
    }
  }
}
