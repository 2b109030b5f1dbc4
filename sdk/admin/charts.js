// Charts of the last minutes, as SVG.

import { h, setText, svg } from "./dom.js";
import { number, span } from "./words.js";

// Seconds from left to right: a new chart grows until it shows the last five minutes.
const SHORTEST = 60;
const LONGEST = 300;

const WIDTH = 300;
const HEIGHT = 64;

/** One value over time. */
export class Chart {
  #title;
  #points = []; // [seconds, value]; the value is undefined where nothing is known
  #value = h("strong", { class: "value" }, "–");
  #top = h("span", { class: "top" }, "");
  #line = svg("path", { class: "line" });
  #area = svg("path", { class: "area" });
  #start = h("span");
  #picture;

  /** The element to show. */
  element;

  constructor(title) {
    this.#title = title;
    this.#picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title },
      svg("path", { class: "grid", d: `M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT}H${WIDTH}` }), this.#area, this.#line);
    this.element = h("figure", { class: "chart" },
      h("figcaption", {}, h("span", {}, title), this.#value),
      h("div", { class: "plot" }, this.#top, this.#picture),
      h("div", { class: "axis", "aria-hidden": "true" }, this.#start, h("span", {}, "now")));
  }

  /** Adds a value, or undefined for a gap. seconds are those of a clock that never goes back. */
  add(seconds, value) {
    this.#points.push([seconds, value]);
    while (this.#points[1]?.[0] < seconds - LONGEST) this.#points.shift();
    this.#draw(seconds);
  }

  #draw(now) {
    const values = this.#points.map(([, value]) => value).filter((value) => value !== undefined);
    const latest = this.#points.at(-1)[1];
    const top = roundUp(Math.max(1, ...values));
    const length = Math.min(Math.max(now - this.#points[0][0], SHORTEST), LONGEST);
    const place = ([seconds, value]) => [WIDTH * (1 - (now - seconds) / length), HEIGHT * (1 - value / top)];
    const lines = this.#pieces().map((piece) => piece.map(place));
    this.#line.setAttribute("d", lines.map(path).join(""));
    this.#area.setAttribute("d", lines.map((line) => `${path(line)}V${HEIGHT}H${fixed(line[0][0])}Z`).join(""));
    setText(this.#value, latest === undefined ? "–" : number(latest));
    setText(this.#top, number(top));
    setText(this.#start, `${span(length)} ago`);
    this.#picture.setAttribute("aria-label", this.#inWords(values, latest, length));
  }

  #inWords(values, latest, length) {
    if (latest === undefined) return `${this.#title}: unknown now`;
    const range = `between ${number(Math.min(...values))} and ${number(Math.max(...values))}`;
    return `${this.#title}: ${number(latest)} now, ${range} in the last ${span(length)}`;
  }

  /** The points without the gaps. */
  #pieces() {
    const pieces = [[]];
    for (const point of this.#points) {
      if (point[1] === undefined) pieces.push([]);
      else pieces.at(-1).push(point);
    }
    return pieces.filter((piece) => piece.length);
  }
}

const fixed = (value) => value.toFixed(1);
const path = (line) => line.map(([x, y], i) => `${i ? "L" : "M"}${fixed(x)} ${fixed(y)}`).join("");

/** The top of an axis: 1, 2 or 5, with zeros. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}
