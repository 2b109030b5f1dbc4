// One login of one tab: what it knows, and how it begins and ends.

import { TIMEOUT, call, fail } from "./calls.js";
import { Backoff, Silence, timer } from "./pauses.js";
import { Statuses } from "./statuses.js";
import { Subscriptions } from "./subscriptions.js";
import { Tabs } from "./tabs.js";
import { Tokens } from "./tokens.js";

// name → the end of this page's logout. A login waits for it: a logout that arrives later would end the new login.
const partings = new Map();

export class Session {
  tokens = new Tokens();
  activeAt = 0; // ms: when somebody last used one of the tabs
  statuses = new Statuses((list) => this.emit("USER_STATUS_UPDATED", list), (status) => this.change(status));
  tabs = new Tabs(this);
  subscriptions = new Subscriptions(this);
  #net = "connected";
  #silence = new Silence(() => this.#fellSilent());
  #staleTimer;
  #isReady;
  #cursor;
  #isOver;
  #id = Math.random();
  #renewal; // the function that returns tokens
  #hasFailed; // since the last token
  #opened;
  #failed;
  #problem = fail(2801, "timeout"); // why the login isn't done yet

  /**
   * settings: base, userID, platform, deviceID, staleAfter, idleAfter. events are functions: emit, change, settle, kicked.
   */
  constructor(settings, events) {
    Object.assign(this, settings, events, { settings });
    this.name = `presence 2 ${this.base} ${this.userID}`; // of what the tabs of this user share
  }

  /** Resolves to the data of READY. Without a server it tries again, for up to 15 s in all. */
  async login(userSig) {
    const opened = new Promise((resolve, reject) => ([this.#opened, this.#failed] = [resolve, reject]));
    await Promise.race([partings.get(this.name), opened]);
    const deadline = timer(() => this.#failed(this.#problem), TIMEOUT);
    this.#tryOut(userSig, Date.now() + TIMEOUT).catch(this.#failed);
    return opened.finally(() => clearTimeout(deadline));
  }

  /** Opens the stream once the server accepts the token: the stream may be another tab's, which has not tried it. */
  async #tryOut(userSig, until) {
    const backoff = new Backoff();
    let token;
    for (;;) {
      try {
        token ??= await this.#obtain(userSig);
        const { successUserList } = await call(`${this.base}/v1/getUserStatus`, token, { userIDList: [this.userID] });
        if (this.#isOver) return;
        this.statuses.note(successUserList);
        this.tokens.add([token]);
        this.tabs.join();
        return this.active();
      } catch (error) {
        const { code, asked = 0 } = (this.#problem = error);
        const left = until - Date.now();
        if (this.#isOver || ![2800, 60022].includes(code) || asked > left) throw error;
        await new Promise((resolve) => timer(resolve, Math.min(backoff.next(asked), left)));
      }
    }
  }

  /** Replaces the token in all tabs. */
  async renew(userSig) {
    const token = await this.#obtain(userSig);
    if (this.#isOver) return;
    this.tokens.drop(token);
    this.tokens.add([token]);
    this.tabs.post(this.hello);
  }

  /** Returns the token that the page gives, or that its function returns. */
  async #obtain(userSig) {
    this.#renewal = typeof userSig === "function" && userSig;
    if (!this.#renewal) return userSig;
    try {
      const token = await userSig();
      if (!token || typeof token !== "string") throw "no string";
      this.#hasFailed = false;
      return token;
    } catch (error) {
      throw fail(2003, `userSig: ${error?.message ?? error}`);
    }
  }

  /** Somebody uses this tab. The other tabs are notified, but at most ten times in idleAfter. */
  active() {
    const now = Date.now();
    if (!this.idleAfter || Math.abs(now - this.activeAt) < 100 * this.idleAfter) return;
    this.use(now);
  }

  /** Makes all tabs count from a time at which somebody used one of them. */
  use(at) {
    this.activeAt = at;
    this.tabs.post({ event: "ACTIVE", data: at });
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

  async call(name, body, isLast) {
    const token = await this.#token();
    try {
      return await call(`${this.base}/v1/${name}`, token, body);
    } catch (error) {
      const { ending: type, code, message } = error;
      if (!type) throw error;
      this.tokens.drop(token); // before the leader offers a new one
      this.tabs.post({ event: "EXPIRED", data: { token, type, code, message } });
      if (this.#isOver || (isLast && this.tokens.isEmpty)) throw error;
      return this.call(name, body, true);
    }
  }

  /** The newest token. Without one, it waits up to 10 s for one. */
  async #token() {
    for (let i = 50; i-- && this.tokens.isEmpty && !this.#isOver; ) await new Promise((resolve) => timer(resolve, 200));
    if (this.tokens.isEmpty) throw fail(70001, "timeout");
    return this.tokens.newest;
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
    const { deviceID, activeAt, tokens } = this;
    return { ...this.settings, deviceID, activeAt, tokens: tokens.list, cursor: this.#cursor };
  }

  get hello() {
    return { event: "HELLO", data: { tokens: this.tokens.list } };
  }

  /** What other tabs need to know: the users that this one holds, or null if it is about to leave. */
  get answer() {
    return this.#isOver ? null : this.subscriptions.held;
  }

  /** Receives a message of a tab, whose event names the method, or of the leader. */
  hear(message) {
    const { event, data, from } = message;
    if (this.#isOver) return;
    if (this[event]) this[event](data);
    else if (from) this.#follow(message);
  }

  HELLO({ tokens }) {
    this.tokens.add(tokens);
  }

  ACTIVE(at) {
    this.activeAt = at;
  }

  /** Offers to renew the token, and does it if the leader has chosen this tab. A failure is reported once. */
  async RENEW(chosen) {
    if (!this.#renewal) return;
    if (!chosen) this.tabs.post({ event: "OFFER", data: this.#id });
    if (chosen !== this.#id) return;
    try {
      await this.renew(this.#renewal);
    } catch (error) {
      if (!this.#hasFailed) this.emit("ERROR", error);
      this.#hasFailed = true;
    }
  }

  SEEN(statuses) {
    this.statuses.update(statuses);
  }

  UNSUBSCRIBED(userIDs) {
    this.subscriptions.restore(userIDs);
  }

  EXPIRED({ token }) {
    this.tokens.drop(token);
  }

  KICKED_OUT({ type, code = 3001, message }) {
    this.FAILED({ code, message });
    this.kicked(type);
  }

  FAILED({ code, message }) {
    this.#failed(fail(code, message));
  }

  /** Receives a message of the leader. */
  #follow({ event, data, id, net = "connected", tokens = [], silence }) {
    this.#silence.heard();
    this.tokens.list = [...new Set([...tokens, ...this.tokens.list])]; // the tokens of this tab may be newer
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

  /** Tries again what failed. Ends a stale period: the stream reports what changed, and this reports the rest. */
  async #unhide() {
    this.settle();
    const { hidden } = this.statuses;
    if (!hidden.length) return;
    const answer = await this.callForAll("getUserStatus", 500, hidden).catch(() => {}); // tried again at KEEPALIVE
    if (!answer) return;
    const stillHidden = this.statuses.hidden;
    this.statuses.update(answer.successUserList.filter(({ userID }) => stillHidden.includes(userID)));
    this.statuses.forget(answer.failureUserList.map(({ userID }) => userID));
  }
}
