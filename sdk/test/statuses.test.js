// The check of versions, without a network: a reported status is never followed by an older one.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Statuses } from "../statuses.js";

function start() {
  const reported = [];
  const report = (list) => reported.push(...list.map(({ userID, version }) => `${userID}${version}`));
  return { statuses: new Statuses(report), reported };
}

const status = (userID, version) => ({ userID, statusType: 1, customStatus: `v${version}`, version });

test("an event is reported once, and never after a newer one", () => {
  const { statuses, reported } = start();
  for (const version of [2, 2, 1, 3]) statuses.update([status("bob", version)]);
  assert.deepEqual(reported, ["bob2", "bob3"]);
});

test("one stale user in a list does not delay the others", () => {
  const { statuses, reported } = start();
  statuses.update([status("bob", 5)]);
  statuses.update([status("bob", 4), status("carol", 4)]);
  assert.deepEqual(reported, ["bob5", "carol4"]);
});

test("a response older than an event gives the event's status", () => {
  const { statuses } = start();
  statuses.update([status("bob", 5)]);
  assert.deepEqual(statuses.note([status("bob", 4), status("carol", 1)]), [status("bob", 5), status("carol", 1)]);
});

test("an event older than a response is not reported, the one of the same change is", () => {
  const { statuses, reported } = start();
  statuses.note([status("bob", 5)]);
  statuses.update([status("bob", 4)]);
  statuses.update([status("bob", 5)]);
  assert.deepEqual(reported, ["bob5"]);
});

test("a page that changes the objects it received changes nothing in the SDK", () => {
  const { statuses } = start();
  const [given] = statuses.note([status("bob", 5)]);
  given.version = 99;
  assert.deepEqual(statuses.note([status("bob", 4)]), [status("bob", 5)]);
});

test("after a snapshot lower versions count, and the object of the page stays as it is", () => {
  const { statuses, reported } = start();
  statuses.update([status("bob", 5)]);
  statuses.restart();
  statuses.update([status("bob", 2)]);
  assert.deepEqual(reported, ["bob5", "bob2"]);
});

test("what was hidden is reported again at the same version", () => {
  const { statuses, reported } = start();
  statuses.update([status("bob", 5)]);
  statuses.hide();
  assert.deepEqual(statuses.hidden, ["bob"]);
  statuses.update([status("bob", 5)]);
  assert.deepEqual(reported, ["bob5", "bob5", "bob5"]);
  assert.deepEqual(statuses.hidden, []);
});
