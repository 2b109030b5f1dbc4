// The webhooks, and the switches and limits of the server.

import { $, h, list, setText } from "./dom.js";
import { Poll } from "./api.js";
import { problem, span } from "./words.js";

// The tables of presence.toml that are shown, with what they hold.
const TABLES = { features: "Switches", limits: "Limits", timing: "Times" };

export class Operation {
  #polls;

  /** configured receives the configuration, whenever it is read. */
  constructor(api, configured) {
    this.#polls = [
      new Poll({
        every: 5000,
        read: () => api.get("webhooks"),
        show: ({ webhooks }) => showWebhooks(webhooks),
        failed: (error) => setText($("webhooks-state"), problem(error)),
      }),
      new Poll({
        every: 60_000,
        read: () => api.get("config"),
        show: (config) => (configured(config), showConfig(config)),
        failed: (error) => setText($("config-state"), problem(error)),
      }),
    ];
  }

  stop() {
    for (const poll of this.#polls) poll.stop();
  }

  reload() {
    for (const poll of this.#polls) poll.soon();
  }
}

function showWebhooks(webhooks) {
  const empty = "No webhook is configured. The table [webhooks] of presence.toml makes the server send every change to a URL.";
  setText($("webhooks-state"), webhooks.length ? "" : empty);
  list($("webhooks"), webhooks, ({ url }) => url, createWebhook, drawWebhook);
}

function createWebhook({ url }) {
  return h("li", { class: "webhook" },
    h("span", { class: "sign", "aria-hidden": "true" }),
    h("div", { class: "text" }, h("code", { class: "url" }, url), h("p", { class: "progress" }), h("p", { class: "failing" })));
}

/** Of several nodes, only the one that sends knows how far the webhook has come. */
function drawWebhook(row, { version, behind, failing, node }) {
  const elsewhere = node && !version;
  row.querySelector(".sign").dataset.kind = failing ? "bad" : elsewhere ? "unknown" : behind > 0 ? "offline" : "online";
  const progress = `${behind > 0 ? `${span(behind)} behind` : "Up to date"}, at version ${version}`;
  setText(row.querySelector(".progress"), elsewhere ? `Sent by the node ${node}, whose admin page shows how far it is` : progress);
  setText(row.querySelector(".failing"), failing ? `It fails: ${failing}` : "");
}

function showConfig(config) {
  setText($("config-state"), "");
  const tables = Object.entries(TABLES).filter(([name]) => config[name]);
  list($("config"), tables, ([name]) => name, createTable, (section, [name]) => {
    list(section.querySelector("dl"), Object.entries(config[name]), ([key]) => key, createSetting, (row, [, value]) => {
      setText(row.querySelector("dd"), valueName(value));
      row.dataset.value = value;
    });
  });
}

const createTable = ([name, title]) => h("div", {}, h("h3", {}, title, " ", h("code", {}, `[${name}]`)), h("dl", { class: "settings" }));
const createSetting = ([key]) => h("div", {}, h("dt", {}, h("code", {}, key)), h("dd"));

function valueName(value) {
  if (typeof value === "boolean") return value ? "on" : "off";
  return Array.isArray(value) ? value.join(", ") || "none" : String(value);
}
