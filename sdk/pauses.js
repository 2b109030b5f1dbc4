// How long to wait. A timer that receives NaN, or more than 2^31 ms, fires immediately, so each number that comes from
// elsewhere is checked here.

const LONGEST = 300_000; // ms

/** setTimeout for any number of ms. */
export const timer = (run, ms) => setTimeout(run, Math.min(ms, 2 ** 31 - 1));

/** The ms that a Retry-After asks for: seconds or an HTTP date. Anything else counts as absent. */
export function retryAfter(headers, absent = 0) {
  const text = headers.get("Retry-After") ?? "";
  if (/^\d+$/.test(text)) return 1000 * text;
  if (!/^[A-Z][a-z]+,? .*\d:\d\d:\d\d( GMT| \d{4})$/.test(text)) return absent;
  const time = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`);
  return time ? Math.max(time - Date.now(), 0) : absent;
}

/** At least as long as usual and as asked for, never longer than five minutes, and not the same for all clients. */
export function spread(usual, asked) {
  return Math.min(Math.max(usual, asked) * (1 + Math.random() / 2), LONGEST);
}

/** The pauses between attempts, which grow: up to 5 s in the first minute, so that a restart is short, then to 22.5 s. */
export class Backoff {
  failures = 0;
  #since;

  next(asked) {
    if (!this.failures) this.#since = Date.now();
    const most = Date.now() - this.#since < 60_000 ? 5000 / 1.5 : 15_000;
    return spread(Math.min(500 * 2 ** this.failures++, most), asked);
  }
}

/** Calls run once nothing was heard for two keepalives. */
export class Silence {
  ms = 30_000;
  #since = Date.now();
  #timer;
  #run;

  constructor(run) {
    this.#run = run;
  }

  set keepalive(seconds) {
    if (seconds > 0) this.ms = Math.max(2000 * seconds, 1000);
  }

  /** ms; timers stop while a computer sleeps, or a page shows an alert, but the clock doesn't. */
  get length() {
    return Date.now() - this.#since;
  }

  heard() {
    this.end();
    this.#since = Date.now();
    this.#timer = timer(() => (this.heard(), this.#run()), this.ms);
  }

  end() {
    clearTimeout(this.#timer);
  }
}
