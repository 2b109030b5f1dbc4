import assert from "node:assert/strict";
import { test } from "node:test";
import { parser } from "../stream.js";

/** What a parser makes of these pieces. */
function parse(...pieces) {
  const events = [];
  const retries = [];
  const feed = parser((event) => events.push(event), (ms) => retries.push(ms));
  pieces.forEach(feed);
  return { events, retries };
}

const STREAM = 'event: READY\ndata: {"a":1}\nid: 7\n\nretry: 1234\nevent: KEEPALIVE\ndata: {}\nid: 8\n\n';
const EVENTS = [
  { event: "READY", data: { a: 1 }, id: 7 },
  { event: "KEEPALIVE", data: {}, id: 8 },
];

test("events are the same wherever the stream is cut, and with any line end", () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const text = STREAM.replaceAll("\n", end) + "\n"; // the last \r waits for what follows it
    for (let i = 0; i <= text.length; i++) {
      assert.deepEqual(parse(text.slice(0, i), text.slice(i)), { events: EVENTS, retries: [1234] }, `${JSON.stringify(end)} cut at ${i}`);
    }
    assert.deepEqual(parse(...text).events, EVENTS);
  }
});

test("lines of data are joined; comments, unknown fields and events without data are skipped", () => {
  assert.deepEqual(parse(": hello\n\ndata: [1,\ndata: 2]\nid: 3\nother\n\nevent: x\n\n").events, [{ event: undefined, data: [1, 2], id: 3 }]);
});

test("one space after the colon is no part of the value, and none is needed", () => {
  assert.deepEqual(parse('event:A\ndata:" x"\nid:1\n\n').events, [{ event: "A", data: " x", id: 1 }]);
});

test("a field named like a method of objects is only a field", () => {
  assert.deepEqual(parse("toString: 1\nconstructor: 2\n__proto__: 3\ndata: 4\nid: 5\n\n").events, [{ event: undefined, data: 4, id: 5 }]);
});
