// watch and status, against the real server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { startFake, status } from "./fake.js";
import { rejects, startServer } from "./server.js";

/** A listener that keeps what it receives. until resolves to the first status for which test returns true. */
function listen() {
  const received = [];
  const waiting = new Set();
  const listener = (status) => {
    received.push(status);
    waiting.forEach((look) => look());
  };
  const until = (test) => new Promise((resolve) => {
    const look = () => received.some(test) && resolve(received.find(test), waiting.delete(look));
    waiting.add(look);
    look();
  });
  return { received, listener, until };
}

const subscriptions = async (server, userID) => {
  const { data } = await (await fetch(`${server.url}/v1/subscriptions`, { headers: { Authorization: `Bearer ${server.token(userID)}` } })).json();
  return data.userList.map(({ userID }) => userID);
};

const set = (server, userID, customStatus) => server.admin("setUserStatus", { userID, customStatus });

/** Resolves when the subscriptions of alice are these. */
async function subscribed(server, ...userIDs) {
  while (`${(await subscriptions(server, "alice")).sort()}` !== `${userIDs}`);
}

test("watch reports the current status and every change, and counts over components", async (t) => {
  const server = await startServer(t);
  await server.admin("importUsers", { userIDList: ["bob", "carol"] });
  const { chat } = server.create(t);
  const [early, late] = [listen(), listen()];
  const first = chat.watch(["bob", "carol"], early.listener); // before the login
  assert.equal(chat.status("bob"), undefined);
  await chat.login({ userID: "alice", userSig: server.token("alice") });
  await early.until(({ userID, statusType }) => userID === "carol" && statusType === 3);
  await set(server, "bob", "one");
  const one = await early.until(({ customStatus }) => customStatus === "one");
  assert.equal(chat.status("bob"), one);
  assert.ok(Object.isFrozen(one));
  assert.deepEqual((await chat.getUserStatus({ userIDList: ["bob"] })).data.successUserList, [{ ...one }]);
  assert.equal(chat.status("bob"), one, "the same object until it changes");

  const second = chat.watch(["bob"], late.listener);
  assert.deepEqual(late.received, [], "nothing before watch has returned");
  await late.until((status) => status === one);
  first();
  first();
  await subscribed(server, "bob");
  await set(server, "bob", "two");
  await late.until(({ customStatus }) => customStatus === "two");
  assert.equal(early.received.at(-1), one);

  await chat.subscribeUserStatus({ userIDList: ["bob"] });
  second();
  await set(server, "bob", "three");
  assert.deepEqual(await subscriptions(server, "alice"), ["bob"], "subscribeUserStatus holds bob");
  const third = chat.watch(["bob"], late.listener);
  await chat.unsubscribeUserStatus();
  assert.deepEqual(await subscriptions(server, "alice"), ["bob"], "and so does watch");
  third();
  await subscribed(server);
  assert.equal(chat.status("bob"), undefined);
});

test("a hundred components that begin together take one call, and one that begins again at once takes none", async (t) => {
  const fake = await startFake(t);
  const { chat } = await fake.login(t);
  const { listener, until } = listen();
  const begin = () => Array.from({ length: 100 }, (_, i) => chat.watch([`user${i % 10}`], listener));
  begin().forEach((end) => end()); // as React's StrictMode does
  const unwatch = begin();
  await until(({ userID }) => userID === "user9");
  begin();
  for (const end of unwatch) end();
  await chat.getUserStatus({ userIDList: ["bob"] });
  const names = fake.requests.map(({ name }) => name).filter((name) => name.endsWith("subscribeUserStatus"));
  assert.deepEqual(names, ["subscribeUserStatus"]);
});

test("users who can't be watched are reported by name, and the others are watched", async (t) => {
  const server = await startServer(t, { PRESENCE_LIMITS__SUBSCRIPTIONS: "1" });
  await server.admin("importUsers", { userIDList: ["bob", "carol"] });
  const { chat, seen } = await server.login(t, "alice");
  const { listener, until } = listen();
  chat.watch(["nobody", "bob"], listener);
  assert.equal((await seen.next("ERROR")).userID, "nobody");
  await until(({ userID }) => userID === "bob");
  chat.watch(["carol"], listener);
  const { userID, code } = await seen.next("ERROR");
  assert.deepEqual([userID, code], ["bob", 70398]);
  for (const bad of [[], ["bob", listener.x], ["bob", listener], [[5], listener], [["bob"]]]) {
    assert.throws(() => chat.watch(...bad), { code: 70402 });
  }
});

test("a listener that throws, or ends its watch, does not stop the others; and a stale status is UNKNOWN", async (t) => {
  t.mock.method(console, "error", () => {});
  const fake = await startFake(t);
  const { chat } = await fake.login(t, "token", { staleAfter: 0.01 });
  const { listener, until } = listen();
  chat.watch(["bob"], () => { throw Error("mine"); });
  chat.watch(["bob"], listener);
  const known = await until(({ statusType }) => statusType === 1);
  assert.deepEqual(known, status("bob"));
  fake.stream = ({ response }) => response.destroy();
  (await fake.nth("events", 1)).response.destroy();
  const hidden = await until(({ statusType }) => statusType === 0);
  assert.equal(chat.status("bob"), hidden);
  await chat.logout();
  assert.equal(chat.status("bob"), undefined);
});

test("entries, visibility and idle devices", async (t) => {
  const server = await startServer(t);
  const { chat, seen } = await server.login(t, "alice");
  const { data } = await chat.setSelfStatus({ source: "call", availability: "busy", customStatus: "In a call", priority: 5, expiresIn: 60 });
  assert.deepEqual([data.availability, data.customStatus], ["busy", "In a call"]);
  await chat.setSelfStatus({ source: "call" });
  await seen.status("alice", ({ customStatus, availability }) => !customStatus && !availability);
  await chat.setSelfStatus({ availability: "dnd", startsAt: new Date(Date.now() + 3.6e6).toISOString() });
  assert.equal(chat.status("alice").availability, undefined, "it begins later");
  assert.deepEqual((await chat.setIdle(true)).data, {});
  await seen.status("alice", ({ availability }) => availability === "away");
  await chat.setIdle(false);
  await seen.status("alice", ({ availability }) => !availability);
  await chat.setVisibility({ invisible: true });
  await seen.status("alice", ({ invisible }) => invisible);
  await rejects(chat.setSelfStatus({ availability: "asleep" }), 70402);
  await rejects(chat.setSelfStatus({}), 70402);
  await rejects(chat.setIdle("yes"), 70402);
  await rejects(chat.setVisibility(), 70402);
});
