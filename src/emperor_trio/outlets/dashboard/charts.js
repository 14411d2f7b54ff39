// Two small charts: a line over time, and bars of what happened when. SVG, coloured by the style sheet.

import { say, svg } from "./dom.js";
import { count } from "./words.js";

const WIDTH = 300;
const HEIGHT = 72;

/** Samples of the last `span` seconds as a line. `words` says a value. */
export class Line {
  #samples = [];
  #span;
  #words;
  #line = svg("path", { class: "line" });
  #area = svg("path", { class: "area" });
  #figure;

  constructor(figure, span, words) {
    this.#figure = figure;
    this.#span = span;
    this.#words = words;
    figure.querySelector(".plot").replaceChildren(
      svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        this.#area, this.#line));
    this.draw(0);
  }

  /** `null` is a gap: there was no process. */
  add(at, value) {
    this.#samples.push([at, value]);
    while (this.#samples[0][0] < at - this.#span) this.#samples.shift();
    this.draw(at);
  }

  draw(now) {
    const values = this.#samples.map(([, value]) => value).filter((value) => value !== null);
    const top = Math.max(...values, 0) * 1.15 || 1;
    const x = (at) => (WIDTH * (1 - (now - at) / this.#span)).toFixed(1);
    const y = (value) => (HEIGHT - 1 - (HEIGHT - 2) * (value / top)).toFixed(1);
    let line = "";
    let area = "";
    let run = [];
    const finish = () => {
      if (!run.length) return;
      line += `M${run.join("L")}`;
      area += `M${run[0].split(" ")[0]} ${HEIGHT}L${run.join("L")}L${run.at(-1).split(" ")[0]} ${HEIGHT}Z`;
      run = [];
    };
    for (const [at, value] of this.#samples) {
      if (value === null) finish();
      else run.push(`${x(at)} ${y(value)}`);
    }
    finish();
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", area);
    const latest = this.#samples.at(-1)?.[1];
    say(this.#figure.querySelector(".now"), latest === undefined || latest === null ? "–" : this.#words(latest));
    say(this.#figure.querySelector(".range"), values.length
      ? `between ${this.#words(Math.min(...values))} and ${this.#words(Math.max(...values))}`
      : "sampled while this page is open");
  }
}

const SPANS = [[600, "10 minutes"], [3600, "hour"], [6 * 3600, "6 hours"], [86400, "day"], [7 * 86400, "week"]];
const BARS = 60;

/** Bars of starts, and within them of deaths, over as long as events reach back. */
export class Bars {
  #figure;
  #plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });

  constructor(figure) {
    this.#figure = figure;
    figure.querySelector(".plot").replaceChildren(this.#plot);
  }

  /** `starts` and `deaths` are times. */
  draw(now, starts, deaths) {
    const oldest = Math.min(now, ...starts, ...deaths);
    const [span, words] = SPANS.find(([length]) => now - oldest <= length) ?? SPANS.at(-1);
    const bin = (times) => {
      const bins = new Array(BARS).fill(0);
      for (const at of times) {
        const index = Math.min(BARS - 1, Math.floor(BARS * (1 - (now - at) / span)));
        if (index >= 0) bins[index] += 1;
      }
      return bins;
    };
    const [started, died] = [bin(starts), bin(deaths)];
    const top = Math.max(1, ...started, ...died);
    const bar = (index, value, kind) => svg("rect", {
      class: kind, x: (index * WIDTH) / BARS + 0.5, width: WIDTH / BARS - 1,
      y: HEIGHT * (1 - value / top), height: HEIGHT * (value / top),
    });
    this.#plot.replaceChildren(
      ...started.flatMap((value, index) => (value ? [bar(index, value, "started")] : [])),
      ...died.flatMap((value, index) => (value ? [bar(index, value, "died")] : [])));
    const sum = (bins) => bins.reduce((total, value) => total + value, 0);
    say(this.#figure.querySelector(".now"), `${count(sum(started), "start")}, ${count(sum(died), "death")}`);
    say(this.#figure.querySelector(".range"), `in the last ${words}, ${top} at most in one bar`);
  }
}
