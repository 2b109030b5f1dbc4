// A server whose responses a test chooses, for what the real one does rarely or never: broken events, responses of other
// servers, tokens that expire at a given moment.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import TencentCloudChat from "../presence.js";
import { record } from "./server.js";

let nextAppID = 1_000_000;

export const status = (userID, version = 1, more = {}) => ({ userID, statusType: 1, customStatus: "", version, ...more });

export const json = (response, httpStatus, body) =>
  response.writeHead(httpStatus, { "Content-Type": "application/json" }).end(JSON.stringify(body));

/** One event as it is on the wire. */
export const event = (name, data, id) => `event: ${name}\ndata: ${typeof data === "string" ? data : JSON.stringify(data)}\nid: ${id}\n\n`;

class Fake {
  /** Each request so far: {name, token, cursor, body, response}; the name of a stream is "events". */
  requests = [];
  #waiting = new Set();

  /** Responds to a call. A test may replace it. */
  call({ name, body, response }) {
    const successUserList = (body.userIDList ?? []).map((userID) => status(userID));
    json(response, 200, { code: 0, data: { successUserList, failureUserList: [], evictedUserList: [] } });
  }

  /** Responds to a request for a stream. A test may replace it. */
  stream({ response }) {
    this.ready(response);
  }

  ready(response, userID = "alice", id = 1) {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(event("READY", { deviceID: "d", self: status(userID), keepaliveSeconds: 15 }, id));
  }

  /** Resolves to the n-th request of this name, counted from 1. */
  async nth(name, n) {
    for (;;) {
      const found = this.requests.filter((request) => request.name === name)[n - 1];
      if (found) return found;
      await new Promise((resolve) => this.#waiting.add(resolve));
    }
  }

  async take(request, response) {
    let text = "";
    for await (const chunk of request) text += chunk;
    const { headers, url } = request;
    const taken = {
      name: /^\/v1\/(\w+)/.exec(url)[1],
      token: headers.authorization?.slice("Bearer ".length),
      cursor: headers["last-event-id"],
      body: JSON.parse(text || "{}"),
      response,
    };
    this.requests.push(taken);
    if (taken.name === "events") this.stream(taken);
    else this.call(taken);
    this.#waiting.forEach((resolve) => resolve());
    this.#waiting.clear();
  }

  /** An SDK of its own that is destroyed with the test t; seen has every event in order. */
  create(t, options = {}) {
    const chat = TencentCloudChat.create({ SDKAppID: nextAppID++, serverURL: this.url, ...options });
    const seen = record(chat);
    t.after(() => chat.destroy());
    return { chat, seen };
  }

  async login(t, userSig = "token", options) {
    const { chat, seen } = this.create(t, options);
    await chat.login({ userID: "alice", userSig });
    await seen.next("SDK_READY");
    return { chat, seen };
  }
}

/** Starts a fake server that ends with the test t. */
export async function startFake(t) {
  const fake = new Fake();
  const server = http.createServer((request, response) => fake.take(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  fake.url = `http://127.0.0.1:${server.address().port}`;
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return fake;
}

/** Reports whether a timer that runs this is a pause of the SDK, which does nothing but resolve a promise. */
export const isPause = (run) => /\[native code\]/.test(run);

/**
 * Skips the SDK's pauses between attempts, and lets its clock pass instead. Returns the pauses so far. Other
 * timers run as they are.
 */
export function skipPauses(t) {
  const skipped = [];
  const wait = globalThis.setTimeout;
  const now = Date.now;
  t.mock.method(globalThis, "setTimeout", (run, ms = 0, ...rest) => {
    assert.ok(ms >= 0 && ms < 2 ** 31, `a timer of ${ms} ms`);
    if (!isPause(run)) return wait(run, ms, ...rest);
    skipped.push(ms);
    return wait(run, 0, ...rest);
  });
  t.mock.method(Date, "now", () => now() + skipped.reduce((sum, ms) => sum + ms, 0));
  return skipped;
}
