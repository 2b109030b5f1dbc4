// The guard of versions, without a network: what was told never goes back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Session } from "../session.js";

function session() {
  const told = [];
  const emit = (name, list) => told.push(...list.map(({ userID, version }) => `${userID}${version}`));
  return { session: new Session({ userID: "me", emit, kicked() {} }), told };
}

const status = (userID, version) => ({ userID, statusType: 1, customStatus: `v${version}`, version });

test("an event is told once, and never after a newer one", () => {
  const { session: s, told } = session();
  for (const version of [2, 2, 1, 3]) s.tell([status("bob", version)]);
  assert.deepEqual(told, ["bob2", "bob3"]);
});

test("one stale user in a list does not hold up the others", () => {
  const { session: s, told } = session();
  s.tell([status("bob", 5)]);
  s.tell([status("bob", 4), status("carol", 4)]);
  assert.deepEqual(told, ["bob5", "carol4"]);
});

test("an answer older than an event gives the event's status", () => {
  const { session: s } = session();
  s.tell([status("bob", 5)]);
  assert.deepEqual(s.note([status("bob", 4), status("carol", 1)]), [status("bob", 5), status("carol", 1)]);
});

test("an event older than an answer is not told, the one of the same change is", () => {
  const { session: s, told } = session();
  s.note([status("bob", 5)]);
  s.tell([status("bob", 4)]);
  s.tell([status("bob", 5)]);
  assert.deepEqual(told, ["bob5"]);
});

test("a page that changes what it was given changes nothing here", () => {
  const { session: s } = session();
  const [given] = s.note([status("bob", 5)]);
  given.version = 99;
  assert.deepEqual(s.note([status("bob", 4)]), [status("bob", 5)]);
});
