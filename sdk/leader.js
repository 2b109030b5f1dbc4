// The leader holds the one stream of all tabs of a user, and passes on what it receives. It runs in one of the tabs, or
// in a SharedWorker.

import { sending } from "./calls.js";
import { Silence } from "./pauses.js";
import { Stream } from "./stream.js";

const isStatus = (status) => typeof status?.userID === "string" && status.version >= 0;

// The events that the SDK uses, with the check of their data.
const EVENTS = {
  READY: (data) => isStatus(data.self) && typeof data.deviceID === "string",
  USER_STATUS_UPDATED: (data) => data.every(isStatus),
  KICKED_OUT: (data) => typeof data.type === "string",
};

/** Adds the missing tokens. Few are kept: the newest is used, and the others only if it expires before them. */
export function addTokens(tokens, more) {
  for (const token of more) if (!tokens.includes(token)) tokens.push(token);
  tokens.splice(0, tokens.length - 3);
}

export function dropToken(tokens, token) {
  if (tokens.includes(token)) tokens.splice(tokens.indexOf(token), 1);
}

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

  /** options: base, userID, platform, deviceID, tokens, cursor. post sends a message to all tabs. */
  constructor({ tokens, cursor, ...options }, post) {
    this.#options = options;
    this.#tokens = [...tokens];
    this.#cursor = cursor;
    this.#post = (message) => post({ ...message, from: this.id });
  }

  /** Resolves when the login has ended, or another leader has taken over. */
  run() {
    this.#post({ event: "LEAD" });
    return this.#stream.run();
  }

  stop() {
    this.#isStopped = true;
    this.#silence.end();
    this.#stream.stop();
  }

  /** Receives a message of a tab, or of another leader. */
  hear({ event, data }) {
    if (this.#isStopped) return;
    if (event === "HELLO") this.#welcome(data);
    if (event === "WAKE") this.#wake();
    if (event === "OFFLINE") this.#stream.cut();
    if (event === "BEHIND") this.#goBack(data);
    if (event === "EXPIRED") this.#drop(data.token);
    if (event === "KICKED_OUT" || event === "LEAD") this.stop();
  }

  // For the stream

  request() {
    const { base, platform, deviceID } = this.#options;
    this.#silence.heard();
    this.#sentToken = this.#tokens.at(-1);
    const headers = this.#cursor >= 0 ? { "Last-Event-ID": this.#cursor } : {};
    return [`${base}/v1/events?${new URLSearchParams({ platform, deviceID })}`, sending(this.#sentToken, headers)];
  }

  /** Throws before any part of a malformed event takes effect. */
  receive({ event: name, data, id }) {
    const event = Object.hasOwn(EVENTS, name) ? name : "KEEPALIVE";
    if (EVENTS[event]?.(data) === false) throw new Error("malformed data");
    this.#silence.heard();
    this.#cursor = id ?? this.#cursor;
    if (event === "READY" && !this.#begin(data)) return;
    if (event === "KICKED_OUT") return this.#kicked(data.type);
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
      this.#expire("userSigExpired", 70013, "the credentials are another user's");
      this.#stream.cut();
      return false;
    }
    this.#ready = ready;
    this.#options.deviceID = ready.deviceID;
    this.#silence.keepalive = ready.keepaliveSeconds;
    this.#silence.heard();
    return true;
  }

  #kicked(type) {
    if (type === "userSigExpired") return this.#expire(type);
    this.#post({ event: "KICKED_OUT", data: { type } });
    this.stop();
  }

  /** Every tab drops the token that was refused. The login ends with the last one. */
  #expire(type, code, message) {
    const token = this.#sentToken;
    this.#post({ event: "EXPIRED", data: { token, type, code, message } });
    this.#drop(token);
  }

  #drop(token) {
    dropToken(this.#tokens, token);
    if (!this.#tokens.length) this.stop();
  }

  #welcome({ tokens }) {
    addTokens(this.#tokens, tokens);
    // Behind an alert Firefox stops timers and streams, but not messages. The tab that asked must take over.
    if (this.#silence.length > this.#silence.ms - 500) return;
    if (!this.#ready) return this.#post({ event: "NET", data: this.#net });
    this.#post({ event: "WELCOME", data: this.#ready, id: this.#cursor, net: this.#net, tokens: this.#tokens });
  }

  #wake() {
    this.#stream.hurry();
    if (this.#silence.length > this.#silence.ms / 2 + 1000) this.#stream.cut(); // a KEEPALIVE is overdue
  }

  /** Resumes from the cursor of a tab that has missed something. */
  #goBack(cursor) {
    if (cursor >= this.#cursor) return;
    this.#cursor = cursor;
    this.#stream.cut();
  }

  #fellSilent() {
    this.#silentFor = this.#silence.ms;
    this.#stream.cut();
  }
}
