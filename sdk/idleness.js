// Reports to the server that nobody uses this device, or that somebody uses it again.

import { timer } from "./pauses.js";

export class Idleness {
  #after; // ms
  #activeAt;
  #report;
  #timer;
  #known; // what the server knows; undefined before the first report of this leader
  #last; // a promise: the end of the last report; undefined before this leader is online

  /** idleAfter is in seconds, zero for never, activeAt in ms. report sends whether the device is idle, and may fail. */
  constructor({ idleAfter, activeAt }, report) {
    this.#after = 1000 * idleAfter;
    this.#activeAt = activeAt;
    this.#report = report;
  }

  /** Somebody used the device, at a time in ms. */
  active(at) {
    this.#activeAt = at;
    this.#check();
  }

  /** A device that comes back may have been forgotten meanwhile, and then counts as not idle. */
  online() {
    this.#last ??= Promise.resolve();
    this.#known &&= false;
    this.#check();
  }

  end() {
    this.#after = 0;
    clearTimeout(this.#timer);
  }

  /** Reports one change after another. A report that failed is repeated at the next check. */
  #check() {
    if (!this.#after || !this.#last) return;
    const left = this.#activeAt + this.#after - Date.now();
    const isIdle = left <= 0;
    clearTimeout(this.#timer);
    this.#timer = timer(() => this.#check(), isIdle ? this.#after : left);
    if (isIdle === this.#known) return;
    this.#known = isIdle;
    this.#last = this.#last.then(() => this.#report(isIdle)).catch(() => (this.#known = undefined));
  }
}
