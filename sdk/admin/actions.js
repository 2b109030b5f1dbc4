// What an admin can do to one user.

import { $, h, setText } from "./dom.js";
import { about, problem } from "./words.js";

export class Actions {
  #api;
  #userID;
  #page;
  #last = Promise.resolve();
  #stop = new AbortController();

  /** page: note(text, isProblem), and done(), which is called after each change. */
  constructor(api, userID, page) {
    this.#api = api;
    this.#userID = userID;
    this.#page = page;
    this.#reset();
    this.#on("status-form", "submit", (event) => (event.preventDefault(), this.#setStatus()));
    this.#on("clear-status", "click", () => this.#clearStatus());
    this.#on("token-form", "submit", (event) => (event.preventDefault(), this.#issueToken()));
    this.#on("copy-token", "click", () => this.#copyToken());
    this.#on("log-out-all", "click", () => this.logOut());
    this.#on("kick", "click", () => this.#kick());
    this.#on("delete", "click", () => $("delete-dialog").showModal());
    this.#on("delete-no", "click", () => $("delete-dialog").close());
    this.#on("delete-yes", "click", () => this.#delete());
  }

  stop() {
    this.#stop.abort();
    this.#reset();
  }

  /** Shows what the status allows. */
  show({ customStatus }) {
    $("clear-status").hidden = !customStatus;
  }

  /** Logs out one device, or all. */
  logOut(deviceID) {
    const done = deviceID === undefined ? "is logged out on all devices" : "is logged out on one device";
    return this.#do("logout", { deviceID }, `${done}. Tokens remain valid, so an app may log in again.`);
  }

  async #setStatus() {
    const expiresIn = Number($("expiry").value) || undefined;
    const data = await this.#do("setUserStatus", { customStatus: $("custom").value, expiresIn }, "has a new status.");
    if (data && this.#isShown) $("custom").value = "";
  }

  #clearStatus() {
    $("custom").focus(); // the button that was pressed goes
    return this.#do("setUserStatus", { customStatus: "" }, "has no custom status now.");
  }

  async #issueToken() {
    const data = await this.#do("issueToken", { expiresIn: Number($("lifetime").value) }, "has a new token, shown below.");
    if (!data || !this.#isShown) return;
    $("token").value = data.token;
    $("token-result").hidden = false;
    $("token").focus();
    $("token").select();
  }

  async #copyToken() {
    $("token").select();
    // Pages over plain HTTP have no clipboard; there, the selected text can be copied by hand.
    const isCopied = await navigator.clipboard?.writeText($("token").value).then(() => true, () => false);
    setText($("copy-token"), isCopied ? "Copied" : "Press Ctrl+C");
  }

  #kick() {
    return this.#do("kick", {}, "is kicked: all streams have ended, and tokens issued until now are refused.");
  }

  async #delete() {
    $("delete-dialog").close();
    const data = await this.#do("deleteUsers", undefined, "is deleted.", { userIDList: [this.#userID] });
    if (data && this.#isShown) location.hash = "";
  }

  /** Makes a call after those before it. Resolves to the data, or to undefined after an error. */
  #do(path, body, done, whole = { userID: this.#userID, ...body }) {
    return (this.#last = this.#last.then(() => this.#call(path, whole, done)));
  }

  async #call(path, whole, done) {
    $("user").setAttribute("aria-busy", "true"); // not disabled, which would take the focus away
    try {
      const data = await this.#api.post(path, whole);
      const [failed] = data?.failureUserList ?? [];
      if (failed) throw failed;
      this.#page.note(about(this.#userID, done));
      return data ?? {};
    } catch (error) {
      this.#page.note(problem(error), true);
      return undefined;
    } finally {
      $("user").removeAttribute("aria-busy");
      this.#page.done();
    }
  }

  /** Another user may have been opened while a call was under way. */
  get #isShown() {
    return !this.#stop.signal.aborted;
  }

  #reset() {
    $("custom").value = "";
    $("token").value = "";
    $("token-result").hidden = true;
    setText($("copy-token"), "Copy");
    if ($("delete-dialog").open) $("delete-dialog").close();
    $("delete-title").replaceChildren("Delete ", h("bdi", { dir: "auto" }, this.#userID), "?");
  }

  #on(id, type, listener) {
    $(id).addEventListener(type, listener, { signal: this.#stop.signal });
  }
}
