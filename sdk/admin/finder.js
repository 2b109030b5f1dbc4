// Finds users by the beginning of their ID.

import { $, setText } from "./dom.js";
import { Poll } from "./api.js";
import { People, hashOf } from "./people.js";
import { number, problem, quoted } from "./words.js";

const PAGE = 50;
const MOST = 1000; // in one answer

export class Finder {
  #api;
  #people = new People($("users"));
  #poll;
  #prefix = "";
  #limit = PAGE;
  #last; // the last user shown, if there are more
  #current;
  #stop = new AbortController();

  constructor(api) {
    this.#api = api;
    const { signal } = this.#stop;
    $("search").addEventListener("input", () => this.#type(), { signal });
    $("search-form").addEventListener("submit", (event) => this.#enter(event), { signal });
    $("more").addEventListener("click", () => this.#more(), { signal });
    $("finder").addEventListener("keydown", (event) => walk(event), { signal });
    this.#start();
  }

  stop() {
    this.#stop.abort();
    this.#poll.stop();
    this.#people.show([]);
  }

  /** Reads the list again. */
  reload(ms) {
    this.#poll.soon(ms);
  }

  update(changes) {
    this.#people.update(changes);
    if (changes.some((status) => this.#isMissing(status))) this.reload(1000);
  }

  mark(userID) {
    this.#current = userID;
    this.#people.mark(userID);
  }

  /** A user who is new, and would be in the list. */
  #isMissing({ userID, statusType }) {
    if (statusType === 0 || this.#people.has(userID) || !userID.startsWith(this.#prefix)) return false;
    return this.#last === undefined || before(userID, this.#last);
  }

  #type() {
    this.#prefix = $("search").value.trimStart();
    this.#limit = PAGE;
    this.#start(150);
  }

  /** Begins a new poll, so that an answer to an earlier text is not shown. */
  #start(ms = 0) {
    this.#poll?.stop();
    const prefix = this.#prefix;
    this.#poll = new Poll({
      after: ms,
      every: 60_000, // changes come from the feed
      read: () => this.#api.get("users", { prefix, limit: this.#limit }),
      show: ({ userList, next }) => this.#show(userList, next),
      failed: (error) => setText($("users-state"), problem(error)),
    });
  }

  #show(userList, next) {
    this.#people.show(userList);
    this.#people.mark(this.#current);
    this.#last = next === undefined ? undefined : userList.at(-1)?.userID;
    $("more").hidden = next === undefined || this.#limit >= MOST;
    setText($("users-state"), this.#summary(userList.length, next !== undefined));
  }

  #summary(n, hasMore) {
    const prefix = this.#prefix;
    const users = n === 1 ? "user" : "users";
    if (!n && !prefix) return "There are no users yet. A user is registered by importUsers, or by the first token that they use.";
    if (!n) return `No ID begins with ${quoted(prefix)}. Upper and lower case are different.`;
    const which = prefix ? ` whose ID begins with ${quoted(prefix)}` : "";
    if (hasMore) return `The first ${number(n)} users${which}. Type more of the ID to narrow it down.`;
    return prefix ? `${number(n)} ${users}${which}.` : `${number(n)} ${users} in all.`;
  }

  #more() {
    this.#limit = Math.min(this.#limit + PAGE, MOST);
    this.reload();
  }

  /** Opens the user with exactly this ID, or the first one found. */
  async #enter(event) {
    event.preventDefault();
    const prefix = this.#prefix;
    if (!prefix) return;
    const { userList } = await this.#api.get("users", { prefix, limit: 1 }).catch(() => ({ userList: [] }));
    if (userList.length && prefix === this.#prefix) location.hash = hashOf(userList[0].userID);
  }
}

/** The arrow keys move through the list, from the search field and back. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const stops = [$("search"), ...$("users").querySelectorAll("a")];
  const next = stops[stops.indexOf(document.activeElement) + step];
  if (!step || !next || !stops.includes(document.activeElement)) return;
  event.preventDefault();
  next.focus();
}

/** Whether an ID is before another one in the order of the server, which is that of the bytes of UTF-8. */
function before(a, b) {
  const [x, y] = [a, b].map((text) => Array.from(text, (character) => character.codePointAt(0)));
  const i = x.findIndex((point, i) => point !== y[i]);
  return i >= 0 ? x[i] < (y[i] ?? -1) : x.length < y.length;
}
