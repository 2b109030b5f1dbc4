// One event stream, kept open over fetch: unlike EventSource it sends the token in a header and notices silence.

/** Returns a function that takes the text of a stream in pieces, and calls receive({event, data, id}) and retry(ms). */
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
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/); // a last \r may be half of a \r\n
    rest = lines.pop();
    lines.forEach(line);
  };
}

/**
 * The owner answers request() with [url, headers], and is told receive(event), lost(state, silence) and
 * refused(status, answer). After each end the next try follows, until stop().
 */
export class Stream {
  #owner;
  #controller;
  #delay; // ms before the next try
  #failures = 0;
  #keepalive = 15_000;
  #heardAt;
  #endPause;
  #stopped;

  constructor(owner) {
    this.#owner = owner;
  }

  async run() {
    while (!this.#stopped) {
      const silence = await this.#connect();
      if (this.#stopped) return;
      this.#owner.lost(this.#failures ? "disconnected" : "connecting", silence);
      await this.#pause();
    }
  }

  stop() {
    this.#stopped = true;
    this.#endPause?.();
    this.cut();
  }

  cut() {
    this.#controller?.abort();
  }

  /** The network or the user is back. */
  wake() {
    this.#failures = 0;
    this.#endPause?.();
    if (Date.now() - this.#heardAt > this.#keepalive + 1000) this.cut();
  }

  /** Resolves at the end of one connection with how long it had been silent, if that was why. */
  async #connect() {
    const { signal } = (this.#controller = new AbortController());
    let silence = 0;
    let timer;
    const heard = () => {
      this.#heardAt = Date.now();
      clearTimeout(timer);
      timer = setTimeout(() => this.cut((silence = 2 * this.#keepalive)), 2 * this.#keepalive);
    };
    heard();
    this.#delay = 500;
    try {
      const [url, headers] = this.#owner.request();
      const response = await fetch(url, { headers, cache: "no-store", signal });
      if (response.status === 200) await this.#read(response.body.getReader(), heard);
      else await this.#refused(response);
    } catch {
      // unreachable, cut or garbled: all the same, the next try resumes
    }
    clearTimeout(timer);
    this.cut();
    return silence;
  }

  async #read(reader, heard) {
    const decoder = new TextDecoder();
    const feed = parser((event) => this.#receive(event), (ms) => (this.#delay = Math.max(ms, 100)));
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      feed(decoder.decode(value, { stream: true }));
      heard();
    }
  }

  #receive(event) {
    if (this.#stopped) return;
    if (event.event === "READY") {
      this.#failures = 0;
      this.#keepalive = 1000 * event.data.keepaliveSeconds;
    }
    this.#owner.receive(event);
  }

  async #refused(response) {
    const answer = await response.json().catch(() => ({}));
    this.#delay = Math.max(this.#delay, 1000 * response.headers.get("Retry-After"));
    this.#owner.refused(response.status, answer);
  }

  /** Longer after each failure, never less than the server asked for, and not in step with other clients. */
  #pause() {
    const delay = Math.max(this.#delay, Math.min(this.#delay * 2 ** this.#failures++, 30_000));
    return new Promise((resolve) => {
      this.#endPause = resolve;
      setTimeout(resolve, delay * (1 + Math.random() / 2));
    });
  }
}
