// Workers and gateways: whether they live, and how full they are.

import { el } from "../../base/dom.js";
import { showRows } from "../rows.js";
import { agoWords, beatWords } from "../words.js";

const NOUNS = { worker: "Worker", api: "Gateway" };

export function showProcesses(element, processes, { now }) {
  const items = processes.map((process) => ({ process, beat: beatWords(process, now), age: agoWords(process.started_at, now) }));
  showRows(element, items, {
    keyOf: ({ process }) => process.id,
    of: ({ process, beat, age }) => `${beat} ${age} ${process.live_replies} ${process.slots}`,
    make: card,
  });
}

function card({ process, beat, age }) {
  const isWell = process.goneAt === null && process.is_beating;
  return el(
    "li",
    { className: "card" },
    el(
      "div",
      { className: "card-text" },
      el(
        "p",
        { className: "card-title" },
        el("span", { title: process.id }, `${NOUNS[process.role] ?? process.role} …${process.id.slice(-8)}`),
        el("span", { className: isWell ? "beat" : "beat is-bad" }, beat),
      ),
      el("p", {}, `On ${process.host}, up for ${age}`),
      process.goneAt === null && process.slots ? load(process) : null,
    ),
  );
}

function load({ live_replies: used, slots, id }) {
  const words = `${used} of ${slots} slots used`;
  return el(
    "p",
    { className: "load" },
    el("meter", { min: 0, max: slots, value: Math.min(used, slots), "aria-label": `Slots of ${id.slice(-8)}` }, words),
    words,
  );
}
