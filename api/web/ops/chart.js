// A small chart of the last minutes: the canvas for those who see it, and its words for everybody.

import { el } from "../base/dom.js";
import UPlot from "../vendor/uplot.js";
import { clockWords } from "./words.js";

const HEIGHT = 150;

export class Chart {
  #plot = null;
  #figure;
  #summary;
  #readout;
  #canvas;
  #series;
  #format;

  /**
   * `series` are `{label, colour, of, kind}`: the name of a colour of the style sheet, what it shows of a minute, and
   * whether as a `line`, as `bars`, or as `dots` with a line where there is one each minute.
   * `format` has the `words` for a value, the `steps` of its axis, and the `least` that the axis reaches.
   */
  constructor({ title, series, format }) {
    this.#series = series;
    this.#format = format;
    this.#summary = el("p", { className: "summary" });
    this.#readout = el("p", { className: "readout", "aria-hidden": "true" });
    this.#canvas = el("div", { className: "canvas", "aria-hidden": "true" });
    const legend = series.map(({ label, colour }) => el("li", { data: { colour } }, label));
    this.#figure = el(
      "figure",
      { className: "chart" },
      el("figcaption", {}, el("h3", {}, title), this.#summary),
      this.#canvas,
      el("div", { className: "below" }, el("ul", { className: "legend", "aria-label": "Legend" }, ...legend), this.#readout),
    );
  }

  get element() {
    return this.#figure;
  }

  /** Shows these minutes, and the words about all of them. */
  update(minutes, words) {
    this.#summary.textContent = words;
    const times = minutes.map((minute) => Date.parse(minute.at) / 1000);
    const data = [times, ...this.#series.map(({ of }) => minutes.map(of))];
    if (this.#plot) this.#plot.setData(data);
    else this.#draw(data);
  }

  /** The colours have changed. */
  redraw() {
    this.#plot?.redraw(false);
  }

  #draw(data) {
    const colour = (name) => () => colourOf(this.#canvas, name);
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: fontOf(this.#canvas) };
    this.#plot = new UPlot(
      {
        width: this.#canvas.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, y: false },
        scales: { y: { range: (_, __, highest) => [0, Math.max(highest ?? 0, this.#format.least) * 1.1] } },
        axes: [
          { ...axis, space: 60, size: 28, values: (_, times) => times.map((time) => clockWords(time * 1000)) },
          { ...axis, space: 32, size: 58, incrs: this.#format.steps, values: (_, values) => values.map(this.#format.words) },
        ],
        series: [{}, ...this.#series.map((each) => seriesOf(each, colour))],
        hooks: { setCursor: [(plot) => this.#read(plot)] },
      },
      data,
      this.#canvas,
    );
    new ResizeObserver(() => this.#plot.setSize({ width: this.#canvas.clientWidth, height: HEIGHT })).observe(this.#canvas);
  }

  /** What stands under the pointer. */
  #read(plot) {
    const { idx } = plot.cursor;
    const values = idx === null || idx === undefined ? [] : this.#series.map((_, index) => plot.data[index + 1][idx]);
    const isShown = values.some((value) => value !== null && value !== undefined);
    this.#readout.textContent = isShown
      ? `${clockWords(plot.data[0][idx] * 1000)} · ${values.map((value) => (value === null ? "–" : this.#format.words(value))).join(" · ")}`
      : "";
  }
}

function seriesOf({ label, colour: name, kind }, colour) {
  if (kind === "bars") {
    const bars = UPlot.paths.bars({ size: [0.7, 12] });
    return { label, fill: colour(name), width: 0, paths: bars, points: { show: false } };
  }
  return { label, stroke: colour(name), width: 2, points: { show: kind === "dots", size: 6, width: 0, fill: colour(name) } };
}

/** A colour of the style sheet as a canvas understands it: light or dark is decided by now. */
function colourOf(element, name) {
  const probe = el("span", { hidden: true });
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function fontOf(element) {
  return `12px ${getComputedStyle(element).fontFamily}`;
}
