// One login. All tabs of a browser share one stream: the tab with the Web Lock leads, and passes on what it hears. When
// it dies, the next one gets the lock and resumes as the same device, from the last event it has seen.

import { Stream } from "./stream.js";

const TIMEOUT = 15_000; // ms

export const fail = (code, message = "", data = {}) => Object.assign(new Error(message), { code, data });

export class Session {
  #known = new Map(); // userID → {status, told: version reported, hidden: as UNKNOWN}
  #net = "connected";
  #silence = 30_000; // ms, two keepalives
  #heardAt;
  #silenceTimer;
  #staleTimer;
  #ready;
  #cursor;
  #stream;
  #sentToken;
  #channel;
  #leaving;
  #opened;
  #failed;

  constructor(options) {
    Object.assign(this, options);
  }

  open() {
    return new Promise((resolve, reject) => {
      this.#opened = resolve;
      this.#failed = reject;
      AbortSignal.timeout(TIMEOUT).onabort = () => reject(fail(2801, "timeout"));
      this.#join();
    });
  }

  close() {
    this.#leave();
    this.#failed?.(fail(3005, "logged out"));
  }

  async call(name, body, again = true) {
    const response = await fetch(`${this.base}/v1/${name}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT),
    }).catch((error) => {
      throw fail(error.name === "TimeoutError" ? 2801 : 2800, error.message);
    });
    const { status, headers } = response;
    if (status === 429 && again) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * (headers.get("Retry-After") ?? 5)));
      return this.call(name, body, false);
    }
    const { code = 2800, message = `HTTP ${status}`, data } = (await response.json().catch(() => {})) ?? {};
    if (code !== 0) throw fail(status === 429 ? 2996 : code, message, data);
    return data;
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

  /** Gives back the statuses of an answer, or what is known to be newer. */
  note(statuses) {
    return statuses.map((status) => {
      const known = this.#known.get(status.userID);
      if (known?.status.version > status.version) return { ...known.status };
      this.#known.set(status.userID, { told: -1, ...known, status });
      return { ...status };
    });
  }

  /** Reports what is news: neither older than an answer, nor reported before. */
  tell(statuses) {
    const news = statuses.filter((status) => {
      const known = this.#known.get(status.userID);
      if (status.version < known?.status.version || (status.version <= known?.told && !known.hidden)) return false;
      this.#known.set(status.userID, { status, told: status.version });
      return true;
    });
    if (news.length) this.emit("USER_STATUS_UPDATED", news.map((status) => ({ ...status })));
  }

  forget(userIDList) {
    for (const userID of userIDList.length ? userIDList : this.#known.keys()) {
      if (userID !== this.userID) this.#known.delete(userID);
    }
  }

  share(event, data, more) {
    this.#channel?.postMessage({ event, data, ...more });
  }

  request() {
    this.#watch();
    const headers = { Authorization: `Bearer ${(this.#sentToken = this.token)}` };
    if (this.#cursor >= 0) headers["Last-Event-ID"] = this.#cursor;
    const query = new URLSearchParams({ platform: this.platform, deviceID: this.deviceID });
    return [`${this.base}/v1/events?${query}`, headers];
  }

  receive(event) {
    this.#channel?.postMessage(event);
    this.#take(event);
  }

  refused(status, { code = 2800, message }) {
    if (status === 400) this.#failed(fail(code, message));
    if (status === 204) this.#kicked("multipleDevice");
    if (status === 401) this.#kicked(code === 70052 ? "REST_API_Kick" : "userSigExpired", code, message);
  }

  lost(state) {
    this.share("NET", state);
    this.#setNet(state);
  }

  #join() {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    const on = (name, handler, target = globalThis) => target.addEventListener?.(name, handler, { signal });
    on("online", () => this.#wake());
    on("offline", () => this.#stream?.cut());
    on("pageshow", ({ persisted }) => persisted && (this.#leave(), this.#join())); // the lock is lost
    on("visibilitychange", () => document.hidden || this.#wake(), globalThis.document);
    if (!globalThis.document || !navigator.locks || !globalThis.BroadcastChannel) return this.#lead();

    const name = `presence ${this.base} ${this.userID}`;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    navigator.locks.request(name, { signal }, () => this.#lead(name)).catch(() => signal.aborted || this.#lead());
    this.share("HELLO");
  }

  #leave() {
    this.#leaving?.abort();
    this.#stream?.stop();
    this.#stream = undefined;
    this.#channel?.close();
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#staleTimer);
  }

  #lead(name) {
    if (this.#leaving.signal.aborted) return;
    this.deviceID ??= rememberedID(name);
    this.#stream = new Stream(this);
    return this.#stream.run();
  }

  #wake() {
    if (!this.#stream) return this.share("WAKE");
    this.#stream.hurry();
    if (Date.now() - this.#heardAt > this.#silence / 2 + 1000) this.#stream.cut();
  }

  #hear(message) {
    const { event, data } = message;
    if (event === "NET") this.#setNet(data);
    else if (event === "SEEN") this.tell(data);
    else if (event === "WAKE") this.#stream && this.#wake();
    else if (event !== "HELLO") this.#take(message);
    else if (this.#stream && this.#ready) this.share("READY", this.#ready, { id: this.#cursor, net: this.#net });
  }

  #take({ event, data, id, net = "connected" }) {
    this.#cursor = id ?? this.#cursor;
    this.#watch();
    this.#setNet(net);
    if (event === "READY") this.#begin(data, id);
    else if (event === "USER_STATUS_UPDATED") this.tell(data);
    else if (event === "KICKED_OUT") this.#kicked(data.type);
    else this.#unhide(); // KEEPALIVE
  }

  #begin(ready, id) {
    const { self, deviceID, keepaliveSeconds } = ready;
    if (self.userID !== this.userID) return this.#failed(fail(70013, "userSig of another user"));
    // A snapshot: of another history, whose versions may be lower.
    if (id === 0) for (const known of this.#known.values()) known.told = known.status.version = -1;
    this.note([self]);
    if (this.#ready) this.tell([self]);
    else this.#known.get(self.userID).told = self.version;
    this.#ready = ready;
    this.#silence = 2000 * keepaliveSeconds;
    this.#watch();
    this.deviceID = deviceID;
    this.#opened(ready);
  }

  #kicked(type, code = 3001, message) {
    if (type === "userSigExpired" && this.#sentToken !== this.token) return; // ours was not sent: it may be fresher
    this.#failed(fail(code, message));
    this.kicked(type);
  }

  /** After two keepalives of silence the stream, or the tab that leads, is dead. */
  #watch() {
    this.#heardAt = Date.now();
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => {
      if (this.#net === "connected") this.#setNet("connecting", this.#silence);
      this.#stream?.cut();
    }, this.#silence);
  }

  #setNet(state, silence = 0) {
    if (state === this.#net) return;
    if (this.#net === "connected" && this.staleAfter) {
      this.#staleTimer = setTimeout(() => this.#hide(), 1000 * this.staleAfter - silence);
    }
    this.#net = state;
    this.emit("NET_STATE_CHANGE", { state });
    if (state !== "connected") return;
    clearTimeout(this.#staleTimer);
    this.#unhide();
  }

  #hide() {
    const unknown = [];
    for (const known of this.#known.values()) {
      const { userID, statusType, version } = known.status;
      known.hidden = statusType > 0;
      if (known.hidden) unknown.push({ userID, statusType: 0, customStatus: "", version });
    }
    if (unknown.length) this.emit("USER_STATUS_UPDATED", unknown);
  }

  /** Back after being stale: the stream tells what changed, this the rest. */
  async #unhide() {
    const isHidden = (userID) => this.#known.get(userID)?.hidden;
    const hidden = [...this.#known.keys()].filter(isHidden);
    if (!hidden.length) return;
    const answer = await this.callForAll("getUserStatus", 500, hidden).catch(() => {}); // tried again at KEEPALIVE
    if (!answer) return;
    this.tell(answer.successUserList.filter(({ userID }) => isHidden(userID)));
    for (const { userID } of answer.failureUserList) this.#known.delete(userID);
  }
}

// Under the lock, lest two tabs make one each.
function rememberedID(name) {
  const fresh = crypto.getRandomValues(new Uint32Array(4)).join("-");
  try {
    return name ? (localStorage[name] ??= fresh) : fresh;
  } catch {
    return fresh;
  }
}
