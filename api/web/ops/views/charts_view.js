// How it went, minute by minute.

import { Chart } from "../chart.js";
import { durationWords, failureWords, spreadWords, throughputWords } from "../words.js";

const SECONDS = {
  least: 0.01,
  words: (value) => (value === 0 ? "0" : durationWords(value)),
  steps: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200],
};
const COUNT = {
  least: 4,
  words: (value) => String(value),
  steps: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000],
};

const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);
const spread = (name) => [
  { label: "95 of 100", colour: "--line-strong", kind: "dots", of: (minute) => minute[name]?.p95 ?? null },
  { label: "half", colour: "--accent", kind: "dots", of: (minute) => minute[name]?.p50 ?? null },
];

export class ChartsView {
  #charts = [
    {
      chart: new Chart({ title: "Time to first token", series: spread("first_token_seconds"), format: SECONDS }),
      words: (whole) => spreadWords(whole.first_token_seconds),
    },
    {
      chart: new Chart({
        title: "Failures",
        series: [
          { label: "tries", colour: "--line-strong", kind: "bars", of: (minute) => sum(minute.attempt_failures) },
          { label: "replies", colour: "--danger", kind: "bars", of: (minute) => minute.ended.failed },
        ],
        format: COUNT,
      }),
      words: failureWords,
    },
    {
      chart: new Chart({ title: "Wait in the queue", series: spread("queue_wait_seconds"), format: SECONDS }),
      words: (whole) => spreadWords(whole.queue_wait_seconds),
    },
    {
      chart: new Chart({
        title: "Replies",
        series: [
          { label: "accepted", colour: "--line-strong", kind: "line", of: (minute) => minute.accepted },
          { label: "completed", colour: "--accent", kind: "line", of: (minute) => minute.ended.completed },
        ],
        format: COUNT,
      }),
      words: throughputWords,
    },
  ];

  constructor(element) {
    element.append(...this.#charts.map(({ chart }) => chart.element));
    const redraw = () => this.#charts.forEach(({ chart }) => chart.redraw());
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  update({ minutes, whole }) {
    for (const { chart, words } of this.#charts) chart.update(minutes, words(whole));
  }
}
