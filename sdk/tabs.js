// How the tabs of a user share one stream. With Web Locks, the tab that has the lock leads, and the next in the queue
// follows when it is gone. Without them (plain HTTP, other than localhost) a SharedWorker leads. Where there is neither,
// each tab has a stream, and is a device, of its own.
//
// Each message reaches all tabs and the leader. Those of a leader have its ID in `from`.

import { Leader } from "./leader.js";
import { timer } from "./pauses.js";

export class Tabs {
  #session;
  #channel;
  #closing;
  #queue;
  #leader;
  #from; // the ID of the leader that counts
  #doubt;
  #worker;
  #questions = new Map(); // ID → called with each answer

  /**
   * It uses these members of the session: name, which the tabs of a user share, options for a leader, hello, answer, hear,
   * idleAfter and active.
   */
  constructor(session) {
    this.#session = session;
  }

  join() {
    this.#listen();
    const { document, navigator, BroadcastChannel, SharedWorker } = globalThis;
    if (!document || !BroadcastChannel || !(navigator.locks || SharedWorker)) return this.#leadAlone();
    this.#channel = new BroadcastChannel(this.#session.name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    if (navigator.locks) this.#elect();
    this.suspect();
  }

  close() {
    this.#closing?.abort();
    this.#queue?.abort();
    this.#leader?.stop();
    this.#channel?.close();
    this.#leader = this.#channel = this.#from = undefined;
    this.#worker?.port.close();
    clearTimeout(this.#doubt);
  }

  post(message) {
    this.#leader?.hear(message);
    this.#channel?.postMessage(message);
  }

  /** Replaces a leader that doesn't answer: its tab may be stuck in an alert or a debugger. A hidden tab never does. */
  suspect() {
    if (!this.#channel || this.#leader) return;
    if (!navigator.locks) return this.#hire();
    this.post(this.#session.hello);
    clearTimeout(this.#doubt);
    const patience = 1000 * (1 + Math.random() / 4); // ms; random, so that only one takes over
    this.#doubt = timer(() => document.hidden || this.#leader || this.#elect(true), patience);
  }

  /** Returns the answers of the other tabs to the session's question; undefined for a tab that is silent. */
  async ask() {
    if (!this.#channel) return [];
    const id = Math.random();
    const answers = [];
    let others = Infinity;
    await new Promise((resolve) => {
      const look = () => answers.length >= others && resolve();
      timer(resolve, 500); // ms
      this.#questions.set(id, (answer) => look(answers.push(answer)));
      this.post({ event: "ASK", data: id });
      this.#countOthers().then((count) => look((others = count)), resolve);
    });
    this.#questions.delete(id);
    if (others < Infinity) answers.length = Math.max(others, answers.length);
    return [...answers];
  }

  /** Each tab either holds the lock or waits for it. */
  async #countOthers() {
    if (!navigator.locks) return Infinity;
    const { held, pending } = await navigator.locks.query();
    return [...held, ...pending].filter(({ name }) => name === this.#session.name).length - 1;
  }

  #listen() {
    this.#closing = new AbortController();
    const { signal } = this.#closing;
    const on = (name, run, target = globalThis) => target.addEventListener?.(name, run, { signal, passive: true });
    on("online", () => this.post({ event: "WAKE" }));
    on("offline", () => this.post({ event: "OFFLINE" }));
    on("pageshow", ({ persisted }) => persisted && (this.close(), this.join())); // the lock is lost
    on("visibilitychange", () => document.hidden || this.#show(), globalThis.document);
    if (!this.#session.idleAfter) return;
    for (const name of ["pointerdown", "pointermove", "wheel", "keydown"]) on(name, () => this.#session.active());
  }

  #show() {
    this.post({ event: "WAKE" });
    this.suspect();
    this.#session.active();
  }

  #hear(message) {
    const { event, from, data } = message;
    this.#leader?.hear(message);
    if (from) {
      if (event === "LEAD") this.#from = from;
      if (from !== (this.#from ??= from)) return; // a leader that was stuck, and doesn't know that it was replaced
      clearTimeout(this.#doubt);
    }
    if (event === "ASK") this.post({ event: "ANSWER", data: { id: data, answer: this.#session.answer } });
    else if (event === "ANSWER") this.#questions.get(data.id)?.(data.answer);
    else this.#session.hear(message);
  }

  /** Queues for the lock, or takes it. When the leader has stopped because another one took over, it queues again. */
  async #elect(steal) {
    this.#queue?.abort();
    const { signal } = (this.#queue = new AbortController());
    const lead = () => signal.aborted || this.#lead(rememberedID(this.#session.name));
    try {
      await navigator.locks.request(this.#session.name, steal ? { steal } : { signal }, lead);
    } catch (error) {
      if (signal.aborted) return;
      if (error.name !== "AbortError") return this.#leadAlone();
      this.#leader?.stop();
    }
    if (!signal.aborted) this.#elect();
  }

  /** Introduces this tab to the worker, which begins to lead if it doesn't yet. */
  #hire() {
    this.#worker?.port.close();
    const { name, hello } = this.#session;
    const options = this.#optionsFor(rememberedID(name));
    try {
      this.#worker = new SharedWorker(new URL("./worker.js", import.meta.url), { type: "module" });
    } catch {
      return this.#leadAlone(); // the SDK is of another origin than the page
    }
    const giveUp = () => this.#from || this.#leadAlone();
    this.#worker.onerror = giveUp;
    this.#worker.port.postMessage({ name, options, hello });
    clearTimeout(this.#doubt);
    // It has to load. One that failed to load for another tab reports no error to this one.
    this.#doubt = timer(giveUp, 5000); // ms
  }

  #leadAlone() {
    this.#channel?.close();
    this.#channel = undefined;
    this.#lead(freshID());
  }

  async #lead(deviceID) {
    if (this.#closing.signal.aborted) return;
    clearTimeout(this.#doubt);
    const post = (message) => {
      this.#channel?.postMessage(message);
      this.#session.hear(message);
    };
    const leader = new Leader(this.#optionsFor(deviceID), post);
    this.#from = leader.id;
    this.#leader = leader;
    await leader.run();
    if (this.#leader === leader) this.#leader = undefined;
  }

  #optionsFor(deviceID) {
    const { options } = this.#session;
    return { ...options, deviceID: options.deviceID ?? deviceID };
  }
}

const freshID = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

function rememberedID(name) {
  try {
    return (localStorage[name] ??= freshID());
  } catch {
    return freshID();
  }
}
