// When a stream reconnects: over real sockets, with pauses that are recorded instead of waited for.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import { Stream } from "../stream.js";
import { isPause } from "./fake.js";

const READY = "event: READY\ndata: {}\nid: 1\n\n";
const STREAM = { "Content-Type": "text/event-stream; charset=utf-8" };

/** Starts a server that answers with the function given, and a stream to it. asked(n) waits for the n-th request. */
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
  const seen = [];
  const stream = new Stream({
    request: () => [url, {}],
    receive: (event) => seen.push(event),
    skipped: (id, message) => seen.push({ id, message }),
    refused: ({ status }, answer) => seen.push({ status, ...answer }),
    lost: (state) => states.push(state),
  });
  t.after(() => {
    stream.stop();
    server.closeAllConnections();
    server.close();
  });
  const asked = async (n) => {
    while (count < n) await once(server, "asked");
  };
  return { stream, states, seen, asked };
}

/** Records each pause of the stream; a skipped pause ends immediately. */
function pauses(t, skip) {
  const noted = [];
  const wait = globalThis.setTimeout;
  t.mock.method(globalThis, "setTimeout", (run, ms, ...rest) => {
    if (!isPause(run)) return wait(run, ms, ...rest); // fetch uses it too
    noted.push(ms);
    return wait(run, skip ? 0 : ms, ...rest);
  });
  return noted;
}

const within = (pause, from) => assert.ok(pause >= from && pause <= 1.5 * from, `${pause} ms, not ${from} to ${1.5 * from}`);

/** Advances the clock by the pauses, which the test skips. */
function clock(t, noted) {
  const start = Date.now();
  t.mock.method(Date, "now", () => start + noted.reduce((sum, ms) => sum + ms, 0));
}

test("pauses grow to at most 5 s in the first minute of an outage, then up to 22.5 s, and differ", async (t) => {
  const noted = pauses(t, true);
  clock(t, noted);
  const { stream, states, asked } = await start(t, (response) => response.writeHead(503).end());
  stream.run();
  await asked(41);
  [500, 1000, 2000].forEach((from, i) => within(noted[i], from));
  let passed = 0;
  noted.slice(0, 40).forEach((pause, i) => {
    assert.ok(pause <= (passed < 60_000 ? 5000 : 22_500), `${pause} ms after ${passed} ms`);
    assert.ok(i < 3 || pause >= (passed < 60_000 ? 3333 : 15_000), `${pause} ms after ${passed} ms`);
    passed += pause;
  });
  assert.ok(new Set(noted.slice(3, 40)).size > 10, `all the same: ${noted}`);
  assert.deepEqual(states.slice(0, 3), ["connecting", "disconnected", "disconnected"]);
});

test("the minute of an outage starts again with each outage", async (t) => {
  const noted = pauses(t, true);
  clock(t, noted);
  let count = 0;
  const { stream, asked } = await start(t, (response) => {
    if (++count % 25) response.writeHead(503).end();
    else response.writeHead(200, STREAM).end(READY);
  });
  stream.run();
  await asked(50);
  assert.ok(noted[23] > 5000, `${noted[23]} ms`);
  within(noted[24], 500);
  assert.ok(Math.max(...noted.slice(24, 35)) <= 5000, `${noted.slice(24, 35)}`);
});

test("retry: is obeyed, and so is Retry-After", async (t) => {
  const noted = pauses(t, true);
  const answers = [
    (response) => response.writeHead(200, STREAM).end(`retry: 40000\n${READY}`),
    (response) => response.writeHead(503, { "Retry-After": "60" }).end("{}"),
    (response) => response.writeHead(200, STREAM).end(READY),
  ];
  const { stream, asked } = await start(t, (response) => answers.shift()?.(response));
  stream.run();
  await asked(4);
  [40_000, 60_000, 500].forEach((from, i) => within(noted[i], from));
});

test("hurrying ends a pause immediately", async (t) => {
  const noted = pauses(t, false);
  const { stream, asked } = await start(t, (response) => response.writeHead(200, STREAM).end("retry: 250000\n\n"));
  stream.run();
  for (let i = 1; i <= 3; i++) {
    await asked(i);
    while (noted.length < i) await new Promise(setImmediate);
    assert.ok(noted[i - 1] >= 250_000 && noted[i - 1] <= 300_000, `${noted[i - 1]} ms`);
    stream.hurry();
  }
});

test("a stopped stream stays stopped", async (t) => {
  pauses(t, false);
  const { stream, states, asked } = await start(t, (response) => response.writeHead(200, STREAM).write(READY));
  const ran = stream.run();
  await asked(1);
  stream.stop();
  await ran;
  assert.deepEqual(states, []);
});

test("whatever Retry-After and retry: say, a pause is not shorter than usual, and at most five minutes", async (t) => {
  const now = 1_800_000_000_000;
  const date = (seconds) => new Date(now + 1000 * seconds).toUTCString();
  t.mock.method(Date, "now", () => now);
  const cases = [
    ["", 500], ["soon", 500], ["Infinity", 500], ["NaN", 500], ["-5", 500], ["1.5", 500], ["1e3", 500], ["0", 500],
    ["60", 60_000], ["3000000", 300_000], ["9".repeat(400), 300_000],
    [date(60), 60_000], [date(-60), 500], [date(1e7), 300_000], ["Sun, 99 Nov 2026 99:99:99 GMT", 500], ["2026-11-26", 500],
  ];
  const noted = pauses(t, true);
  for (const [value, from] of cases) {
    for (const head of [{ "Retry-After": value }, {}]) {
      noted.length = 0;
      const { stream, asked } = await start(t, (response) => {
        if ("Retry-After" in head) response.writeHead(503, head).end();
        else response.writeHead(200, STREAM).end(`retry: ${value}000\n\n`);
      });
      stream.run();
      await asked(2);
      stream.stop();
      const least = "Retry-After" in head || Number.isSafeInteger(Number(/^\d+$/.test(value) ? `${value}000` : NaN)) ? from : 500;
      assert.ok(noted[0] >= least && noted[0] <= Math.min(1.5 * least, 300_000), `${JSON.stringify([value, head])}: ${noted[0]} ms`);
    }
  }
});

test("an event that can't be parsed is skipped, and those around it arrive", async (t) => {
  const events = "data: 1\nid: 1\n\nevent: x\ndata: {\nid: 2\n\ndata: 3\nid: 3\n\n";
  const { stream, states, seen, asked } = await start(t, (response) => response.writeHead(200, STREAM).write(events));
  stream.run();
  await asked(1);
  while (seen.length < 3) await new Promise(setImmediate);
  assert.deepEqual(seen.map(({ id }) => id), [1, 2, 3]);
  assert.match(seen[1].message, /x can't be parsed/);
  assert.deepEqual(states, [], "and the connection stays");
});

test("a page of another server is not a stream", async (t) => {
  pauses(t, true);
  const { stream, seen, asked } = await start(t, (response) => {
    response.writeHead(200, { "Content-Type": "text/html" }).end("data: 1\nid: 1\n\n");
  });
  stream.run();
  await asked(2);
  assert.deepEqual(seen, []);
});
