// The leader holds the one stream of all tabs of a user, and passes on what it receives. It runs in one of the tabs, or
// in a SharedWorker.

import { EXPIRED, call, sending } from "./calls.js";
import { Idleness } from "./idleness.js";
import { Silence, timer } from "./pauses.js";
import { Stream } from "./stream.js";
import { Tokens } from "./tokens.js";

const isStatus = (status) => typeof status?.userID === "string" && status.version >= 0;

// The events that the SDK uses, with the check of their data.
const EVENTS = {
  READY: (data) => isStatus(data.self) && typeof data.deviceID === "string",
  USER_STATUS_UPDATED: (data) => data.every(isStatus),
  KICKED_OUT: (data) => typeof data.type === "string",
};

export class Leader {
  id = Math.random();
  #options;
  #post;
  #tokens;
  #cursor;
  #stream = new Stream(this);
  #silence = new Silence(() => this.#fellSilent());
  #silentFor = 0; // ms, before the stream was cut
  #ready;
  #net = "connecting";
  #sentToken;
  #isStopped;
  #isChoosing; // the tab that renews the token
  #renewal; // the timer of what comes next for that
  #idleness;

  /**
   * options: base, userID, platform, deviceID, tokens, cursor, idleAfter, activeAt. post sends a message to all tabs.
   */
  constructor({ tokens, cursor, ...options }, post) {
    this.#options = options;
    this.#tokens = new Tokens(tokens);
    this.#cursor = cursor;
    this.#post = (message) => post({ ...message, from: this.id });
    this.#idleness = new Idleness(options, (idle) => this.#sendIdle(idle));
  }

  /** Resolves when the login has ended, or another leader has taken over. */
  run() {
    this.#post({ event: "LEAD" });
    this.#planRenewal();
    return this.#stream.run();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#renewal);
    this.#idleness.end();
    this.#silence.end();
    this.#stream.stop();
  }

  /** Receives a message of a tab, or of another leader. Its event names the method. */
  hear({ event, data }) {
    if (!this.#isStopped) this[event]?.(data);
  }

  HELLO({ tokens }) {
    this.#take(tokens);
    // Behind an alert Firefox stops timers and streams, but not messages. The tab that asked must take over.
    if (this.#silence.length > this.#silence.ms - 500) return;
    if (!this.#ready) return this.#post({ event: "NET", data: this.#net });
    this.#post({ event: "WELCOME", data: this.#ready, id: this.#cursor, net: this.#net, tokens: this.#tokens.list });
  }

  WAKE() {
    this.#stream.hurry();
    if (this.#silence.length > this.#silence.ms / 2 + 1000) this.#stream.cut(); // a KEEPALIVE is overdue
  }

  OFFLINE() {
    this.#stream.cut();
  }

  /** Resumes from the cursor of a tab that has missed something. */
  BEHIND(cursor) {
    if (cursor >= this.#cursor) return;
    this.#cursor = cursor;
    this.#stream.cut();
  }

  /** The login ends with the last token, unless that has just expired and a tab can renew it. */
  EXPIRED({ token, type, code, message }) {
    if (!this.#tokens.drop(token) || !this.#tokens.isEmpty) return;
    if (code > 70001) this.#kicked(type, code, message);
    else this.#renew();
  }

  /** One tab renews the token for all. It is asked again when no token has come. */
  OFFER(tab) {
    if (!this.#isChoosing) return;
    this.#isChoosing = false;
    this.#renewIn(15_000);
    this.#post({ event: "RENEW", data: tab });
  }

  ACTIVE(at) {
    this.#idleness.active(at);
  }

  KICKED_OUT() {
    this.stop();
  }

  LEAD() {
    this.stop();
  }

  // For the stream

  request() {
    if (this.#tokens.isEmpty) throw Error(); // until there is a token, the stream pauses
    const { base, platform, deviceID } = this.#options;
    this.#silence.heard();
    this.#sentToken = this.#tokens.newest;
    const headers = this.#cursor >= 0 ? { "Last-Event-ID": this.#cursor } : {};
    return [`${base}/v1/events?${new URLSearchParams({ platform, deviceID })}`, sending(this.#sentToken, headers)];
  }

  /** Throws before any part of a malformed event takes effect. */
  receive({ event: name, data, id }) {
    const event = Object.hasOwn(EVENTS, name) ? name : "KEEPALIVE";
    if (EVENTS[event]?.(data) === false) throw Error("malformed data");
    this.#silence.heard();
    this.#cursor = id ?? this.#cursor;
    if (event === "READY" && !this.#begin(data)) return;
    if (event === "KICKED_OUT") return data.type === EXPIRED ? this.#expire(EXPIRED) : this.#kicked(data.type);
    this.#net = "connected";
    this.#post({ event, data, id });
  }

  skipped(id, message) {
    this.#cursor = id ?? this.#cursor;
    this.#post({ event: "ERROR", data: { code: 70402, message }, id });
  }

  refused({ status, headers }, { code, message, ending }) {
    const type = status === 204 && headers.get("Presence-Kicked");
    if (type) this.#kicked(type);
    if (ending) this.#expire(ending, code, message);
    if (status !== 400 || code === 2800 || this.#ready) return;
    this.#post({ event: "FAILED", data: { code, message } });
    this.stop();
  }

  lost(state) {
    this.#net = state;
    this.#post({ event: "NET", data: state, silence: this.#silentFor });
    this.#silentFor = 0;
  }

  #begin(ready) {
    const { userID } = this.#options;
    if (ready.self.userID !== userID) {
      this.#expire(EXPIRED, 70013, "login of another user");
      this.#stream.cut();
      return false;
    }
    this.#ready = ready;
    this.#options.deviceID = ready.deviceID;
    this.#silence.keepalive = ready.keepaliveSeconds;
    this.#silence.heard();
    this.#idleness.online();
    return true;
  }

  #kicked(type, code, message) {
    this.#post({ event: "KICKED_OUT", data: { type, code, message } });
    this.stop();
  }

  #expire(type, code, message) {
    const data = { token: this.#sentToken, type, code, message };
    this.#post({ event: "EXPIRED", data });
    this.EXPIRED(data);
  }

  /** Renews the newest token before it expires. When the clock says that it has, the server decides. */
  #planRenewal() {
    if (this.#tokens.isEmpty) return this.#renew();
    const left = this.#tokens.expiry - Date.now();
    if (left > 0) this.#renewIn(Math.max(0.8 * left, 500));
  }

  #renewIn(ms, renew = () => this.#renew()) {
    clearTimeout(this.#renewal);
    if (!this.#isStopped) this.#renewal = timer(renew, ms);
  }

  /** Asks which tab can renew the token. Without a token, and when no tab can, the login ends. */
  #renew() {
    this.#isChoosing = true;
    this.#renewIn(500, () => this.#tokens.isEmpty && this.#kicked(EXPIRED, 70001));
    this.#post({ event: "RENEW" });
  }

  #take(tokens) {
    const { newest } = this.#tokens;
    this.#tokens.add(tokens);
    if (newest === this.#tokens.newest) return;
    clearTimeout(this.#renewal);
    this.#planRenewal();
    if (newest === undefined) this.#stream.hurry();
  }

  #sendIdle(idle) {
    const { base, deviceID } = this.#options;
    return call(`${base}/v1/setIdle`, this.#tokens.newest, { deviceID, idle });
  }

  #fellSilent() {
    this.#silentFor = this.#silence.ms;
    this.#stream.cut();
  }
}
