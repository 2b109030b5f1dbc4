// The calls of the server API, and how the page reads again and again.

import { call } from "../sdk/calls.js";
import { Backoff, timer } from "../sdk/pauses.js";

const FORBIDDEN = 70403;

/** The server API with one admin key. refused is called when the server doesn't accept the key. */
export class API {
  #base = new URL("../v1/admin/", location.href).href;
  #refused;

  constructor(key, refused) {
    // A header carries bytes, so a key outside ASCII is sent as its UTF-8.
    this.key = String.fromCharCode(...new TextEncoder().encode(key));
    this.#refused = refused;
  }

  url(path, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined);
    return `${this.#base}${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
  }

  /** A 403 means that the key is wrong. */
  async get(path, query) {
    try {
      return await call(this.url(path, query), this.key, undefined, true);
    } catch (error) {
      if (error.code === FORBIDDEN) this.#refused();
      throw error;
    }
  }

  /** A 403 may have another reason, such as a server that issues no tokens. */
  post(path, body) {
    return call(this.url(path), this.key, body, true);
  }

  static isForbidden({ code }) {
    return code === FORBIDDEN;
  }
}

/**
 * Reads every so many ms and shows what it read. It never reads twice at the same time, reads less often if reading takes
 * long or fails, and rests while the page is hidden.
 */
export class Poll {
  #options;
  #backoff = new Backoff();
  #timer;
  #due = Infinity;
  #isReading;
  #stop = new AbortController();

  /** options: every (ms), read, show, and those that may be absent: failed, which receives the error, and after (ms). */
  constructor(options) {
    this.#options = options;
    document.addEventListener("visibilitychange", () => this.soon(), { signal: this.#stop.signal });
    this.soon(options.after);
  }

  /** Reads within ms, instead of when it would be due. */
  soon(ms = 0) {
    const due = Date.now() + ms;
    if (this.#stop.signal.aborted || due >= this.#due) return;
    this.#due = due;
    clearTimeout(this.#timer);
    this.#timer = timer(() => this.#run(), ms);
  }

  stop() {
    this.#stop.abort();
    clearTimeout(this.#timer);
  }

  async #run() {
    this.#due = Infinity;
    if (document.hidden) return;
    if (this.#isReading) return this.soon(100);
    this.#isReading = true;
    const pause = await this.#read();
    this.#isReading = false;
    this.soon(pause);
  }

  /** Returns how long to wait until the next time, in ms. */
  async #read() {
    const { every, read, show, failed } = this.#options;
    const began = Date.now();
    const [data, error] = await read().then((data) => [data], (error) => [undefined, error]);
    if (this.#stop.signal.aborted) return 0;
    if (error) {
      failed?.(error);
      return this.#backoff.next(error.asked ?? 0);
    }
    this.#backoff.failures = 0;
    show(data);
    return Math.max(every, 10 * (Date.now() - began));
  }
}
