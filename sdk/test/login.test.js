// How a login begins, continues and ends, with a server that does what the real one rarely does.

import assert from "node:assert/strict";
import { test } from "node:test";
import TencentCloudChat from "../presence.js";
import { event, json, skipPauses, startFake, status } from "./fake.js";
import { rejects } from "./server.js";

const { TYPES } = TencentCloudChat;

test("a status with any character arrives, one's own too", async (t) => {
  const fake = await startFake(t);
  const customStatus = "a\u2028b\u2029c\u0085d\ve\u{1F600}";
  const { seen } = await fake.login(t);
  (await fake.nth("events", 1)).response.write(event("USER_STATUS_UPDATED", [status("alice", 2, { customStatus })], 2));
  assert.equal((await seen.status("alice")).customStatus, customStatus);
});

test("an event that can't be used is reported once, changes nothing, and is not requested again", async (t) => {
  const bad = [
    ["USER_STATUS_UPDATED", "{"], ["USER_STATUS_UPDATED", "null"], ["USER_STATUS_UPDATED", "{}"],
    ["USER_STATUS_UPDATED", [status("bob", 9), null]], ["USER_STATUS_UPDATED", [{ userID: "bob" }]], ["USER_STATUS_UPDATED", [[]]],
    ["READY", "{}"], ["READY", { self: status("alice"), deviceID: 5 }], ["KICKED_OUT", "{}"], ["KICKED_OUT", "null"], ["KICKED_OUT", ""],
  ];
  for (const [name, data] of bad) {
    const fake = await startFake(t);
    const { seen } = await fake.login(t);
    const { response } = await fake.nth("events", 1);
    response.write(event(name, data, 5));
    const { code, message } = await seen.next("ERROR");
    assert.equal(code, 70402);
    assert.match(message, new RegExp(`${name} can't be parsed`));
    response.write(event("USER_STATUS_UPDATED", [status("bob", 3)], 6));
    await seen.status("bob", ({ version }) => version === 3);
    assert.equal(fake.requests.filter((request) => request.name === "events").length, 1, "the stream continues");
    assert.deepEqual(seen.names(), ["SDK_READY", "ERROR", "USER_STATUS_UPDATED"], `${name} ${JSON.stringify(data)}`);
    response.destroy();
    assert.equal((await fake.nth("events", 2)).cursor, "6");
  }
});

test("events with other names are not errors", async (t) => {
  const fake = await startFake(t);
  const { seen } = await fake.login(t);
  const { response } = await fake.nth("events", 1);
  for (const name of ["constructor", "toString", "NEW", "NET", "LEAD", "WELCOME"]) response.write(event(name, {}, 2));
  response.write(event("USER_STATUS_UPDATED", [status("bob", 3)], 3));
  await seen.status("bob");
  assert.deepEqual(seen.names(), ["SDK_READY", "USER_STATUS_UPDATED"]);
});

test("whatever keepaliveSeconds says, the stream is not cut", async (t) => {
  skipPauses(t); // it checks each timer
  for (const keepaliveSeconds of [undefined, null, 0, -1, 1e-9, 1e300, "soon", {}]) {
    const fake = await startFake(t);
    fake.stream = ({ response }) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(event("READY", { deviceID: "d", self: status("alice"), keepaliveSeconds }, 1));
    };
    const { seen } = await fake.login(t, "token", { staleAfter: 1e300 });
    (await fake.nth("events", 1)).response.write(event("USER_STATUS_UPDATED", [status("bob", 2)], 2));
    await seen.status("bob");
    assert.ok(!seen.names().includes("NET_STATE_CHANGE"), `${keepaliveSeconds}`);
  }
});

test("a login tries again for 15 s, and then rejects with the last reason", async (t) => {
  const skipped = skipPauses(t);
  const unavailable = (response) => response.writeHead(503, { "Retry-After": "1" }).end('{"code":60022,"message":"starting"}');
  const refusals = {
    nothing: ({ response }) => response.destroy(),
    starting: ({ response }) => unavailable(response),
    gateway: ({ response }) => response.writeHead(502).end("<h1>Bad gateway</h1>"),
    portal: ({ response }) => response.writeHead(200, { "Content-Type": "text/html" }).end("<h1>Log in</h1>"),
    "other 401": ({ response }) => response.writeHead(401).end("<h1>SSO</h1>"),
  };
  for (const [name, refuse] of Object.entries(refusals)) {
    const fake = await startFake(t);
    const answer = fake.call;
    skipped.length = 0;
    fake.call = (request) => (skipped.reduce((sum, ms) => sum + ms, 0) < 10_000 ? refuse(request) : answer(request));
    const { chat } = await fake.login(t);
    assert.ok(chat.isReady(), `${name}: back within 15 s`);

    skipped.length = 0;
    fake.call = refuse;
    const began = Date.now();
    await rejects(fake.create(t).chat.login({ userID: "alice", userSig: "x" }), name === "starting" ? 60022 : 2800);
    const paused = skipped.reduce((all, ms) => all + ms, 0);
    assert.ok(Date.now() - began >= 14_000 && paused <= 15_000, `${name}: ${paused} ms`);
  }
});

test("a login doesn't wait for a server that asks for more time than it has, nor after a refusal", async (t) => {
  const skipped = skipPauses(t);
  const fake = await startFake(t);
  fake.call = ({ response }) => response.writeHead(503, { "Retry-After": "60" }).end("maintenance");
  await rejects(fake.create(t).chat.login({ userID: "alice", userSig: "x" }), 2800);
  fake.call = ({ response }) => json(response, 401, { code: 70003, message: "not valid" });
  await rejects(fake.create(t).chat.login({ userID: "alice", userSig: "x" }), 70003);
  assert.deepEqual(skipped, []);
});

test("only the server's own responses end a login", async (t) => {
  skipPauses(t);
  const others = [
    (response) => response.writeHead(204).end(),
    (response) => response.writeHead(401, { "Content-Type": "text/html" }).end("<h1>SSO</h1>"),
    (response) => json(response, 401, { error: "unauthorized" }),
    (response) => json(response, 401, { code: "70001" }),
    (response) => json(response, 401, { code: 1, message: "a gateway's own" }),
    (response) => json(response, 403, { code: 70001 }),
    (response) => json(response, 400, null),
    (response) => response.writeHead(302, { Location: "/v1/elsewhere" }).end(),
    (response) => response.writeHead(200, { "Content-Type": "text/html" }).end(event("KICKED_OUT", { type: "logout" }, 9)),
  ];
  for (const [i, other] of others.entries()) {
    const fake = await startFake(t);
    const { chat, seen } = await fake.login(t);
    const streams = [other, other, (response) => fake.ready(response)];
    fake.stream = ({ response }) => streams.shift()?.(response);
    (await fake.nth("events", 1)).response.destroy();
    await seen.next("NET_STATE_CHANGE", ({ state }) => state === "connected");
    assert.ok(chat.isReady(), `${i}`);
    assert.ok(!seen.names().includes("KICKED_OUT"), `${i}`);
  }
});

test("each of the server's own responses ends it, with its type", async (t) => {
  skipPauses(t);
  const kicked = (type) => (response) => response.writeHead(204, { "Presence-Kicked": type }).end();
  const refused = (code) => (response) => json(response, 401, { code, message: "refused" });
  const own = [
    [kicked("REST_API_Kick"), "REST_API_Kick", 3006], [kicked("multipleDevice"), "multipleDevice", 3002],
    [kicked("logout"), "logout", 3005], [kicked("a new type"), "a new type", 3005],
    ...[70001, 70002, 70003, 70014].map((code) => [refused(code), "userSigExpired", 3004]), [refused(70052), "REST_API_Kick", 3006],
  ];
  for (const [answer, type, reason] of own) {
    const fake = await startFake(t);
    const { chat, seen } = await fake.login(t);
    fake.stream = ({ response }) => answer(response);
    (await fake.nth("events", 1)).response.destroy();
    assert.deepEqual(await seen.next("KICKED_OUT"), { type });
    assert.equal(chat.isReady(), false);
    await rejects(chat.getUserStatus({ userIDList: ["alice"] }), reason);
  }
});

test("a call that is refused ends the login too, unless there is a newer token", async (t) => {
  const fake = await startFake(t);
  const answer = fake.call;
  let expired = [];
  fake.call = (request) => {
    if (expired.includes(request.token)) return json(request.response, 401, { code: 70001, message: "expired" });
    answer(request);
  };
  const { chat, seen } = await fake.login(t, "old");
  await chat.login({ userID: "alice", userSig: "new" });
  await chat.getUserStatus({ userIDList: ["bob"] });
  assert.equal(fake.requests.at(-1).token, "new");
  expired = ["new"];
  await chat.getUserStatus({ userIDList: ["bob"] });
  assert.equal(fake.requests.at(-1).token, "old", "which the server still accepts");
  expired = ["new", "old"];
  await rejects(chat.getUserStatus({ userIDList: ["bob"] }), 70001);
  assert.deepEqual(await seen.next("KICKED_OUT"), { type: TYPES.KICKED_OUT_USERSIG_EXPIRED });
  assert.equal(chat.isReady(), false);
  await rejects(chat.getUserStatus({ userIDList: ["bob"] }), 3004);
});

test("a stream whose token expires continues with the newest token", async (t) => {
  skipPauses(t);
  const fake = await startFake(t);
  const { chat, seen } = await fake.login(t, "first");
  await chat.login({ userID: "alice", userSig: "second" });
  const first = await fake.nth("events", 1);
  first.response.end(event("KICKED_OUT", { type: "userSigExpired" }, 2));
  const second = await fake.nth("events", 2);
  assert.deepEqual([first.token, second.token, second.cursor], ["first", "second", "2"]);
  second.response.end(event("KICKED_OUT", { type: "userSigExpired" }, 3));
  assert.deepEqual(await seen.next("KICKED_OUT"), { type: "userSigExpired" });
  assert.equal(seen.names().filter((name) => name === "KICKED_OUT").length, 1);
});

test("a login waits for the page's own logout, and so does one after destroy", async (t) => {
  for (const leave of ["logout", "destroy"]) {
    const fake = await startFake(t);
    const answer = fake.call;
    let late;
    fake.call = (request) => (request.name === "logout" ? (late = request) : answer(request));
    const { chat } = await fake.login(t);
    const left = chat[leave]();
    const again = fake.create(t);
    const login = again.chat.login({ userID: "alice", userSig: "token" });
    await fake.nth("logout", 1);
    for (let i = 0; i < 100; i++) await new Promise(setImmediate);
    assert.equal(fake.requests.at(-1).name, "logout", "nothing comes before its answer");
    answer(late);
    await left;
    await login;
    assert.deepEqual(fake.requests.map(({ name }) => name), ["getUserStatus", "events", "logout", "getUserStatus", "events"]);
  }
});

test("a logout that fails delays no login", async (t) => {
  const fake = await startFake(t);
  const answer = fake.call;
  fake.call = (request) => (request.name === "logout" ? request.response.destroy() : answer(request));
  const { chat } = await fake.login(t);
  chat.logout();
  assert.equal((await chat.login({ userID: "alice", userSig: "token" })).code, 0);
});

test("a list that arrives in several parts is resumed from the part that arrived", async (t) => {
  skipPauses(t);
  const fake = await startFake(t);
  const part = (version, id) => event("USER_STATUS_UPDATED", [status(`user${version}`, version)], id);
  const { seen } = await fake.login(t);
  fake.stream = ({ cursor, response }) => {
    fake.ready(response, "alice", cursor);
    if (cursor === "1") response.end(part(5, 5) + part(6, 6).slice(0, 30));
    else response.write(part(6, 6) + part(7, 9));
  };
  (await fake.nth("events", 1)).response.end();
  await seen.status("user5");
  await seen.status("user6");
  await seen.status("user7");
  assert.equal((await fake.nth("events", 3)).cursor, "5");
});

test("a snapshot that is cut before its first part is requested again", async (t) => {
  skipPauses(t);
  const fake = await startFake(t);
  const { seen } = await fake.login(t);
  const { response } = await fake.nth("events", 1);
  fake.stream = (request) => {
    fake.ready(request.response, "alice", 0); // of a history that doesn't know the cursor
    if (request.cursor === "0") request.response.write(event("USER_STATUS_UPDATED", [status("bob", 2)], 2));
    else request.response.end();
  };
  response.write(event("USER_STATUS_UPDATED", [status("bob", 50)], 50));
  response.end();
  await seen.status("bob", ({ version }) => version === 50);
  await seen.status("bob", ({ version }) => version === 2);
});

test("with cookies no request has a token, and the login ends once the server refuses them", async (t) => {
  skipPauses(t);
  const fake = await startFake(t);
  const { call } = fake;
  const { chat, seen } = fake.create(t, { cookies: true });
  for (const userSig of [undefined, "ignored"]) {
    fake.call = call;
    await chat.login({ userID: "alice", userSig });
    await seen.next("SDK_READY");
    assert.equal((await chat.login({ userID: "alice" })).data.repeatLogin, true);
    const opened = fake.requests.filter(({ name }) => name === "events").length;
    (await fake.nth("events", opened)).response.destroy();
    await fake.nth("events", opened + 1); // connected again
    await seen.next("NET_STATE_CHANGE", ({ state }) => state === "connected");
    fake.call = ({ response }) => json(response, 401, { code: 70002, message: "no session" });
    await rejects(chat.getUserStatus({ userIDList: ["bob"] }), 70002);
    assert.equal((await seen.next("KICKED_OUT")).type, TYPES.KICKED_OUT_USERSIG_EXPIRED);
  }
  assert.deepEqual([...new Set(fake.requests.map(({ token }) => token))], [undefined]);
});

test("the cookies of another user end the login", async (t) => {
  const fake = await startFake(t);
  fake.stream = ({ response }) => fake.ready(response, "bob");
  await rejects(fake.create(t, { cookies: true }).chat.login({ userID: "alice" }), 70013);
});
