// One login of one tab: what it knows, and how it begins and ends.

import { TIMEOUT, call, fail } from "./calls.js";
import { addTokens, dropToken } from "./leader.js";
import { Backoff, Silence, timer } from "./pauses.js";
import { Statuses } from "./statuses.js";
import { Subscriptions } from "./subscriptions.js";
import { Tabs } from "./tabs.js";

// name → the end of this page's logout. A login waits for it: a logout that arrives later would end the new login.
const partings = new Map();

export class Session {
  tokens = []; // the newest last; each serves all tabs
  statuses = new Statuses((list) => this.emit("USER_STATUS_UPDATED", list));
  tabs = new Tabs(this);
  subscriptions = new Subscriptions(this);
  #net = "connected";
  #silence = new Silence(() => this.#fellSilent());
  #staleTimer;
  #isReady;
  #cursor;
  #isOver;
  #opened;
  #failed;
  #problem = fail(2801, "timeout"); // why the login isn't done yet

  /** options: base, userID, platform, deviceID, staleAfter, emit, kicked. */
  constructor(options) {
    Object.assign(this, options);
    this.name = `presence 2 ${this.base} ${this.userID}`; // of what the tabs of this user share
  }

  /** Resolves to the data of READY. Without a server it tries again, for up to 15 s in all. */
  async login(token) {
    const opened = new Promise((resolve, reject) => ([this.#opened, this.#failed] = [resolve, reject]));
    await Promise.race([partings.get(this.name), opened]);
    const deadline = timer(() => this.#failed(this.#problem), TIMEOUT);
    this.#tryOut(token, Date.now() + TIMEOUT).catch(this.#failed);
    return opened.finally(() => clearTimeout(deadline));
  }

  /** Opens the stream once the server accepts the token: the stream may be another tab's, which has not tried it. */
  async #tryOut(token, until) {
    const backoff = new Backoff();
    for (;;) {
      try {
        const { successUserList } = await call(`${this.base}/v1/getUserStatus`, token, { userIDList: [this.userID] });
        if (this.#isOver) return;
        this.statuses.note(successUserList);
        this.tokens.push(token);
        return this.tabs.join();
      } catch (error) {
        const { code, asked = 0 } = (this.#problem = error);
        const left = until - Date.now();
        if (this.#isOver || ![2800, 60022].includes(code) || asked > left) throw error;
        await new Promise((resolve) => timer(resolve, Math.min(backoff.next(asked), left)));
      }
    }
  }

  /** Replaces the token in all tabs. */
  renew(token) {
    dropToken(this.tokens, token);
    addTokens(this.tokens, [token]);
    this.tabs.post(this.hello);
  }

  /** Logs out all tabs. They are notified only when it is done, so that none of them logs in too early. */
  logout() {
    return this.#part(() => this.#logOut());
  }

  /** Logs out if no other tab is left. */
  destroy() {
    return this.#part(async () => {
      const answers = await this.tabs.ask();
      if (answers.every((answer) => answer === null)) await this.#logOut();
    });
  }

  async #logOut() {
    const { deviceID } = this;
    if (deviceID) await this.call("logout", { deviceID }).catch(() => {}); // without an ID, all devices are logged out
    this.tabs.post({ event: "KICKED_OUT", data: { type: "logout" } });
  }

  close() {
    this.#isOver = true;
    this.tabs.close();
    this.#silence.end();
    clearTimeout(this.#staleTimer);
    this.#failed(fail(3005, "logged out"));
  }

  async call(name, body) {
    const token = this.tokens.at(-1);
    try {
      return await call(`${this.base}/v1/${name}`, token, body);
    } catch (error) {
      const { ending: type, code, message } = error;
      if (!type) throw error;
      const expired = { event: "EXPIRED", data: { token, type, code, message } };
      this.tabs.post(expired);
      this.hear(expired);
      if (!this.tokens.length) throw error;
      return this.call(name, body);
    }
  }

  async callForAll(name, size, userIDList) {
    const all = [...new Set(userIDList)];
    const joined = {};
    for (let i = 0; !i || i < all.length; i += size) {
      const data = await this.call(name, { userIDList: all.slice(i, i + size) });
      for (const list in data) joined[list] = [...(joined[list] ?? []), ...data[list]];
    }
    return joined;
  }

  // For the tabs

  /** What a leader starts with in this tab. */
  get options() {
    const { base, userID, platform, deviceID, tokens } = this;
    return { base, userID, platform, deviceID, tokens, cursor: this.#cursor };
  }

  get hello() {
    return { event: "HELLO", data: { tokens: this.tokens } };
  }

  /** What other tabs need to know: the users that this one holds, or null if it is about to leave. */
  get answer() {
    return this.#isOver ? null : this.subscriptions.held;
  }

  hear(message) {
    const { event, data, from } = message;
    if (this.#isOver) return;
    if (event === "HELLO") addTokens(this.tokens, data.tokens);
    else if (event === "SEEN") this.statuses.update(data);
    else if (event === "UNSUBSCRIBED") this.subscriptions.restore(data);
    else if (event === "EXPIRED") this.#expire(data);
    else if (event === "KICKED_OUT") this.#end(data.type);
    else if (event === "FAILED") this.#failed(fail(data.code, data.message));
    else if (from) this.#follow(message);
  }

  /** Receives a message of the leader. */
  #follow({ event, data, id, net = "connected", tokens = [], silence }) {
    this.#silence.heard();
    this.tokens = tokens.concat(this.tokens.filter((token) => !tokens.includes(token))); // the tokens of this tab may be newer
    const isStart = event === "READY" || event === "WELCOME";
    if (isStart && id > this.#cursor) this.tabs.post({ event: "BEHIND", data: this.#cursor });
    this.#cursor = id ?? this.#cursor;
    if (event === "LEAD") return;
    if (event === "NET") return this.#setNet(data, silence);
    if (event === "ERROR") return this.emit("ERROR", data);
    this.#setNet(net);
    if (isStart) this.#begin(data, event === "READY", id);
    else if (event === "USER_STATUS_UPDATED") this.statuses.update(data);
    else this.#unhide(); // KEEPALIVE
  }

  #begin({ self, deviceID, keepaliveSeconds }, isNew, id) {
    if (isNew && id === 0) this.statuses.restart(); // a snapshot, as after a restored backup
    this.statuses.note([self]);
    if (!this.#isReady) this.statuses.skip(self);
    else if (isNew) this.statuses.update([self]);
    this.#isReady = true;
    this.#silence.keepalive = keepaliveSeconds;
    this.#silence.heard();
    this.deviceID = deviceID;
    this.#opened({ deviceID, self });
  }

  /** A token has expired, or was revoked. The login ends, in all tabs, when no other is left. */
  #expire({ token, type, code, message }) {
    dropToken(this.tokens, token);
    if (!this.tokens.length) this.#end(type, code, message);
  }

  #end(type, code = 3001, message) {
    this.#failed(fail(code, message));
    this.kicked(type);
  }

  #part(run) {
    this.#isOver = true;
    this.#failed(fail(3005, "logged out"));
    const done = Promise.allSettled([partings.get(this.name), run()]).finally(() => {
      this.close();
      if (partings.get(this.name) === done) partings.delete(this.name);
    });
    partings.set(this.name, done);
    return done;
  }

  /** The stream, or the tab that leads, is dead. */
  #fellSilent() {
    if (this.#net === "connected") this.#setNet("connecting", this.#silence.ms);
    this.tabs.suspect();
  }

  #setNet(state, silence = 0) {
    if (state === this.#net) return;
    if (this.#net === "connected" && this.staleAfter) {
      this.#staleTimer = timer(() => this.statuses.hide(), 1000 * this.staleAfter - silence);
    }
    this.#net = state;
    this.emit("NET_STATE_CHANGE", { state });
    if (state !== "connected") return;
    clearTimeout(this.#staleTimer);
    this.#unhide();
  }

  /** Ends a stale period: the stream reports what changed, and this reports the rest. */
  async #unhide() {
    const { hidden } = this.statuses;
    if (!hidden.length) return;
    const answer = await this.callForAll("getUserStatus", 500, hidden).catch(() => {}); // tried again at KEEPALIVE
    if (!answer) return;
    const stillHidden = this.statuses.hidden;
    this.statuses.update(answer.successUserList.filter(({ userID }) => stillHidden.includes(userID)));
    this.statuses.forget(answer.failureUserList.map(({ userID }) => userID));
  }
}
