// The view of one user: why the status is what it is, what happens next, and what can be done.

import { $, bdi, h, list, setText } from "./dom.js";
import { Actions } from "./actions.js";
import { Poll } from "./api.js";
import { People } from "./people.js";
import { AVAILABILITY, about, count, deadline, kindOf, number, problem, quoted, sentence, statusName, statusNodes, time } from "./words.js";

const PAGE = 20;
const MOST = 1000; // friends in one answer
const UNKNOWN_USER = 70107;

const DEVICE_STATES = {
  connected: ["online", "Connected", "since"],
  grace: ["away", "Just disconnected, may reconnect", "disconnected at"],
  retained: ["offline", "Disconnected without logging out", "at"],
};
const REFUSED = {
  REST_API_Kick: "it was kicked",
  multipleDevice: "another device took its place",
  userSigExpired: "its token expired",
  logout: "it was logged out",
};

export class UserView {
  #api;
  #status; // the newest known
  #explained;
  #friends = new People($("friends"));
  #subscriptions = new People($("subscriptions"));
  #friendsShown = PAGE;
  #subscriptionsShown = PAGE;
  #polls;
  #actions;
  #announce;
  #stop = new AbortController();

  /** announce receives a sentence for those who can't see the page, note one for everybody. */
  constructor(api, userID, { announce, note }) {
    this.#api = api;
    this.userID = userID;
    this.#announce = announce;
    $("user-id").replaceChildren(bdi(userID));
    for (const name of ["user-status", "why", "said", "others", "next", "deadlines", "audience", "entries", "devices", "refused", "user-state"]) $(name).replaceChildren();
    $("user-sign").dataset.kind = "unknown";
    showKnown(false);
    this.#actions = new Actions(api, userID, { note, done: () => this.reload() });
    this.#listen();
    this.#polls = [
      new Poll({
        every: 5000, // a device that changes nothing about the status causes no event
        read: () => api.get("explain", { userID }),
        show: (explained) => this.#explain(explained),
        failed: (error) => this.#failed(error),
      }),
      new Poll({
        every: 15_000,
        read: () => this.#readFriends(),
        show: (statuses) => this.#showFriends(statuses),
        failed: (error) => this.#listFailed($("friends-state"), error),
      }),
      new Poll({
        every: 15_000,
        read: () => api.get("subscriptions", { userID }),
        show: ({ userList }) => this.#showSubscriptions(userList),
        failed: (error) => this.#listFailed($("subscriptions-state"), error),
      }),
    ];
  }

  stop() {
    this.#stop.abort();
    this.#actions.stop();
    for (const poll of this.#polls) poll.stop();
    this.#friends.show([]);
    this.#subscriptions.show([]);
  }

  reload(ms) {
    for (const poll of this.#polls) poll.soon(ms);
  }

  update(changes) {
    this.#friends.update(changes);
    this.#subscriptions.update(changes);
    const status = changes.findLast(({ userID }) => userID === this.userID);
    if (!status || status.version < this.#status?.version) return;
    this.#status = status;
    this.#drawStatus();
    this.#polls[0].soon(200); // many changes, one explanation
    this.#announce(about(this.userID, `is ${statusName(status)}${status.customStatus && `, ${quoted(status.customStatus)}`}`));
  }

  #listen() {
    const { signal } = this.#stop;
    $("more-friends").addEventListener("click", () => {
      this.#friendsShown = Math.min(this.#friendsShown + PAGE, MOST);
      this.#polls[1].soon();
    }, { signal });
    $("more-subscriptions").addEventListener("click", () => {
      this.#subscriptionsShown += PAGE;
      this.#polls[2].soon();
    }, { signal });
  }

  // The explanation

  #explain(explained) {
    const { status, switches } = explained;
    this.#explained = explained;
    if (!(this.#status?.version > status.version)) this.#status = status;
    const now = new Date(explained.now);
    setText($("user-state"), switches.userStatus ? "" : "The switch user_status is off, so users can neither query nor watch one another.");
    showKnown(true);
    this.#drawStatus(now);
    fill($("why"), sentence(explained.why, now));
    fill($("said"), sentence(explained.said, now));
    $("others-box").hidden = !explained.public;
    if (explained.public) fill($("others"), sentence(explained.others, now));
    fill($("next"), sentence(explained.next, now));
    fill($("audience"), sentence(explained.audience, now));
    list($("deadlines"), explained.deadlines, ({ at, what }) => `${at} ${what}`, () => h("li"), (item, one) => fill(item, deadline(one, now)));
    list($("refused"), explained.refused, ({ deviceID }) => deviceID, () => h("li"), (item, device) => fill(item, refusal(device, now)));
    drawEntries(explained.entries, now);
    this.#drawDevices(explained.devices, now);
    this.#drawFacts(explained);
  }

  #drawStatus(now = new Date()) {
    $("user-sign").dataset.kind = kindOf(this.#status);
    fill($("user-status"), statusNodes(this.#status, now));
    this.#actions.show(this.#status);
  }

  #drawDevices(devices, now) {
    setText($("devices-state"), devices.length ? "" : "No device is logged in. A device logs in by opening the event stream with a valid token.");
    list($("devices"), devices, ({ deviceID }) => deviceID, (device) => this.#createDevice(device), (row, device) => {
      const [kind, name, since] = DEVICE_STATES[device.state] ?? ["unknown", device.state, "since"];
      row.querySelector(".sign").dataset.kind = device.idle ? "away" : kind;
      const state = [name, device.idle ? ", nobody is using it" : "", ` ${since} `, time(device.since, now)];
      const where = device.node ? [" at the node ", bdi(device.node)] : [];
      fill(row.querySelector(".status"), [`${device.platform} · `, ...state, ...where]);
      fill(row.querySelector(".adds"), ["Adds ", ...sentence(device.adds, now, false)]);
    });
    $("log-out-all").hidden = !devices.length;
  }

  #createDevice({ deviceID }) {
    const logOut = () => this.#actions.logOut(deviceID);
    return h("li", { class: "device" },
      h("span", { class: "sign", "aria-hidden": "true" }),
      h("div", { class: "text" }, bdi(deviceID, "name"), h("p", { class: "status" }), h("p", { class: "adds hint" })),
      h("button", { type: "button", "aria-label": `Log out device ${deviceID}`, click: logOut }, "Log out"));
  }

  #drawFacts({ streams, friends, followers }) {
    setText($("facts"), [
      count(streams, "open stream", "open streams"),
      count(friends, "friend", "friends"),
      `${count(followers, "user watches", "users watch")} this user`,
    ].join(" · "));
  }

  #failed(error) {
    if (error.code !== UNKNOWN_USER) return setText($("user-state"), problem(error));
    showKnown(false);
    $("user-sign").dataset.kind = "unknown";
    fill($("user-status"), ["No such user"]);
    setText($("user-state"), this.#explained
      ? "The user was deleted."
      : "Nobody with exactly this ID is registered. Upper and lower case are different. A user is registered by importUsers, or by the first token that they use.");
  }

  // The lists

  async #readFriends() {
    const { friendIDList, next } = await this.#api.get("friends", { userID: this.userID, limit: this.#friendsShown });
    $("more-friends").hidden = next === undefined || this.#friendsShown >= MOST;
    if (!friendIDList.length) return [];
    return (await this.#api.post("getUserStatus", { userIDList: friendIDList })).successUserList;
  }

  #showFriends(statuses) {
    this.#friends.show(statuses);
    setText($("friends-state"), listState(statuses.length, this.#explained?.friends, "No friends."));
  }

  #showSubscriptions(statuses) {
    const shown = statuses.slice(0, this.#subscriptionsShown);
    this.#subscriptions.show(shown);
    $("more-subscriptions").hidden = shown.length === statuses.length;
    setText($("subscriptions-state"), listState(shown.length, statuses.length, "Subscribes to nobody."));
  }

  #listFailed(state, error) {
    if (error.code !== UNKNOWN_USER) setText(state, problem(error));
  }
}

function drawEntries(entries, now) {
  setText($("entries-state"), entries.length ? "" : "Nothing. Users, calendars and calls say something with setSelfStatus and setUserStatus.");
  list($("entries"), entries, ({ source }) => source, createEntry, (row, entry) => {
    fill(row.querySelector(".status"), entryNodes(entry, now));
    fill(row.querySelector(".adds"), ["Adds ", ...sentence(entry.adds, now, false)]);
  });
}

function createEntry({ source }) {
  return h("li", { class: "device" },
    h("div", { class: "text" }, h("span", { class: "name" }, source || "The user’s own"), h("p", { class: "status" }), h("p", { class: "adds hint" })));
}

/** What an entry says, and when. */
function entryNodes({ availability, customStatus, priority, startsAt, expiresAt }, now) {
  const nodes = [[AVAILABILITY[availability], `priority ${priority}`].filter(Boolean).join(" · ")];
  if (customStatus) nodes.unshift(bdi(customStatus, "custom"), " · ");
  if (startsAt) nodes.push(" · from ", time(startsAt, now));
  if (expiresAt) nodes.push(" · until ", time(expiresAt, now));
  return nodes;
}

function showKnown(isKnown) {
  $("answer").hidden = $("known").hidden = !isKnown;
}

function listState(shown, all = shown, empty) {
  if (!shown) return empty;
  return shown < all ? `${number(shown)} of ${number(all)}` : number(shown);
}

function refusal({ deviceID, type, until }, now) {
  const which = deviceID ? ["Device ", bdi(deviceID, "name")] : ["Every device without an ID of its own"];
  return [...which, ` can't reconnect by itself until `, time(until, now), `, because ${REFUSED[type] ?? type}.`];
}

/** Replaces the children, unless they read the same. */
function fill(element, nodes) {
  const text = nodes.map((node) => node.textContent ?? node).join("");
  if (element.textContent !== text) element.replaceChildren(...nodes);
}
