import TencentCloudChat from "./sdk/presence.js";
import { element, highlighted, inWords } from "./words.js";

const { EVENT } = TencentCloudChat;
const $ = (id) => document.getElementById(id);
const base = new URL(".", location).href;
const PATIENCE = 2000; // ms after which a cell of the timeline says that nothing was sent
const CALL = 3600; // s; an entry of a named source must expire, in case the program that set it crashes

// Each of the two has a stream of their own, whatever other tabs are open, so that pulling the plug concerns this page.
window.BroadcastChannel = undefined;

/** The network between one person and the server. */
class Network {
  #plug = new AbortController();

  fail() {
    this.#plug.abort(new TypeError("the plug is pulled"));
  }

  restore() {
    this.#plug = new AbortController();
    window.dispatchEvent(new Event("online")); // what a browser reports when the network is back
  }

  fetch(url, options) {
    const { signal } = this.#plug;
    if (signal.aborted) return Promise.reject(signal.reason);
    return realFetch(url, { ...options, signal: AbortSignal.any([signal, options.signal].filter(Boolean)) });
  }
}

const realFetch = window.fetch.bind(window);
const networks = new Map(); // token → network
window.fetch = (url, options = {}) => {
  const [, token] = /^Bearer (.*)$/.exec(options.headers?.Authorization ?? "") ?? [];
  const network = networks.get(token);
  return network ? network.fetch(url, options) : realFetch(url, options);
};

/** One of the two people: an instance of the SDK, and a side of the page that shows what it knows. */
class Person {
  network = new Network();
  statuses = new Map();

  constructor(userID, SDKAppID) {
    this.userID = userID;
    this.chat = TencentCloudChat.create({ SDKAppID, serverURL: base });
    window[userID] = this.chat;
    this.list = $(userID).querySelector(".people");
    this.chat.on(EVENT.USER_STATUS_UPDATED, ({ data }) => this.receive(data));
    this.chat.on(EVENT.NET_STATE_CHANGE, () => this.draw());
    this.chat.on(EVENT.SDK_READY, () => this.draw());
    this.chat.on(EVENT.KICKED_OUT, ({ data }) => notice(`${this.userID} was logged out: ${data.type}.`));
  }

  async login(userIDList) {
    for (const userID of userIDList) this.list.append(personItem(userID, this.userID));
    this.token = await devToken(this.userID);
    networks.set(this.token, this.network);
    await this.chat.login({ userID: this.userID, userSig: this.token });
    const { data } = await this.chat.getUserStatus({ userIDList });
    this.note(data.successUserList);
  }

  /** Takes what an event reports, and writes into the timeline what is new in it. */
  receive(list) {
    const changed = list.filter((status) => inWords(status) !== inWords(this.statuses.get(status.userID)));
    this.note(list);
    if (!changed.length) return;
    timeline.sent(this.userID, changed);
    if (this.userID === "bob") $("announce").textContent = changed.map((status) => `${status.userID}: ${inWords(status)}`).join("; ");
  }

  note(list) {
    for (const status of list) {
      if (!(this.statuses.get(status.userID)?.version > status.version)) this.statuses.set(status.userID, status);
    }
    this.draw();
  }

  draw() {
    for (const item of this.list.children) drawPerson(item, this.statuses.get(item.dataset.user));
  }
}

async function devToken(userID) {
  const response = await realFetch(`${base}v1/dev/token`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ userID }),
  });
  const { data, message } = await response.json();
  if (!data) throw new Error(message);
  return data.token;
}

function personItem(userID, viewer) {
  const item = $("person").content.firstElementChild.cloneNode(true);
  item.dataset.user = userID;
  item.id = `${viewer}-sees-${userID}`;
  item.querySelector(".name").textContent = userID === viewer ? `${userID} (you)` : userID;
  return item;
}

function drawPerson(item, status = { userID: item.dataset.user, statusType: 0 }) {
  const avatar = item.querySelector(".avatar");
  avatar.textContent = status.userID[0];
  avatar.dataset.hue = status.userID === "alice" ? 0 : 1;
  avatar.dataset.type = status.statusType;
  avatar.dataset.availability = status.availability ?? "";
  item.querySelector(".status").textContent = inWords(status);
}

// The timeline

const timeline = {
  newest: undefined,

  /** Begins a row. The cells say that nothing was sent, until something is. */
  happened(what) {
    const row = $("timeline").insertRow(0);
    row.append(element("td", new Date().toLocaleTimeString([], { hour12: false })), element("td", what));
    const cells = {};
    for (const userID of ["alice", "bob"]) {
      cells[userID] = row.appendChild(element("td", "…"));
      setTimeout(() => cells[userID].textContent === "…" && cells[userID].replaceChildren(mark("nothing", "none")), PATIENCE);
    }
    this.newest = { cells, until: Date.now() + PATIENCE };
    while ($("timeline").rows.length > 100) $("timeline").lastElementChild.remove();
    return cells;
  },

  sent(userID, statuses) {
    const { cells } = this.newest?.until > Date.now() ? this.newest : { cells: this.happened("Time passes") };
    const cell = cells[userID];
    if (cell.textContent === "…") cell.replaceChildren();
    for (const status of statuses) cell.append(mark(`${status.userID} is ${inWords(status)}`, "sent"));
  },
};

function mark(text, className) {
  return Object.assign(element("span", text), { className });
}

// What Alice does

const alice = new Person("alice", 1);
const bob = new Person("bob", 2);

const entry = (source, fields) => (isOn) => alice.chat.setSelfStatus(isOn ? { source, expiresIn: CALL, ...fields } : { source });

const SWITCHES = [
  { name: "In a call", on: "A call starts", off: "The call ends", set: entry("call", { customStatus: "In a call", availability: "busy" }) },
  { name: "At lunch", on: "Nobody is at Alice's device", off: "Alice is back at her device", set: (isOn) => alice.chat.setIdle(isOn) },
  { name: "Do not disturb", on: "Alice wants to focus", off: "Alice may be disturbed again", set: entry("focus", { availability: "dnd" }) },
  { name: "Invisible", on: "Alice becomes invisible", off: "Alice becomes visible", set: (invisible) => alice.chat.setVisibility({ invisible }) },
  { name: "Pull the plug", on: "Alice's network is gone", off: "Alice's network is back", set: (isOn) => (isOn ? alice.network.fail() : alice.network.restore()) },
];

function switchButton({ name, on, off, set }) {
  const button = element("button", name);
  button.type = "button";
  button.setAttribute("role", "switch");
  button.setAttribute("aria-checked", "false");
  button.addEventListener("click", async () => {
    const isOn = button.getAttribute("aria-checked") !== "true";
    timeline.happened(isOn ? on : off);
    if (await attempt(() => set(isOn))) button.setAttribute("aria-checked", isOn);
  });
  return button;
}

/** Reports whether an action succeeded. */
async function attempt(action) {
  try {
    const answer = await action();
    if (answer?.data?.userID) alice.receive([answer.data]); // the answer may be faster than the event
    return true;
  } catch (error) {
    timeline.happened(`That failed: ${error.message}`);
    return false;
  }
}

/** Puts the switches where they were when the page was left. */
async function restoreSwitches() {
  const response = await fetch(`${base}v1/self`, { headers: { Authorization: `Bearer ${alice.token}` } });
  const { data } = await response.json();
  const sources = data.entries.map(({ source }) => source);
  const isOn = [sources.includes("call"), false, sources.includes("focus"), data.invisible, false];
  [...$("switches").children].forEach((button, i) => button.setAttribute("aria-checked", isOn[i]));
}

function notice(text) {
  const button = element("button", "Start again");
  button.type = "button";
  button.addEventListener("click", () => location.reload());
  $("notice").replaceChildren(element("span", text), button);
  $("notice").hidden = false;
}

// The page

$("switches").append(...SWITCHES.map(switchButton));

$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const customStatus = $("text").value;
  timeline.happened(customStatus ? `Alice says “${customStatus}”` : "Alice says nothing any more");
  if (await attempt(() => alice.chat.setSelfStatus({ customStatus }))) $("text").value = "";
});

$("clear").addEventListener("click", () => $("timeline").replaceChildren());

$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("code").textContent);
  $("announce").textContent = "Copied";
});

$("code").replaceChildren(...highlighted(`import TencentCloudChat from "${base}sdk/presence.js";

const chat = TencentCloudChat.create({ SDKAppID: 1, serverURL: "${base}", idleAfter: 300 }); // away after 5 minutes
const show = ({ userID, statusType, availability, customStatus }) => console.log(userID, statusType, availability, customStatus);

await chat.login({ userID: "alice", userSig: () => tokenFromYourBackend() });
const unwatch = chat.watch(["bob"], show); // now, and at every change

await chat.setSelfStatus({ source: "call", customStatus: "In a call", availability: "busy", expiresIn: 3600 });
await chat.setSelfStatus({ source: "call" }); // the call is over: what was there before is shown again
await chat.setVisibility({ invisible: true });`));

async function start() {
  timeline.happened("Both log in");
  try {
    await Promise.all([alice.login(["alice", "bob"]), bob.login(["bob", "alice"])]);
    await restoreSwitches();
    document.body.dataset.ready = "";
  } catch (error) {
    notice(`Logging in failed: ${error.message}.`);
  }
}

start();
