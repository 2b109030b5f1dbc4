// How many users have which status, and how much happens.

import { $, h, list, setText } from "./dom.js";
import { Poll } from "./api.js";
import { Chart } from "./charts.js";
import { showNodes } from "./nodes.js";
import { number, problem } from "./words.js";

// The maximum number of versions per second that can be changes. A server that restarts skips many more.
const FASTEST = 500_000;

const COUNTS = [
  ["online", "Online", "at least one device is connected"],
  ["away", "Away", "they say so, or nobody is using their devices"],
  ["busy", "Busy", "they are busy, or not to be disturbed"],
  ["offline", "Offline", "an app disconnected without logging out"],
  ["unlogined", "Not logged in", "no device is logged in"],
];

export class Overview {
  #poll;
  #before; // the stats before the latest ones, with the time
  #charts = {
    streams: new Chart("Open streams"),
    changes: new Chart("Changes per second"),
    deliveries: new Chart("Deliveries per second"),
  };

  constructor(api) {
    $("charts").replaceChildren(...Object.values(this.#charts).map(({ element }) => element));
    this.#poll = new Poll({
      every: 2000,
      read: () => api.get("stats", { deliveries: true, availability: true, nodes: true }),
      show: (stats) => this.#show(stats),
      failed: (error) => this.#failed(error),
    });
  }

  stop() {
    this.#poll.stop();
  }

  reload() {
    this.#poll.soon();
  }

  #show(answer) {
    const stats = { deliveries: 0, run: answer.nodes?.find(({ own }) => own)?.run, ...answer };
    const { away, busy, dnd } = { away: 0, busy: 0, dnd: 0, ...answer.availability };
    const counts = { ...stats.users, away, busy: busy + dnd };
    setText($("stats-state"), "");
    list($("counts"), COUNTS, ([name]) => name, createCount, (tile, [name]) => setText(tile.querySelector("dd"), number(counts[name])));
    drawBar(stats.users);
    showNodes(stats.nodes);
    this.#plot(stats, performance.now() / 1000);
  }

  /** Two responses in quick succession, as after a connection, give no meaningful rate. */
  #plot(stats, now) {
    if (now - this.#before?.now < 1) return;
    this.#charts.streams.add(now, stats.streams);
    this.#charts.changes.add(now, this.#rate("version", stats, now));
    this.#charts.deliveries.add(now, this.#rate("deliveries", stats, now));
    this.#before = { ...stats, now };
  }

  /** Returns how much a total grows per second; undefined if it isn't known, as after a start of the server, or from another node. */
  #rate(name, stats, now) {
    if (stats.run !== this.#before?.run) return undefined;
    const rate = (stats[name] - this.#before?.[name]) / (now - this.#before?.now);
    return rate >= 0 && rate < FASTEST ? rate : undefined;
  }

  #failed(error) {
    this.#before = undefined;
    setText($("stats-state"), problem(error));
    for (const chart of Object.values(this.#charts)) chart.add(performance.now() / 1000, undefined);
  }
}

function createCount([name, title, hint]) {
  return h("div", { class: "count" },
    h("dt", {}, h("span", { class: "sign", "data-kind": name === "unlogined" ? "gone" : name, "aria-hidden": "true" }), title),
    h("dd", {}, ""),
    h("dd", { class: "hint" }, hint));
}

/** The shares of the statuses, as a bar. The numbers are next to it. */
function drawBar({ online, offline, unlogined }) {
  const all = online + offline + unlogined || 1;
  let left = 0;
  for (const [name, n] of Object.entries({ online, offline, gone: unlogined })) {
    const part = $("bar").querySelector(`[data-kind=${name}]`);
    part.setAttribute("x", (100 * left) / all);
    part.setAttribute("width", (100 * n) / all);
    left += n;
  }
}
