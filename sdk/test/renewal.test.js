// A function as userSig.

import assert from "node:assert/strict";
import { test } from "node:test";
import { json, startFake } from "./fake.js";
import { rejects, startServer } from "./server.js";

test("the function is called before the token expires, and the login goes on", async (t) => {
  const server = await startServer(t);
  const { chat, seen } = server.create(t);
  let calls = 0;
  let expiry = Infinity; // of the token before
  let renewed;
  const third = new Promise((resolve) => (renewed = resolve));
  const userSig = async () => {
    assert.ok(Date.now() < expiry, "before it expires");
    if (++calls === 3) renewed();
    expiry = 1000 * (Math.floor(Date.now() / 1000) + 3);
    return server.token("alice", calls < 3 ? 3 : 3600);
  };
  await chat.login({ userID: "alice", userSig });
  assert.equal(calls, 1);
  await third;
  await chat.getUserStatus({ userIDList: ["alice"] });
  assert.ok(!seen.names().includes("KICKED_OUT"));
  assert.ok(!seen.names().includes("ERROR"));
});

test("after 70001 the function is called, and the call that was refused succeeds", async (t) => {
  const fake = await startFake(t);
  const answer = fake.call;
  let calls = 0;
  const { chat, seen } = await fake.login(t, () => `token${++calls}`);
  fake.call = (request) => (request.token === "token1" ? json(request.response, 401, { code: 70001, message: "expired" }) : answer(request));
  await Promise.all([chat.getUserStatus({ userIDList: ["bob"] }), chat.getUserStatus({ userIDList: ["carol"] })]);
  assert.equal(calls, 2);
  assert.equal(fake.requests.at(-1).token, "token2");
  assert.ok(!seen.names().includes("KICKED_OUT"));
  fake.call = ({ response }) => json(response, 401, { code: 70052, message: "revoked" });
  await rejects(chat.getUserStatus({ userIDList: ["bob"] }), 70052);
  assert.deepEqual(await seen.next("KICKED_OUT"), { type: "REST_API_Kick" });
  assert.equal(calls, 2, "a kick is no reason for a new token");
});

test("a function that fails is reported once, and called again later", async (t) => {
  const wait = globalThis.setTimeout;
  t.mock.method(globalThis, "setTimeout", (run, ms, ...rest) => wait(run, ms === 15_000 ? 400 : ms, ...rest));
  const fake = await startFake(t);
  const answer = fake.call;
  const results = ["first", Error("no backend"), "", null, { token: 5 }, "fresh"];
  const userSig = () => {
    const result = results.shift();
    if (result instanceof Error) throw result;
    return result;
  };
  const { chat, seen } = await fake.login(t, userSig);
  fake.call = (request) => (request.token === "first" ? json(request.response, 401, { code: 70001, message: "expired" }) : answer(request));
  await chat.getUserStatus({ userIDList: ["bob"] });
  assert.equal(fake.requests.at(-1).token, "fresh");
  const errors = seen.events.filter(({ name }) => name === "ERROR");
  assert.deepEqual(errors.map(({ data: { code, message } }) => [code, message]), [[2003, "userSig: no backend"]]);
  assert.ok(chat.isReady());
});

test("a login whose function fails is rejected, and the next one works", async (t) => {
  const fake = await startFake(t);
  const { chat } = fake.create(t);
  for (const userSig of [() => { throw Error("mine"); }, async () => {}, () => 5, () => Promise.reject("text")]) {
    await rejects(chat.login({ userID: "alice", userSig }), 2003);
  }
  await chat.login({ userID: "alice", userSig: () => "token" });
  await chat.login({ userID: "alice", userSig: () => "another" });
  await chat.getUserStatus({ userIDList: ["bob"] });
  assert.equal(fake.requests.at(-1).token, "another");
});
