// Lists of users with their live status.

import { bdi, h, list } from "./dom.js";
import { kindOf, statusNodes } from "./words.js";

const REMEMBERED = 1000;

const isThere = ({ statusType }) => statusType !== 0; // a deleted user is UNKNOWN

export const hashOf = (userID) => `#user=${encodeURIComponent(userID)}`;

/** A list of statuses in an element. */
export class People {
  #element;
  #statuses = new Map(); // by userID
  #recent = new Map(); // the latest changes of any users by userID, which may be newer than an answer that is under way

  constructor(element) {
    this.#element = element;
  }

  get size() {
    return this.#statuses.size;
  }

  has(userID) {
    return this.#statuses.has(userID);
  }

  /** Shows these statuses, in this order. What is known to be newer is kept. */
  show(statuses) {
    const newest = statuses.map((status) => {
      const known = this.#recent.get(status.userID);
      return known?.version > status.version ? known : status;
    });
    this.#statuses = new Map(newest.filter(isThere).map((status) => [status.userID, status]));
    this.#draw();
  }

  /** Receives changes of any users. Changes of users who are not in the list are only stored. A deleted user leaves the list. */
  update(changes) {
    for (const status of changes) {
      this.#remember(status);
      if (this.#statuses.get(status.userID)?.version <= status.version) this.#statuses.set(status.userID, status);
    }
    if (changes.some(({ userID }) => this.#statuses.has(userID))) this.show([...this.#statuses.values()]);
  }

  #remember(status) {
    this.#recent.delete(status.userID);
    this.#recent.set(status.userID, status);
    if (this.#recent.size > REMEMBERED) this.#recent.delete(this.#recent.keys().next().value);
  }

  /** Marks the user whose page is open. */
  mark(userID) {
    for (const row of this.#element.children) {
      if (row.dataset.key === userID) row.firstChild.setAttribute("aria-current", "page");
      else row.firstChild.removeAttribute("aria-current");
    }
  }

  get first() {
    return this.#element.querySelector("a");
  }

  #draw() {
    list(this.#element, this.#statuses.values(), ({ userID }) => userID, create, draw);
  }
}

function create({ userID }) {
  return h("li", {}, h("a", { class: "person", href: hashOf(userID) },
    h("span", { class: "sign", "aria-hidden": "true" }),
    h("span", { class: "text" }, bdi(userID, "name"), h("span", { class: "status" }))));
}

function draw(row, status) {
  const text = row.querySelector(".status");
  const nodes = statusNodes(status);
  row.querySelector(".sign").dataset.kind = kindOf(status);
  if (text.textContent !== nodes.map((node) => node.textContent ?? node).join("")) text.replaceChildren(...nodes);
}
