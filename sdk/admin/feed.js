// The feed of all users, over the stream of the SDK.

import { Silence } from "../sdk/pauses.js";
import { Stream } from "../sdk/stream.js";
import { API } from "./api.js";

const SECONDS = { h: 3600, m: 60, s: 1, ms: 0.001 };

/**
 * Receives every change from now on. It never resumes: after a break the page reads again what it shows, which is less
 * than all that has changed.
 */
export class Feed {
  #api;
  #page;
  #stream = new Stream(this);
  #silence = new Silence(() => this.#stream.cut());
  #reason = "";
  #stop = new AbortController();

  /** page: connected(), lost(state, reason), changed(statuses), refused(). */
  constructor(api, page) {
    this.#api = api;
    this.#page = page;
    const { signal } = this.#stop;
    addEventListener("online", () => this.#stream.hurry(), { signal });
    addEventListener("offline", () => this.#stream.cut(), { signal });
    document.addEventListener("visibilitychange", () => this.#wake(), { signal });
    this.#stream.run();
  }

  stop() {
    this.#stop.abort();
    this.#silence.end();
    this.#stream.stop();
  }

  /** The timing.keepalive of the server, such as "1m30s". */
  set keepalive(duration) {
    const parts = duration.matchAll(/([\d.]+)(h|ms|m|s)/g);
    this.#silence.keepalive = [...parts].reduce((sum, [, n, unit]) => sum + n * SECONDS[unit], 0);
    this.#silence.heard(); // the current timer was started before this was known
  }

  /** Cuts a stream that was silent for too long, because timers stop while a computer sleeps. */
  #wake() {
    if (document.hidden) return;
    if (this.#silence.length > this.#silence.ms) this.#stream.cut();
    this.#stream.hurry();
  }

  // For the stream

  request() {
    this.#silence.heard();
    return [this.#api.url("events"), { headers: { Authorization: `Bearer ${this.#api.key}` } }];
  }

  receive({ event, data }) {
    this.#silence.heard();
    if (event === "READY") {
      this.#reason = "";
      this.#page.connected();
    }
    if (event === "USER_STATUS_UPDATED") this.#page.changed(data);
  }

  refused(response, answer) {
    this.#reason = answer.code === 2800 ? "" : answer.message;
    if (API.isForbidden(answer)) this.#page.refused();
  }

  lost(state) {
    this.#page.lost(state, this.#reason);
  }

  skipped() {} // the next change of that user is shown again
}
