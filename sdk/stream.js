// The event stream over fetch, which unlike EventSource sends a token in a header.

/** Returns a function to feed a stream to, in pieces of text. */
export function parser(receive, retry) {
  let rest = "";
  let fields = {};
  const line = (text) => {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(text);
    if (name) fields[name] = name === "data" && fields.data ? `${fields.data}\n${value}` : value;
    if (text) return;
    const { event, data, id } = fields;
    if (fields.retry) retry(+fields.retry);
    fields = {};
    if (data) receive({ event, data: JSON.parse(data), id: +id });
  };
  return (text) => {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/); // a last \r may be half a \r\n
    rest = lines.pop();
    lines.forEach(line);
  };
}

export class Stream {
  #owner;
  #controller;
  #endPause;
  #stopped;
  #failures = 0;
  #delay;

  constructor(owner) {
    this.#owner = owner;
  }

  async run() {
    while (!this.#stopped) {
      this.#controller = new AbortController();
      this.#delay = 500;
      await this.#connect(...this.#owner.request()).catch(() => {}); // the next try resumes
      this.cut();
      if (this.#stopped) return;
      this.#owner.lost(this.#failures ? "disconnected" : "connecting");
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
    this.#failures = 0;
    this.#endPause?.();
  }

  async #connect(url, headers) {
    const response = await fetch(url, { headers, cache: "no-store", signal: this.#controller.signal });
    if (response.status !== 200) return this.#refused(response);
    const feed = parser((event) => this.#receive(event), (ms) => (this.#delay = Math.max(ms, 100)));
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      feed(decoder.decode(value, { stream: true }));
    }
  }

  #receive(event) {
    if (this.#stopped) return;
    this.#failures = 0;
    this.#owner.receive(event);
  }

  async #refused(response) {
    this.#delay = Math.max(this.#delay, 1000 * response.headers.get("Retry-After"));
    this.#owner.refused(response.status, await response.json().catch(() => ({})));
  }

  /** Grows, is never less than the server asks for, and not the same for all clients. */
  #pause() {
    const delay = Math.max(this.#delay, Math.min(this.#delay * 2 ** this.#failures++, 15_000));
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay * (1 + Math.random() / 2));
      this.#endPause = () => resolve(clearTimeout(timer));
    });
  }
}
