// Making elements. Text is always text here: nothing in the pages parses HTML but the sanitiser.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with properties and children; strings become text, and null is left out.
 * `on` holds listeners, `data` data attributes, names with a dash or `role` become attributes.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} properties
 * @param {(Node | string | null | undefined)[]} children
 */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name === "on") for (const [kind, listener] of Object.entries(value)) element.addEventListener(kind, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Drawn on a grid of 24 with a pen of 2.
const ICONS = {
  plus: "M12 5v14M5 12h14",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12l5 5 9-10",
  again: "M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6",
  pencil: "M4 20l1-4L16 5l3 3L8 19z",
  bin: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  up: "M7 11v9H4v-9zM7 11l4-7c2 0 2.5 1.5 2 3l-.7 3H19l-1.5 10H7",
  down: "M7 13V4H4v9zM7 13l4 7c2 0 2.5-1.5 2-3l-.7-3H19L17.5 4H7",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  columns: "M4 5h16v14H4zM12 5v14",
  sliders: "M4 8h9M17 8h3M15 6v4M4 16h3M11 16h9M9 14v4",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5",
  moon: "M20 14A8 8 0 1 1 10 4a6.5 6.5 0 0 0 10 10z",
  half: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  keyboard: "M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12M16 16l4 4",
  key: "M14 10a4 4 0 1 0-3.5 4L13 16h2v2h2v2h3v-3l-6-6",
  more: "M6 12h.01M12 12h.01M18 12h.01",
};

/**
 * What has the focus, if it is inside of `parent`, else null.
 * @param {Element} [parent]
 * @returns {HTMLElement | null}
 */
export function focusedIn(parent = document.body) {
  return /** @type {HTMLElement | null} */ (parent.contains(document.activeElement) ? document.activeElement : null);
}

/**
 * The first such element inside of `parent`, or null.
 * @param {Element} parent
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
export function find(parent, selector) {
  return parent.querySelector(selector);
}

/** A drawing that says nothing to screen readers: the button around it has a name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows a drawing and is called `label`. */
export function iconButton(name, label, onClick, properties = {}) {
  return el(
    "button",
    { type: "button", className: "icon-button", "aria-label": label, title: label, on: { click: onClick }, ...properties },
    icon(name),
  );
}
