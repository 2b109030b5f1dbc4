// The event stream over fetch, which unlike EventSource sends a token in a header.

import { answerOf } from "./calls.js";
import { Backoff, retryAfter, timer } from "./pauses.js";

/**
 * Returns a function that takes a stream in pieces of bytes. receive is called with each event, whose data is still
 * text, and retry with the ms of each `retry:`. Lines end as the specification says: other characters that count as a
 * line end elsewhere, such as U+2028, are text.
 */
export function parser(receive, retry) {
  const decoder = new TextDecoder(); // skips a byte order mark
  let rest = "";
  let endedInCR;
  let event = {};
  const line = (text) => {
    if (!text) {
      if (event.data !== undefined) receive(event);
      event = {};
      return;
    }
    const [name, value] = split(text);
    if (name === "event") event.event = value;
    if (name === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
    if (!/^\d+$/.test(value) || value > Number.MAX_SAFE_INTEGER) return;
    if (name === "id") event.id = +value;
    if (name === "retry") retry(+value);
  };
  return (bytes) => {
    let text = decoder.decode(bytes, { stream: true });
    if (!text) return;
    if (endedInCR && text[0] === "\n") text = text.slice(1);
    endedInCR = text.endsWith("\r");
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

function split(line) {
  const colon = line.indexOf(":");
  if (colon < 0) return [line, ""];
  return [line.slice(0, colon), line.slice(colon + (line[colon + 1] === " " ? 2 : 1))];
}

/** Connects repeatedly until it is stopped. The owner provides each request, or throws, and receives the events. */
export class Stream {
  #owner;
  #controller;
  #endPause;
  #stopped;
  #backoff = new Backoff();
  #asked; // ms, by retry: or Retry-After of this connection

  constructor(owner) {
    this.#owner = owner;
  }

  async run() {
    while (!this.#stopped) {
      this.#controller = new AbortController();
      this.#asked = 0;
      await this.#connect().catch(() => {}); // the next attempt resumes
      this.cut();
      if (this.#stopped) return;
      this.#owner.lost(this.#backoff.failures ? "disconnected" : "connecting");
      await this.#pause();
    }
  }

  cut() {
    this.#controller?.abort();
  }

  stop() {
    this.#stopped = true;
    this.cut();
    this.hurry();
  }

  hurry() {
    this.#backoff.failures = 0;
    this.#endPause?.();
  }

  async #connect() {
    const [url, init] = this.#owner.request();
    const response = await fetch(url, { ...init, cache: "no-store", signal: this.#controller.signal });
    if (response.status !== 200) return this.#refused(response);
    if (!/^text\/event-stream/i.test(response.headers.get("Content-Type"))) return; // the page of a captive portal
    const feed = parser((event) => this.#receive(event), (ms) => (this.#asked = ms));
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      feed(value);
    }
  }

  /** An event that can't be parsed is skipped: after a new connection it would only arrive again. */
  #receive({ event, data, id }) {
    if (this.#stopped) return;
    this.#backoff.failures = 0;
    try {
      this.#owner.receive({ event, data: JSON.parse(data), id });
    } catch (error) {
      this.#owner.skipped(id, `the event ${event} can't be parsed: ${error.message}`);
    }
  }

  async #refused(response) {
    this.#asked = retryAfter(response.headers);
    const answer = await answerOf(response);
    if (!this.#stopped) this.#owner.refused(response, answer);
  }

  #pause() {
    return new Promise((resolve) => {
      const pause = timer(resolve, this.#backoff.next(this.#asked));
      this.#endPause = () => resolve(clearTimeout(pause));
    });
  }
}
