// The nodes that share a log and act as one server.

import { $, bdi, h, list, setText } from "./dom.js";
import { span } from "./words.js";

/** Shows the nodes. A single server has none, and the page then has nothing about nodes. */
export function showNodes(nodes = []) {
  $("nodes-box").hidden = !nodes.length;
  list($("nodes"), nodes, ({ run }) => String(run), createNode, drawNode);
}

function createNode({ name }) {
  return h("li", { class: "node" },
    h("span", { class: "sign", "data-kind": "online", "aria-hidden": "true" }),
    h("div", { class: "text" }, bdi(name, "name"), h("p", { class: "status" })));
}

/** A node has a beat every second. */
function drawNode(row, { beats, own, leads }) {
  const parts = [`Up for ${span(beats)}`];
  if (leads) parts.push("leads: it sends webhooks and does what falls due");
  if (own) parts.push("this page is connected to it");
  setText(row.querySelector(".status"), parts.join(" · "));
}
