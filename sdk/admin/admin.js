// The admin page: asks for the admin key, then shows the overview or one user.

import { $, setText } from "./dom.js";
import { API } from "./api.js";
import { Feed } from "./feed.js";
import { Finder } from "./finder.js";
import { Operation } from "./operation.js";
import { Overview } from "./overview.js";
import { UserView } from "./user.js";
import { problem } from "./words.js";

const KEY = "presence admin key";
const OUTDATED = "The server no longer accepts this admin key.";

let open; // what the page consists of while it has a key: api, feed, finder, overview, operation, and perhaps view

// The key

/** Tries the key that was typed in. */
async function enter(key) {
  const api = client(key);
  setText($("gate-problem"), "");
  $("enter").setAttribute("aria-busy", "true");
  const error = await api.get("stats").then(() => undefined, (error) => error);
  $("enter").removeAttribute("aria-busy");
  if (open) return; // the button was pressed twice
  if (error) {
    $("key").select();
    return setText($("gate-problem"), API.isForbidden(error) ? "This is not the admin key of this server." : problem(error));
  }
  sessionStorage.setItem(KEY, key);
  begin(api);
}

const client = (key) => new API(key, () => open && leave(OUTDATED));

/** Ends everything that uses the key, and forgets it. */
function leave(reason = "") {
  sessionStorage.removeItem(KEY);
  for (const part of Object.values(open ?? {})) part?.stop?.();
  open = undefined;
  $("app").hidden = $("leave").hidden = $("net").hidden = true;
  $("gate").hidden = false;
  setText($("gate-problem"), reason);
  note("");
  $("key").focus();
}

// The page

function begin(api) {
  $("key").value = "";
  $("gate").hidden = true;
  $("app").hidden = $("leave").hidden = $("net").hidden = false;
  const feed = new Feed(api, {
    connected: () => (showNet("connected"), reload()),
    lost: showNet,
    changed: (statuses) => (open.finder.update(statuses), open.view?.update(statuses)),
    refused: () => leave(OUTDATED),
  });
  const operation = new Operation(api, ({ timing }) => (feed.keepalive = timing.keepalive));
  open = { api, feed, operation, finder: new Finder(api), overview: new Overview(api) };
  route();
  if (!open.view) $("search").focus();
}

/** Reads again everything that is shown: changes may have been missed. */
function reload() {
  for (const part of Object.values(open)) part?.reload?.();
}

/** Shows what the address says: `#user=ID`, or else the overview. */
function route() {
  if (!open) return;
  const userID = userInAddress();
  if (userID !== undefined && userID === open.view?.userID) return;
  const hadView = Boolean(open.view);
  open.view?.stop();
  open.view = userID === undefined ? undefined : new UserView(open.api, userID, { announce, note });
  if (open.view) note(""); // the note of a deletion stays
  open.finder.mark(userID);
  $("overview").hidden = Boolean(open.view);
  $("user").hidden = !open.view;
  $("app").dataset.shows = open.view ? "user" : "overview";
  document.title = open.view ? `${userID} · Presence admin` : "Presence admin";
  if (open.view) $("user-id").focus({ preventScroll: true });
  else if (hadView) $("search").focus({ preventScroll: true });
  scrollTo(0, 0);
}

function userInAddress() {
  try {
    return decodeURIComponent(location.hash.match(/^#user=(.+)/s)?.[1] ?? "") || undefined;
  } catch {
    return undefined; // not written by this page
  }
}

function showNet(now, reason) {
  // An attempt to connect again is no news to somebody who has read that the connection is lost.
  const state = now === "connecting" && $("net").dataset.state === "disconnected" ? "disconnected" : now;
  const since = new Date().toLocaleTimeString("en-GB");
  const texts = { connected: "Live", connecting: "Connecting…", disconnected: "Not connected" };
  if (state === "disconnected" && $("net").dataset.state !== state) {
    setText($("lost"), `The connection was lost at ${since}. What you see may be out of date; the page connects again by itself.`);
  }
  $("net").dataset.state = state;
  setText($("net"), texts[state]);
  setText($("lost-reason"), reason ? `The server answers: ${reason}.` : "");
  $("lost-box").hidden = state !== "disconnected";
}

function note(text, isProblem = false) {
  $("note").dataset.kind = isProblem ? "problem" : "done";
  setText($("note-text"), text);
  $("note").hidden = !text;
}

function announce(text) {
  setText($("announce"), text);
}

// Controls

$("gate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("key").value.trim());
});
$("leave").addEventListener("click", () => leave());
$("dismiss").addEventListener("click", () => {
  note("");
  (open?.view ? $("user-id") : $("search")).focus(); // the button that was pressed goes
});
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is shown
  $("main").focus();
});
addEventListener("hashchange", route);

const key = sessionStorage.getItem(KEY);
if (key) begin(client(key));
else leave();
