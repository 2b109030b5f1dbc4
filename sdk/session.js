// One login: its calls, what is known of others, and the stream, which all tabs of a browser share.
//
// The tab that holds the Web Lock leads: it keeps the stream and passes on what it hears over a BroadcastChannel.
// When it dies, the browser grants the lock to the next tab, which resumes as the same device from the last event
// that it has seen: nothing is lost, and friends notice nothing.

import { Stream } from "./stream.js";

const TIMEOUT = 15_000; // ms

/** What the SDK's promises are rejected with. */
export const fail = (code, message = "", data = {}) => Object.assign(new Error(message), { code, data });

export class Session {
  #options;
  #known = new Map(); // userID → {status, told: the version last reported, hidden: reported as UNKNOWN, muted}
  #net = "connected";
  #ready;
  #cursor;
  #stream;
  #sentToken;
  #channel;
  #leaving;
  #silenceTimer;
  #staleTimer;
  #opened;
  #failed;

  /** options: base, userID, token, platform, deviceID, staleAfter, emit(name, data), kicked(type) */
  constructor(options) {
    this.#options = options;
    this.userID = options.userID;
    this.token = options.token;
    this.deviceID = options.deviceID;
  }

  /** Resolves with READY's data once this tab, or the one that leads, is connected. */
  open() {
    return new Promise((resolve, reject) => {
      this.#opened = resolve;
      this.#failed = reject;
      setTimeout(() => reject(fail(2801, "no connection in time")), TIMEOUT);
      this.#join();
    });
  }

  close() {
    this.#leave();
    this.#failed?.(fail(3005, "logged out"));
  }

  async call(name, body, retry = true) {
    const response = await fetch(`${this.#options.base}/v1/${name}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${this.token}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT),
    }).catch((error) => {
      throw fail(error.name === "TimeoutError" ? 2801 : 2800, error.message);
    });
    const { status, headers } = response;
    if (status === 429 && retry) {
      await new Promise((resolve) => setTimeout(resolve, 1000 * (headers.get("Retry-After") ?? 5)));
      return this.call(name, body, false);
    }
    const { code, message, data } = await response.json().catch(() => ({ code: 2800, message: `HTTP ${status}` }));
    if (code) throw fail(status === 429 ? 2996 : code, message, data);
    return data;
  }

  /** The same call for any number of users, size at a time, with the lists of the answers joined. */
  async callForAll(name, size, userIDList) {
    const all = [...new Set(userIDList)];
    const joined = {};
    for (let i = 0; i < all.length; i += size) {
      const data = await this.call(name, { userIDList: all.slice(i, i + size) });
      for (const list in data) joined[list] = [...(joined[list] ?? []), ...data[list]];
    }
    return joined;
  }

  /** Takes in the statuses of an answer, and gives back each as new as it is known by now. */
  note(statuses) {
    return statuses.map((status) => {
      const known = this.#known.get(status.userID);
      const newest = known?.status.version > status.version ? known.status : status;
      this.#known.set(status.userID, { told: -1, ...known, status: newest, muted: false });
      return { ...newest };
    });
  }

  /** Reports those that are news: not older than an answer given before, nor reported already. */
  tell(statuses) {
    const news = statuses.filter((status) => {
      const known = this.#known.get(status.userID);
      if (status.version < known?.status.version || (status.version <= known?.told && !known.hidden)) return false;
      this.#known.set(status.userID, { told: status.version, status });
      return true;
    });
    this.#report(news.map((status) => ({ ...status })));
  }

  /** Who was unsubscribed (an empty list: all) is not reported as UNKNOWN when the stream is stale. */
  mute(userIDList) {
    for (const [userID, known] of this.#known) {
      known.muted ||= userID !== this.userID && (!userIDList.length || userIDList.includes(userID));
    }
  }

  share(event, data, more) {
    this.#channel?.postMessage({ event, data, ...more });
  }

  // What Stream asks and tells

  request() {
    const { base, platform } = this.#options;
    const headers = { Authorization: `Bearer ${(this.#sentToken = this.token)}` };
    if (this.#cursor >= 0) headers["Last-Event-ID"] = this.#cursor;
    return [`${base}/v1/events?${new URLSearchParams({ platform, deviceID: this.deviceID })}`, headers];
  }

  receive({ event, data, id }) {
    if (data.type !== "userSigExpired") this.share(event, data, { id }); // the next tab's token may be fresher
    this.#take({ event, data, id });
  }

  lost(state, silence) {
    this.share("NET", state);
    this.#setNet(state, silence);
  }

  /** 204 answers a device that was kicked, 401 a token that is no good; anything else may pass. */
  refused(status, { code, message }) {
    if (status === 204) this.#kicked("multipleDevice", 3002);
    if (status === 401) this.#kicked(code === 70052 ? "REST_API_Kick" : "userSigExpired", code, message);
  }

  #join() {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    const on = (name, handler, target = globalThis) => target.addEventListener?.(name, handler, { signal });
    on("online", () => this.#wake());
    on("offline", () => this.#stream?.cut());
    on("pageshow", ({ persisted }) => persisted && (this.#leave(), this.#join())); // it was frozen and lost its lock
    if (!globalThis.document || !navigator.locks || !globalThis.BroadcastChannel) return this.#lead();

    on("visibilitychange", () => document.hidden || this.#wake(), document);
    const name = `presence ${this.#options.base} ${this.userID}`;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    navigator.locks.request(name, { signal }, () => this.#lead(name)).catch(() => this.#lead());
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

  /** Pending, and so holding the lock, until this tab leaves. */
  async #lead(name) {
    if (this.#leaving.signal.aborted) return;
    this.deviceID ??= rememberedID(name);
    this.#stream = new Stream(this);
    await this.#stream.run();
  }

  #wake() {
    if (this.#stream) this.#stream.wake();
    else this.share("WAKE");
  }

  #hear(message) {
    const { event, data } = message;
    if (event === "HELLO") this.#stream && this.#ready && this.share("READY", this.#ready, { id: this.#cursor, net: this.#net });
    else if (event === "WAKE") this.#stream?.wake();
    else if (event === "SEEN") this.tell(data);
    else if (event === "NET") this.#setNet(data);
    else this.#take(message);
  }

  /** One event, heard on the stream or passed on by the tab that leads. */
  #take({ event, data, id, net = "connected" }) {
    this.#cursor = id ?? this.#cursor;
    this.#watchLeader();
    this.#setNet(net);
    if (event === "READY") this.#begin(data, id);
    else if (event === "USER_STATUS_UPDATED") this.tell(data);
    else if (event === "KICKED_OUT") this.#kicked(data.type);
    else this.#unhide(); // KEEPALIVE: what failed on return
  }

  #begin(ready, id) {
    const { self, deviceID } = ready;
    if (self.userID !== this.userID) return this.#failed(fail(70013, "the userSig is another user's"));
    // A snapshot although we had a cursor: the server's history is another, and its versions may be lower.
    if (id === 0) for (const known of this.#known.values()) known.told = known.status.version = -1;
    if (this.#ready) this.tell([self]);
    else this.#known.set(self.userID, { status: self, told: self.version });
    this.#ready = ready;
    this.deviceID = deviceID;
    this.#opened(ready);
  }

  #kicked(type, code = 3001, message) {
    // Logged in again meanwhile: the next try sends the fresh token.
    if (type === "userSigExpired" && this.#sentToken !== this.token) return;
    this.#failed(fail(code, message));
    this.#options.kicked(type);
  }

  /** A tab that leads but hangs passes nothing on, not even a KEEPALIVE. */
  #watchLeader() {
    clearTimeout(this.#silenceTimer);
    const silence = 2000 * this.#ready?.keepaliveSeconds;
    if (!this.#stream && silence) this.#silenceTimer = setTimeout(() => this.#setNet("connecting", silence), silence);
  }

  #setNet(state, silence = 0) {
    const { staleAfter, emit } = this.#options;
    if (state === this.#net) return;
    if (this.#net === "connected" && staleAfter) {
      this.#staleTimer = setTimeout(() => this.#hide(), 1000 * staleAfter - silence);
    }
    this.#net = state;
    emit("NET_STATE_CHANGE", { state });
    if (state !== "connected") return;
    clearTimeout(this.#staleTimer);
    this.#unhide();
  }

  #hide() {
    const shown = [...this.#known.values()].filter(({ status, muted }) => status.statusType && !muted);
    for (const known of shown) known.hidden = true;
    this.#report(shown.map(({ status: { userID, version } }) => ({ userID, statusType: 0, customStatus: "", version })));
  }

  /** Back after being stale: the stream tells only what changed, so ask for the rest. */
  async #unhide() {
    const isHidden = (userID) => this.#known.get(userID)?.hidden;
    const hidden = [...this.#known.keys()].filter(isHidden);
    if (!hidden.length) return;
    const answer = await this.callForAll("getUserStatus", 500, hidden).catch(() => {});
    if (!answer) return;
    this.tell(answer.successUserList.filter(({ userID }) => isHidden(userID)));
    for (const { userID } of answer.failureUserList) this.#known.delete(userID);
  }

  #report(statuses) {
    if (statuses.length) this.#options.emit("USER_STATUS_UPDATED", statuses);
  }
}

/** Kept, so that a reload is the same device; called under the lock, so that two tabs can't each make one. */
function rememberedID(name) {
  const fresh = crypto.getRandomValues(new Uint32Array(4)).join("-");
  try {
    return name ? (localStorage[name] ??= fresh) : fresh;
  } catch {
    return fresh;
  }
}
