import TencentCloudChat from "./sdk/presence.js";
import { element, highlighted, inWords } from "./words.js";

// What `presence -dev` sets up: three friends, and someone whom nobody knows.
const PEOPLE = ["alice", "bob", "carol", "dave"];
const FRIENDS = ["alice", "bob", "carol"];
const PRESETS = ["In a call", "Listening to music", "Focusing", "Out for lunch", "Away"];
const STATUS = ["Unknown", "Online", "Offline", "Not logged in"];
const KICKED = {
  logout: "You logged out in another tab.",
  multipleDevice: "Another device took your place.",
  userSigExpired: "Your token has expired.",
  REST_API_Kick: "An administrator ended your session.",
};

const { EVENT, TYPES } = TencentCloudChat;
const $ = (id) => document.getElementById(id);
const base = new URL(".", location).href;

const chat = TencentCloudChat.create({ SDKAppID: 1, serverURL: base });
Object.assign(window, { chat, TencentCloudChat, myUserID: "" });

const statuses = new Map(); // userID → status, the newest known
const subscribed = new Set();
let token = "";

// Logging in as a user

async function become(userID) {
  await chat.logout().catch(() => {}); // nobody was logged in
  statuses.clear();
  subscribed.clear();
  window.myUserID = userID;
  history.replaceState(null, "", `#${userID}`);
  document.title = `${capital(userID)} · Presence`;
  hideNotice();
  drawAll();
  try {
    token = await devToken(userID);
    await call("login", { userID, userSig: token });
    await start();
  } catch (error) {
    notice(`Logging in failed: ${error.message} (${error.code ?? "network"}).`, "Try again", logInAgain);
  }
}

function logInAgain() {
  become(window.myUserID);
}

async function devToken(userID) {
  const response = await fetch(`${base}v1/dev/token`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ userID }),
  });
  const { data, message } = await response.json();
  if (!data) throw new Error(message);
  return data.token;
}

/** Shows the current status of all users. Later, events update the page. */
async function start() {
  const { data } = await call("getUserStatus", { userIDList: PEOPLE });
  data.successUserList.forEach(show);
  // Subscriptions outlive a session, and the original's API has no call that lists them.
  const response = await fetch(`${base}v1/subscriptions`, { headers: { Authorization: `Bearer ${token}` } });
  for (const { userID } of (await response.json()).data.userList) subscribed.add(userID);
  drawAll();
}

async function toggleSubscription(userID) {
  const method = subscribed.has(userID) ? "unsubscribeUserStatus" : "subscribeUserStatus";
  const { data } = await call(method, { userIDList: [userID] });
  if (!subscribed.delete(userID)) subscribed.add(userID);
  data.successUserList?.forEach(show);
  draw(userID);
  announce(`${subscribed.has(userID) ? "Subscribed to" : "Unsubscribed from"} ${userID}`);
}

async function setStatus(customStatus, expiresIn) {
  const { data } = await call("setSelfStatus", { customStatus, expiresIn });
  show(data);
}

/** Calls a method of the SDK, and writes it into the log. */
async function call(method, options) {
  const { userSig, ...shown } = options;
  try {
    const answer = await chat[method](options);
    log("call", `chat.${method}`, JSON.stringify(shown));
    return answer;
  } catch (error) {
    log("failed", `chat.${method}`, `${error.code ?? ""} ${error.message}`);
    throw error;
  }
}

// What the SDK reports

for (const name of ["SDK_READY", "SDK_NOT_READY"]) chat.on(EVENT[name], () => log("event", name, ""));

chat.on(EVENT.USER_STATUS_UPDATED, ({ data }) => {
  log("event", "USER_STATUS_UPDATED", data.map((status) => `${status.userID}: ${inWords(status)}`).join("; "));
  const changed = data.filter(show).filter(({ userID }) => userID !== window.myUserID);
  if (changed.length) announce(changed.map((status) => `${status.userID} is ${inWords(status)}`).join("; "));
});

chat.on(EVENT.NET_STATE_CHANGE, ({ data }) => {
  log("event", "NET_STATE_CHANGE", data.state);
  drawNet(data.state);
});

chat.on(EVENT.KICKED_OUT, ({ data }) => {
  log("event", "KICKED_OUT", data.type);
  notice(KICKED[data.type], "Log in again", logInAgain);
});

chat.on(EVENT.SDK_READY, () => {
  drawNet(TYPES.NET_STATE_CONNECTED);
  drawAll();
});
chat.on(EVENT.SDK_NOT_READY, () => {
  for (const [userID, status] of statuses) statuses.set(userID, { ...status, statusType: 0, customStatus: "" });
  drawNet();
  drawAll();
});

// The page

/** Returns whether the page looks different now. */
function show(status) {
  const before = statuses.get(status.userID);
  // A status that was reported as UNKNOWN and is then reported again has the same version.
  if (before?.version > status.version) return false;
  statuses.set(status.userID, status);
  draw(status.userID);
  if (!before || inWords(before) === inWords(status)) return false;
  highlight(status.userID);
  return true;
}

function drawAll() {
  const me = window.myUserID;
  const isFriend = (userID) => FRIENDS.includes(me) && FRIENDS.includes(userID);
  const others = PEOPLE.filter((userID) => userID !== me);
  fill($("friends"), others.filter(isFriend), `${capital(me)} has no friends yet.`);
  fill($("others"), others.filter((userID) => !isFriend(userID)), "");
  for (const button of document.querySelectorAll("#switch button")) {
    button.setAttribute("aria-pressed", button.value === me);
  }
  $("code").replaceChildren(...highlighted(tenLines(me)));
  PEOPLE.forEach(draw);
}

function fill(list, userIDs, empty) {
  list.dataset.empty = empty;
  list.replaceChildren(...userIDs.map((userID) => {
    const item = $("person").content.firstElementChild.cloneNode(true);
    item.id = `person-${userID}`;
    item.querySelector(".name").textContent = userID;
    const button = item.querySelector(".subscribe");
    button.hidden = list.id === "friends";
    button.addEventListener("click", () => attempt(() => toggleSubscription(userID)));
    return item;
  }));
}

function switchItem(userID) {
  const item = document.createElement("li");
  const here = element("button", userID);
  here.type = "button";
  here.value = userID;
  here.setAttribute("aria-label", `Be ${userID} here`);
  here.addEventListener("click", () => attempt(() => become(userID)));
  const there = element("a", "↗");
  there.href = `#${userID}`;
  there.target = "_blank";
  there.setAttribute("aria-label", `Be ${userID} in a new window`);
  there.title = "in a new window";
  item.append(here, there);
  return item;
}

function draw(userID) {
  const status = statuses.get(userID) ?? { statusType: 0, customStatus: "" };
  if (userID === window.myUserID) return drawSelf(status);
  const item = $(`person-${userID}`);
  if (!item) return;
  drawStatus(item, userID, status);
  const button = item.querySelector(".subscribe");
  const on = subscribed.has(userID);
  button.textContent = on ? "Unsubscribe" : "Subscribe";
  button.setAttribute("aria-label", `${on ? "Unsubscribe from" : "Subscribe to"} ${userID}`);
  button.disabled = !chat.getLoginUser();
}

function drawSelf(status) {
  $("you-title").textContent = `You are ${capital(window.myUserID)}`;
  drawStatus(document.querySelector(".you"), window.myUserID, status);
  for (const button of $("presets").children) {
    button.setAttribute("aria-pressed", button.value === status.customStatus && status.statusType !== 0);
  }
  const isOut = !chat.getLoginUser();
  $("log-out").hidden = isOut;
  for (const control of $("status-form").elements) control.disabled = isOut;
}

function drawStatus(item, userID, status) {
  const avatar = item.querySelector(".avatar");
  avatar.textContent = userID[0];
  avatar.dataset.type = status.statusType;
  avatar.dataset.hue = PEOPLE.indexOf(userID);
  const text = item.querySelector(".status");
  text.replaceChildren(element("span", STATUS[status.statusType]));
  if (status.customStatus) text.append(" · ", element("bdi", status.customStatus));
  if (status.expiresAt) text.append(` · clears ${untilText(status.expiresAt)}`);
}

function drawNet(state) {
  const texts = { connected: "Connected", connecting: "Connecting…", disconnected: "No connection" };
  $("net").dataset.state = state ?? "";
  $("net").textContent = texts[state] ?? "Logged out";
}

function highlight(userID) {
  const item = $(`person-${userID}`);
  item?.classList.remove("changed");
  requestAnimationFrame(() => item?.classList.add("changed"));
}

function log(kind, what, detail) {
  const item = document.createElement("li");
  item.className = kind;
  const time = element("time", new Date().toLocaleTimeString([], { hour12: false }));
  const head = element("span", what);
  head.className = "what";
  const text = element("div", detail);
  text.className = "detail";
  item.append(time, head, text);
  $("log").prepend(item);
  while ($("log").children.length > 200) $("log").lastChild.remove();
}

function notice(text, action, act) {
  const button = element("button", action);
  button.type = "button";
  button.addEventListener("click", act);
  $("notice").replaceChildren(element("span", text), button);
  $("notice").hidden = false;
}

/** Keeps the focus where it was, when the notice disappears with its button. */
function hideNotice() {
  if ($("notice").contains(document.activeElement)) $("main").focus({ preventScroll: true });
  $("notice").hidden = true;
}

function announce(text) {
  $("announce").textContent = text;
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    notice(`That did not work: ${error.message} (${error.code ?? "error"}).`, "Dismiss", hideNotice);
  }
}

function untilText(time) {
  const seconds = Math.max(0, Math.round((new Date(time) - Date.now()) / 1000));
  if (seconds < 60) return `in ${seconds} s`;
  if (seconds < 3600) return `in ${Math.round(seconds / 60)} min`;
  return `at ${new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
}

function capital(name) {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function tenLines(userID) {
  return `import TencentCloudChat from "${base}sdk/presence.js";

const chat = TencentCloudChat.create({ SDKAppID: 1, serverURL: "${base}" });
const show = ({ userID, statusType, customStatus }) => console.log(userID, statusType, customStatus);

chat.on(TencentCloudChat.EVENT.USER_STATUS_UPDATED, ({ data }) => data.forEach(show));
await chat.login({ userID: "${userID}", userSig: token }); // a token that your backend made

const { data } = await chat.subscribeUserStatus({ userIDList: ["dave"] });
data.successUserList.forEach(show);
await chat.setSelfStatus({ customStatus: "In a call", expiresIn: 3600 });`;
}

// Controls

$("switch").append(...PEOPLE.map(switchItem));

for (const text of PRESETS) {
  const button = element("button", text);
  button.type = "button";
  button.value = text;
  button.addEventListener("click", () => attempt(async () => {
    const again = button.getAttribute("aria-pressed") === "true";
    await setStatus(again ? "" : text, again ? undefined : expiry());
  }));
  $("presets").append(button);
}

function expiry() {
  return Number($("expiry").value) || undefined;
}

$("status-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    await setStatus($("custom").value, expiry());
    $("custom").value = "";
  });
});

$("log-out").addEventListener("click", () => attempt(async () => {
  await call("logout", {});
  notice("You are logged out.", "Log in again", logInAgain);
  $("notice").querySelector("button").focus(); // the button that was pressed is gone
}));

$("clear-log").addEventListener("click", () => $("log").replaceChildren());

$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("code").textContent);
  announce("Copied");
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy"), 2000);
});

window.addEventListener("hashchange", () => attempt(() => become(whoFromAddress())));
setInterval(() => statuses.forEach((status, userID) => status.expiresAt && draw(userID)), 1000);

function whoFromAddress() {
  const name = decodeURIComponent(location.hash.slice(1));
  return PEOPLE.includes(name) ? name : PEOPLE[0];
}

become(whoFromAddress());
