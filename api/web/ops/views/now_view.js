// Whether the server is well, and how much is under way.

import { el } from "../../base/dom.js";
import { showRows } from "../rows.js";
import { healthWords } from "../words.js";

export function showHealth(element, health) {
  showRows(element, healthWords(health), {
    keyOf: ({ words }) => words,
    make: ({ isWell, words }) => el("li", { className: isWell ? "" : "is-bad" }, words),
  });
}

/** The tenant's replies; those of all tenants beside them where there are more. */
export function showQueue(element, { queue, all_tenants: all }) {
  const waits = queue.waiting_for;
  const tiles = [
    { label: "Being answered", count: queue.in_progress, all: all.in_progress },
    { label: "Queued", count: queue.queued, all: all.queued },
    { label: "wait for a worker", count: waits.worker, isPart: true },
    { label: "wait for an earlier turn", count: waits.turn, isPart: true },
    { label: "wait for their next try", count: waits.retry, isPart: true },
  ];
  showRows(element, tiles, { keyOf: ({ label }) => label, make: tile });
}

function tile({ label, count, all = count, isPart = false }) {
  return el(
    "div",
    { className: isPart ? "tile part" : "tile" },
    el("dt", {}, label),
    el("dd", {}, String(count), all > count ? el("small", {}, ` ${all} of all tenants`) : null),
  );
}
