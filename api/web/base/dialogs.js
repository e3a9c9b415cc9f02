// Questions to whoever uses the page. The browser's own dialogs keep the focus inside and close on Escape.

import { el, focusedIn } from "./dom.js";

/**
 * Shows a dialog with a form around `content`, and resolves to whether it was sent. Focus returns to where it was.
 * With `cancel` null it cannot be left without an answer, without `confirm` it can only be left.
 * @param {object} form
 * @param {string} form.title
 * @param {(Node | null)[]} form.content
 * @param {string} [form.confirm]
 * @param {string | null} [form.cancel]
 * @param {boolean} [form.isDangerous]
 * @param {string} [form.className]
 * @returns {Promise<boolean>}
 */
export function openForm({ title, content, confirm, cancel = "Cancel", isDangerous = false, className = "" }) {
  const before = focusedIn();
  const heading = el("h2", { id: `dialog-${Math.random().toString(36).slice(2)}` }, title);
  const dialog = el("dialog", { className: `dialog ${className}`, "aria-labelledby": heading.id });
  return new Promise((resolve) => {
    let isSent = false;
    const form = el(
      "form",
      {
        on: {
          // Never sent to the server: the policy of the page forbids it.
          submit: (event) => {
            event.preventDefault();
            isSent = true;
            dialog.close();
          },
        },
      },
      heading,
      ...content.filter(Boolean),
      el(
        "div",
        { className: "dialog-buttons" },
        cancel && el("button", { type: "button", className: "button", on: { click: () => dialog.close() } }, cancel),
        confirm && el("button", { className: `button ${isDangerous ? "danger" : "primary"}` }, confirm),
      ),
    );
    dialog.append(form);
    dialog.addEventListener("cancel", (event) => cancel || event.preventDefault());
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(isSent);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether a yes-or-no question was answered with yes. */
export function confirmed({ title, text, confirm }) {
  return openForm({ title, content: [el("p", {}, text)], confirm, isDangerous: true });
}

/** A line of text, or null if it was not given. */
export async function askForLine({ title, label, value, confirm }) {
  const input = el("input", { value, required: true, maxLength: 500, autocomplete: "off" });
  const sent = openForm({ title, content: [el("label", { className: "field" }, label, input)], confirm });
  input.select();
  return (await sent) ? input.value.trim() : null;
}

/** Some text, perhaps none, or null if the question was left. */
export async function askForText({ title, label, value, confirm }) {
  const area = el("textarea", { value, rows: 4, maxLength: 2000 });
  const isSent = await openForm({ title, content: [el("label", { className: "field" }, label, area)], confirm });
  return isSent ? area.value.trim() : null;
}
