// When a stream comes back: over real sockets, with the pauses written down and not waited for.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Stream } from "../stream.js";

const READY = "event: READY\ndata: {}\nid: 1\n\n";

/** A server that answers as told, and a stream to it. asked(n) waits for the n-th request. */
async function start(t, answer) {
  const server = createServer((request, response) => {
    answer(response);
    server.emit("asked", ++count);
  });
  let count = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}/`;
  const states = [];
  const stream = new Stream({ request: () => [url, {}], receive() {}, refused() {}, lost: (state) => states.push(state) });
  t.after(() => {
    stream.stop();
    server.closeAllConnections();
    server.close();
  });
  const asked = async (n) => {
    while (count < n) await once(server, "asked");
  };
  return { stream, states, asked };
}

/** Writes down each pause of the stream; a skipped one ends at once. */
function pauses(t, skip) {
  const noted = [];
  const wait = globalThis.setTimeout;
  t.mock.method(globalThis, "setTimeout", (run, ms, ...rest) => {
    if (!new Error().stack.includes("/stream.js:")) return wait(run, ms, ...rest); // fetch uses it too
    noted.push(ms);
    return wait(run, skip ? 0 : ms, ...rest);
  });
  return noted;
}

const within = (pause, from) => assert.ok(pause >= from && pause <= 1.5 * from, `${pause} ms, not ${from} to ${1.5 * from}`);

test("pauses grow up to 15 s, so that everyone is back within the grace of a restart, and differ", async (t) => {
  const noted = pauses(t, true);
  const { stream, states, asked } = await start(t, (response) => response.writeHead(503).end());
  stream.run();
  await asked(21);
  [500, 1000, 2000, 4000, 8000, ...Array(15).fill(15_000)].forEach((from, i) => within(noted[i], from));
  assert.ok(new Set(noted.slice(5, 20)).size > 10, `all the same: ${noted}`);
  assert.deepEqual(states.slice(0, 3), ["connecting", "disconnected", "disconnected"]);
});

test("retry: is honoured, and so is Retry-After", async (t) => {
  const noted = pauses(t, true);
  const answers = [
    (response) => response.end(`retry: 40000\n${READY}`),
    (response) => response.writeHead(503, { "Retry-After": "60" }).end("{}"),
    (response) => response.end(READY),
  ];
  const { stream, asked } = await start(t, (response) => answers.shift()?.(response));
  stream.run();
  await asked(4);
  [40_000, 60_000, 500].forEach((from, i) => within(noted[i], from));
});

test("hurrying ends a pause at once", async (t) => {
  const noted = pauses(t, false);
  const { stream, asked } = await start(t, (response) => response.end("retry: 3600000\n\n"));
  stream.run();
  for (let i = 1; i <= 3; i++) {
    await asked(i);
    while (noted.length < i) await new Promise(setImmediate);
    within(noted[i - 1], 3_600_000);
    stream.hurry();
  }
});

test("a stopped stream stays stopped", async (t) => {
  pauses(t, false);
  const { stream, states, asked } = await start(t, (response) => response.write(READY));
  const ran = stream.run();
  await asked(1);
  stream.stop();
  await ran;
  assert.deepEqual(states, []);
});
