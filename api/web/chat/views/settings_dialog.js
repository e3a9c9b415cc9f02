// What holds for a whole conversation: which model answers, and what it is told before everything else.

import { openForm } from "../../base/dialogs.js";
import { el } from "../../base/dom.js";

/**
 * Asks for the settings; resolves to `{model, instructions}`, each null where the server's default is to hold, or to null
 * if nothing is to change. `offered` is what `GET /models/` answers.
 */
export async function askForSettings(present, offered) {
  const names = offered.data.map((model) => model.id);
  const model = offered.any_name ? nameInput(present.model, names) : choice(present.model, names);
  const instructions = el("textarea", {
    rows: 6,
    value: present.instructions ?? "",
    placeholder: "For example: answer in one sentence, and in French.",
  });
  const isSent = await openForm({
    title: "Settings of this conversation",
    content: [
      el("label", { className: "field" }, "Instructions", instructions),
      el("label", { className: "field" }, "Model", model.element),
      model.hint,
    ],
    confirm: "Save",
  });
  return isSent ? { model: model.value(), instructions: instructions.value.trim() || null } : null;
}

function nameInput(present, names) {
  const element = el("input", {
    value: present ?? "",
    placeholder: names[0],
    maxLength: 200,
    autocomplete: "off",
    spellcheck: false,
    "aria-describedby": "model-hint",
  });
  const hint = el("p", { id: "model-hint", className: "hint" }, `Any name that the model service knows; ${names[0]} if left empty.`);
  return { element, hint, value: () => element.value.trim() || null };
}

function choice(present, names) {
  const options = names.map((name) => el("option", { value: name, selected: name === (present ?? names[0]) }, name));
  const element = el("select", {}, ...options);
  return { element, hint: null, value: () => element.value };
}
