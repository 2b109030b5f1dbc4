import assert from "node:assert/strict";
import { test } from "node:test";
import { parser } from "../stream.js";

const bytes = (text) => new TextEncoder().encode(text);

/** Returns the events that a parser finds in these pieces of text or bytes. */
function parse(...pieces) {
  const events = [];
  const retries = [];
  const feed = parser((event) => events.push(event), (ms) => retries.push(ms));
  for (const piece of pieces) feed(typeof piece === "string" ? bytes(piece) : piece);
  return { events, retries };
}

/** Returns each single event that has the given data. */
const data = (...pieces) => parse(...pieces).events.map((event) => event.data);

const STREAM = 'event: READY\ndata: {"a":1}\nid: 7\n\nretry: 1234\nevent: KEEPALIVE\ndata: {}\nid: 8\n\n';
const EVENTS = [
  { event: "READY", data: '{"a":1}', id: 7 },
  { event: "KEEPALIVE", data: "{}", id: 8 },
];

test("events are the same wherever the stream is cut, and with any line end", () => {
  for (const end of ["\n", "\r\n", "\r"]) {
    const text = STREAM.replaceAll("\n", end);
    for (let i = 0; i <= text.length; i++) {
      assert.deepEqual(parse(text.slice(0, i), text.slice(i)), { events: EVENTS, retries: [1234] }, `${JSON.stringify(end)} cut at ${i}`);
    }
    assert.deepEqual(parse(...text).events, EVENTS);
  }
});

test("lines of data are joined; comments, unknown fields and events without data are skipped", () => {
  assert.deepEqual(parse(": hello\n\ndata: [1,\ndata: 2]\nid: 3\nother\n\nevent: x\n\n").events, [{ data: "[1,\n2]", id: 3 }]);
});

test("one space after the colon is not part of the value, and is optional", () => {
  assert.deepEqual(parse('event:A\ndata:" x"\nid:1\n\n').events, [{ event: "A", data: '" x"', id: 1 }]);
});

test("a field named like a method of objects is only a field", () => {
  assert.deepEqual(parse("toString: 1\nconstructor: 2\n__proto__: 3\ndata: 4\nid: 5\n\n").events, [{ data: "4", id: 5 }]);
});

test("only LF, CR and CRLF end a line: what other software treats as a line end is text", () => {
  for (const end of ["\u2028", "\u2029", "\u0085", "\v", "\f", "\0", "\u001c"]) {
    assert.deepEqual(data(`data: a${end}b\nid: 1\n\n`), [`a${end}b`], JSON.stringify(end));
    assert.deepEqual(data(`data${end}: a\n\n`), [], "nor is it part of a name");
  }
});

test("a byte order mark at the start is skipped, and any other is text", () => {
  assert.deepEqual(data("\ufeffdata: a\n\ndata: \ufeff\n\n"), ["a", "\ufeff"]);
  const text = bytes("\ufeffdata: a\n\n");
  assert.deepEqual(data(text.slice(0, 1), text.slice(1, 2), text.slice(2)), ["a"]);
});

test("a character may be split between pieces", () => {
  const text = bytes("data: \u2028\u{1F600}é\n\n");
  for (let i = 0; i <= text.length; i++) {
    assert.deepEqual(data(text.slice(0, i), text.slice(i)), ["\u2028\u{1F600}é"], `cut at ${i}`);
  }
  assert.deepEqual(data(...text.map((_, i) => i).reduce((all, i) => [...all, text.slice(i, i + 1)], [])), ["\u2028\u{1F600}é"]);
});

test("an event is complete at its empty line, even if that ends in a CR", () => {
  assert.deepEqual(data("data: a\r\r"), ["a"]);
  assert.deepEqual(data("data: a\r", "", "\n\r", "\ndata: b\r\n\r\n"), ["a", "b"]);
});

test("an id or a retry that is not a number is ignored", () => {
  for (const value of ["1\0", "", "x", "-1", "1.5", "1e3", "0x1", "Infinity", "NaN", "9".repeat(20)]) {
    const { events, retries } = parse(`id: ${value}\nretry: ${value}\ndata: a\n\n`);
    assert.deepEqual([events, retries], [[{ data: "a" }], []], JSON.stringify(value));
  }
});

test("an event without its empty line is not an event", () => {
  assert.deepEqual(data("data: a\n", "id: 1\n"), []);
});
