// The conversations at the side.

import { askForLine, confirmed } from "../../base/dialogs.js";
import { el, find, focusedIn, iconButton } from "../../base/dom.js";
import { addressOf } from "../router.js";
import { cutAtWords, dayWords } from "../words.js";

const TYPING_MS = 200;
const UNTITLED = "Untitled";

export class SidebarView {
  #element;
  #items;
  #note;
  #more;
  #list;
  #onRemoved;
  #onError;
  #shown = null;

  /** `onRemoved(id)` hears that a conversation was deleted here, `onError(error)` that something did not work. */
  constructor(element, list, { onRemoved, onError }) {
    this.#element = element;
    this.#list = list;
    this.#onRemoved = onRemoved;
    this.#onError = onError;
    const named = (name) => element.querySelector(`[data-part="${name}"]`);
    this.#items = named("items");
    this.#note = named("note");
    this.#more = named("more");
    this.#more.addEventListener("click", () => list.readMore());
    // Whoever scrolls to the end wants more, too.
    new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && list.readMore(), {
      root: named("scroller"),
      rootMargin: "200px",
    }).observe(this.#more);
    let soon = 0;
    named("search").addEventListener("input", (event) => {
      clearTimeout(soon);
      const query = event.target.value.trim();
      soon = setTimeout(() => list.search(query), TYPING_MS);
    });
  }

  focusSearch() {
    this.#element.querySelector('[data-part="search"]').focus();
  }

  /** Shows the list, with the open conversation marked. */
  update(state, openId) {
    const today = new Date().toDateString();
    const key = [state, openId, today];
    if (this.#shown?.every((part, index) => part === key[index])) return;
    this.#shown = key;
    const focused = focusedIn(this.#items);
    const place = this.#places().indexOf(focused?.closest("li"));
    const groups = Map.groupBy(state.items, (item) => dayWords(item.updated_at, Date.now()));
    this.#items.replaceChildren(
      ...[...groups].map(([day, items]) =>
        el(
          "section",
          {},
          el("h2", {}, day),
          el("ul", {}, ...items.map((item) => this.#itemElement(item, item.id === openId, state.query))),
        ),
      ),
    );
    if (focused) (find(this.#items, `[data-key="${focused.dataset.key}"]`) ?? this.#nextTo(place)).focus();
    this.#more.hidden = state.cursor === null;
    this.#note.textContent = noteOf(state);
    this.#note.hidden = this.#note.textContent === "";
  }

  #places() {
    return [...this.#items.querySelectorAll("li")];
  }

  /** Where the focus goes when what had it was deleted. */
  #nextTo(place) {
    const left = this.#places();
    return left[Math.min(place, left.length - 1)]?.querySelector("a") ?? this.#element.querySelector('[data-part="search"]');
  }

  #itemElement(item, isOpen, query) {
    const title = item.title ?? UNTITLED;
    const link = el(
      "a",
      { href: addressOf(item.id), title, "aria-current": isOpen ? "page" : null, data: { key: `open ${item.id}` } },
      el("span", { className: "item-title", dir: "auto" }, ...marked(title, query)),
      item.match?.field === "message" ? el("span", { className: "snippet", dir: "auto" }, ...marked(item.match.snippet, query)) : null,
    );
    return el(
      "li",
      { className: isOpen ? "is-open" : "" },
      link,
      iconButton("pencil", `Rename “${title}”`, () => this.#rename(item), { data: { key: `rename ${item.id}` } }),
      iconButton("bin", `Delete “${title}”`, () => this.#remove(item), { data: { key: `delete ${item.id}` } }),
    );
  }

  async #rename(item) {
    const title = await askForLine({
      title: "Rename the conversation",
      label: "Title",
      value: item.title ?? "",
      confirm: "Rename",
    });
    if (title) await this.#list.rename(item.id, title).catch(this.#onError);
  }

  async #remove(item) {
    const isSure = await confirmed({
      title: "Delete the conversation?",
      text: `“${item.title ?? UNTITLED}” and all of its messages are erased from the server. This cannot be undone.`,
      confirm: "Delete",
    });
    if (!isSure) return;
    try {
      await this.#list.remove(item.id);
      this.#onRemoved(item.id);
    } catch (error) {
      this.#onError(error);
    }
  }
}

/** The text with the words that were searched for. */
function marked(text, query) {
  return cutAtWords(text, query).map((piece, index) => (index % 2 ? el("mark", {}, piece) : piece));
}

function noteOf({ items, query, isLoaded, error }) {
  if (error) return `The list could not be read. ${error.message}`;
  if (items.length || !isLoaded) return "";
  return query ? "Nothing was found." : "No conversations yet.";
}
