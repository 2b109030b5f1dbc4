// The API against the real server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import { test } from "node:test";
import TencentCloudChat, * as module from "../presence.js";
import { skipPauses } from "./fake.js";
import { rejects, startServer } from "./server.js";

const { EVENT, TYPES } = TencentCloudChat;
const users = (count) => Array.from({ length: count }, (_, i) => `user${i}`);

test("the module has the original's shape", () => {
  assert.deepEqual(Object.keys(TencentCloudChat).sort(), ["EVENT", "TYPES", "VERSION", "create"]);
  for (const name in TencentCloudChat) assert.equal(module[name], TencentCloudChat[name]);
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url)));
  assert.equal(TencentCloudChat.VERSION, version);
});

test("create keeps one instance per SDKAppID until it is destroyed", async () => {
  const serverURL = "http://127.0.0.1:9";
  const chat = TencentCloudChat.create({ SDKAppID: 1400000000, serverURL });
  assert.equal(TencentCloudChat.create({ SDKAppID: "1400000000", serverURL: "http://other" }), chat);
  assert.notEqual(TencentCloudChat.create({ SDKAppID: 1400000001, serverURL }), chat);
  const destroyed = chat.destroy();
  const next = TencentCloudChat.create({ SDKAppID: 1400000000, serverURL });
  assert.notEqual(next, chat, "also before the promise");
  assert.equal((await destroyed).code, 0);
  await chat.destroy();
  assert.equal(TencentCloudChat.create({ SDKAppID: 1400000000, serverURL }), next, "destroying the old leaves the new");
});

test("create without a number gives null and does not throw", (t) => {
  t.mock.method(console, "error", () => {});
  assert.equal(TencentCloudChat.create({ SDKAppID: "none" }), null);
  assert.equal(TencentCloudChat.create(), null);
});

test("before login every call is rejected with 2024, and ERROR reports it", async (t) => {
  const chat = TencentCloudChat.create({ SDKAppID: 2, serverURL: "http://127.0.0.1:9" });
  t.after(() => chat.destroy());
  const errors = [];
  chat.on(EVENT.ERROR, ({ data }) => errors.push(data));
  await rejects(chat.setSelfStatus({ customStatus: "x" }), 2024);
  await rejects(chat.getUserStatus({ userIDList: ["a"] }), 2024);
  await rejects(chat.subscribeUserStatus({ userIDList: ["a"] }), 2024);
  await rejects(chat.unsubscribeUserStatus(), 2024);
  await rejects(chat.logout(), 2024);
  assert.deepEqual(errors, Array(4).fill({ code: 2024, message: "not logged in" }));
  assert.equal(chat.getLoginUser(), "");
  assert.equal(chat.isReady(), false);
});

test("listeners", (t) => {
  const chat = TencentCloudChat.create({ SDKAppID: 3, serverURL: "http://127.0.0.1:9" });
  t.after(() => chat.destroy());
  const failures = t.mock.method(console, "error", () => {});
  const heard = [];
  const context = { me: true };
  const twice = () => heard.push("twice");
  const gone = () => heard.push("gone");
  chat.on(EVENT.SDK_DESTROY, () => { throw new Error("mine"); });
  chat.on(EVENT.SDK_DESTROY, twice);
  chat.on(EVENT.SDK_DESTROY, twice);
  chat.once(EVENT.SDK_DESTROY, function (event) { heard.push(this === context, event); }, context);
  chat.on(EVENT.SDK_DESTROY, gone);
  chat.off(EVENT.SDK_DESTROY, gone);
  chat.off(EVENT.SDK_DESTROY, gone);
  assert.throws(() => chat.on("", gone), { code: 70402 });
  assert.throws(() => chat.on("x", "not a function"), { code: 70402 });
  return chat.destroy().then(() => {
    assert.deepEqual(heard, ["twice", true, { name: "sdkDestroy", data: { SDKAppID: 3 } }]);
    assert.equal(failures.mock.callCount(), 1);
  });
});

test("a server", async (t) => {
  const server = await startServer(t, { PRESENCE_LIMITS__WINDOW: "1s", PRESENCE_TIMING__RECONNECT_GRACE: "300ms" });

  await t.test("login resolves before SDK_READY", async (t) => {
    const { chat, seen } = server.create(t);
    const answer = await chat.login({ userID: "alice", userSig: server.token("alice") });
    assert.equal(answer.code, 0);
    assert.equal(answer.data.actionStatus, "OK");
    assert.equal(answer.data.self.statusType, TYPES.USER_STATUS_ONLINE);
    assert.equal(chat.isReady(), false);
    assert.equal(chat.getLoginUser(), "alice");
    await seen.next("SDK_READY");
    assert.equal(chat.isReady(), true);
    assert.equal(seen.names().indexOf("SDK_READY"), 0, `first ${seen.names()}`);
  });

  await t.test("login rejects invalid arguments", async (t) => {
    const { chat } = server.create(t);
    await rejects(chat.login(), 2002);
    await rejects(chat.login({ userID: 5, userSig: "x" }), 2002);
    await rejects(chat.login({ userID: "alice" }), 2003);
    await rejects(chat.login({ userID: "alice", userSig: "nonsense" }), 70003);
    await rejects(chat.getUserStatus({ userIDList: ["alice"] }), 3001);
    await rejects(chat.login({ userID: "alice", userSig: server.token("bob") }), 70013);
    const pending = chat.login({ userID: "alice", userSig: server.token("alice") });
    await rejects(chat.login({ userID: "alice", userSig: server.token("alice") }), 2025);
    await rejects(chat.getUserStatus({ userIDList: ["alice"] }), 3000);
    await pending;
    await rejects(chat.login({ userID: "bob", userSig: server.token("bob") }), 2025);
    assert.equal((await chat.login({ userID: "alice", userSig: server.token("alice") })).data.repeatLogin, true);
  });

  await t.test("login without a server, or at an address that is not a presence server", async (t) => {
    skipPauses(t);
    for (const serverURL of ["http://127.0.0.1:9", "nonsense", undefined]) {
      const { chat } = server.create(t, { serverURL });
      await rejects(chat.login({ userID: "alice", userSig: "x" }), 2800);
    }
  });

  await t.test("login as a device that the server refuses", async (t) => {
    const { chat } = server.create(t, { platform: "toaster" });
    await rejects(chat.login({ userID: "alice", userSig: server.token("alice") }), 70402);
  });

  await t.test("setSelfStatus", async (t) => {
    const { chat, seen } = await server.login(t, "alice");
    await rejects(chat.setSelfStatus(), 70402);
    await rejects(chat.setSelfStatus({ customStatus: 5 }), 70402);
    await rejects(chat.setSelfStatus({ customStatus: null }), 70402);
    const { code, data } = await chat.setSelfStatus({ customStatus: "in a call" });
    assert.equal(code, 0);
    assert.equal(data.userID, "alice");
    assert.equal(data.statusType, 1);
    assert.equal(data.customStatus, "in a call");
    assert.deepEqual(await seen.status("alice", ({ customStatus }) => customStatus), data);
    assert.ok((await chat.setSelfStatus({ customStatus: "brief", expiresIn: 1 })).data.expiresAt);
    await seen.status("alice", ({ customStatus }) => customStatus === "brief");
    await seen.status("alice", ({ customStatus }) => customStatus === "");
    await chat.setSelfStatus({ customStatus: "" });
  });

  await t.test("more users than a call accepts take several calls, and none is lost", async (t) => {
    await server.admin("importUsers", { userIDList: users(700) });
    const { chat } = await server.login(t, "alice");
    const asked = [...users(700), "nobody", "user0"];
    const { data } = await chat.getUserStatus({ userIDList: asked });
    assert.deepEqual(data.successUserList.map(({ userID }) => userID), users(700));
    assert.deepEqual(data.failureUserList.map(({ userID, code }) => [userID, code]), [["nobody", 70107]]);
    const subscribed = (await chat.subscribeUserStatus({ userIDList: users(250) })).data;
    assert.equal(subscribed.successUserList.length, 250);
    assert.equal(subscribed.successUserList[0].statusType, TYPES.USER_STATUS_UNLOGINED);
    assert.deepEqual(subscribed.evictedUserList, users(50));
    assert.deepEqual((await chat.unsubscribeUserStatus({ userIDList: users(250) })).data, { failureUserList: [] });
  });

  await t.test("arguments that are not lists", async (t) => {
    const { chat } = await server.login(t, "alice");
    for (const name of ["getUserStatus", "subscribeUserStatus"]) {
      await rejects(chat[name](), 70402);
      await rejects(chat[name]({ userIDList: "a" }), 70402);
      await rejects(chat[name]({ userIDList: [] }), 70206);
      await rejects(chat[name]({ userIDList: [1] }), 70402);
    }
    await rejects(chat.unsubscribeUserStatus({ userIDList: "a" }), 70402);
  });

  await t.test("subscribing returns the status, and every change is reported until unsubscribed in any of four ways", async (t) => {
    const { chat: bob } = await server.login(t, "bob");
    const { chat, seen } = await server.login(t, "carol");
    for (const options of [undefined, {}, { userIDList: undefined }, { userIDList: [] }]) {
      const { data } = await chat.subscribeUserStatus({ userIDList: ["bob"] });
      assert.equal(data.successUserList[0].statusType, TYPES.USER_STATUS_ONLINE);
      await bob.setSelfStatus({ customStatus: "heard" });
      await seen.status("bob", ({ customStatus }) => customStatus === "heard");
      assert.deepEqual((await chat.unsubscribeUserStatus(options)).data, { failureUserList: [] });
      await bob.setSelfStatus({ customStatus: "unheard" });
      await chat.setSelfStatus({ customStatus: String(Math.random()) });
      await seen.status("carol");
      assert.ok(!JSON.stringify(seen.events).includes("unheard"));
    }
  });

  await t.test("too many calls are tried once more, then rejected with 2996", async (t) => {
    const { chat } = await server.login(t, "erin");
    const calls = await Promise.allSettled(users(50).map((userID) => chat.getUserStatus({ userIDList: [userID] })));
    const rejected = calls.filter(({ status }) => status === "rejected");
    assert.equal(rejected.length, 10, "20 at first, 20 in the next window");
    for (const { reason } of rejected) assert.equal(reason.code, 2996);
  });

  await t.test("logout takes effect immediately, keeps listeners, and ends only this device", async (t) => {
    const first = await server.login(t, "frank");
    const second = await server.login(t, "frank");
    const watcher = await server.login(t, "grace");
    await watcher.chat.subscribeUserStatus({ userIDList: ["frank"] });
    const logout = first.chat.logout();
    assert.equal(first.seen.names().at(-1), "SDK_NOT_READY", "before the promise");
    assert.deepEqual(await logout, { code: 0, data: {} });
    await rejects(first.chat.getUserStatus({ userIDList: ["frank"] }), 3005);
    assert.equal(second.chat.isReady(), true);
    await second.chat.logout();
    assert.equal((await watcher.seen.status("frank")).statusType, TYPES.USER_STATUS_UNLOGINED);
    await first.chat.login({ userID: "frank", userSig: server.token("frank") });
    await first.seen.next("SDK_READY");
  });

  await t.test("logout while a login is pending fails the login, and leaves the user's other devices alone", async (t) => {
    const phone = await server.login(t, "nina", { platform: "android" });
    const { chat, seen } = server.create(t);
    const login = chat.login({ userID: "nina", userSig: server.token("nina") });
    const failed = rejects(login, 3005);
    assert.deepEqual(await chat.logout(), { code: 0, data: {} });
    await failed;
    assert.deepEqual(seen.names(), [], "it was never ready");
    await phone.chat.setSelfStatus({ customStatus: "still here" });
    assert.equal((await phone.seen.status("nina")).customStatus, "still here");
    assert.ok(!phone.seen.names().includes("KICKED_OUT"));
  });

  await t.test("a new friendship reports the friend's status immediately, and the same version only once", async (t) => {
    const olga = await server.login(t, "olga");
    const pete = await server.login(t, "pete");
    await olga.chat.setSelfStatus({ customStatus: "before" });
    for (let i = 0; i < 3; i++) {
      await server.admin("addFriends", { userID: "olga", friendIDList: ["pete"] });
      if (!i) assert.equal((await pete.seen.status("olga")).customStatus, "before");
      await server.admin("removeFriends", { userID: "olga", friendIDList: ["pete"] });
    }
    await server.admin("addFriends", { userID: "olga", friendIDList: ["pete"] });
    await olga.chat.setSelfStatus({ customStatus: "after" });
    assert.equal((await pete.seen.status("olga")).customStatus, "after");
    const received = pete.seen.events.flatMap(({ name, data }) => (name === "USER_STATUS_UPDATED" ? data : []));
    assert.deepEqual(received.filter(({ userID }) => userID === "olga").map(({ customStatus }) => customStatus), ["before", "after"]);
  });

  await t.test("the same instance as another user", async (t) => {
    const { chat, seen } = await server.login(t, "heidi");
    await chat.logout();
    const { data } = await chat.login({ userID: "ivan", userSig: server.token("ivan") });
    assert.equal(data.self.userID, "ivan");
    await seen.next("SDK_READY");
  });

  await t.test("a kick: KICKED_OUT, SDK_NOT_READY, then 3006", async (t) => {
    const { chat, seen } = await server.login(t, "judy");
    await server.admin("kick", { userID: "judy" });
    await seen.next("SDK_NOT_READY");
    assert.deepEqual(seen.events.slice(-3, -1).concat(seen.events.at(-1)).filter(({ name }) => name !== "ERROR").slice(-2), [
      { name: "KICKED_OUT", data: { type: "REST_API_Kick" } },
      { name: "SDK_NOT_READY", data: undefined },
    ]);
    await rejects(chat.getUserStatus({ userIDList: ["judy"] }), 3006);
    const { token } = await server.admin("issueToken", { userID: "judy" });
    assert.equal((await chat.login({ userID: "judy", userSig: token })).code, 0);
  });

  await t.test("an expired userSig ends the session, a fresh one given in time does not", async (t) => {
    const expiring = server.create(t);
    const renewed = server.create(t);
    for (const { chat } of [expiring, renewed]) await chat.login({ userID: "mallory", userSig: server.token("mallory", 5) });
    await renewed.chat.login({ userID: "mallory", userSig: server.token("mallory") });
    assert.deepEqual(await expiring.seen.next("KICKED_OUT"), { type: TYPES.KICKED_OUT_USERSIG_EXPIRED });
    await rejects(expiring.chat.setSelfStatus({ customStatus: "" }), 3004);
    await rejects(expiring.chat.login({ userID: "mallory", userSig: server.token("mallory", -60) }), 70001);
    await renewed.seen.next("NET_STATE_CHANGE", ({ state }) => state === "connected");
    await renewed.chat.setSelfStatus({ customStatus: "still here" });
    await renewed.seen.status("mallory", ({ customStatus }) => customStatus === "still here");
    assert.ok(!renewed.seen.names().includes("KICKED_OUT"));
  });

  await t.test("the original's kits ask for this before they subscribe", async (t) => {
    const { chat } = server.create(t);
    assert.deepEqual(await chat.callExperimentalAPI("isCommercialAbilityEnabled", 128), { code: 0, data: { enabled: true } });
    await rejects(chat.callExperimentalAPI("other"), 2905);
    chat.setLogLevel(0);
    chat.registerPlugin({});
  });
});

test("with the switch off a query for others returns 72001, and one for oneself succeeds", async (t) => {
  const server = await startServer(t, { PRESENCE_FEATURES__USER_STATUS: "false" });
  const { chat } = await server.login(t, "alice");
  await rejects(chat.getUserStatus({ userIDList: ["alice", "bob"] }), 72001);
  await rejects(chat.subscribeUserStatus({ userIDList: ["bob"] }), 72001);
  await rejects(chat.unsubscribeUserStatus(), 72001);
  assert.equal((await chat.getUserStatus({ userIDList: ["alice"] })).data.successUserList.length, 1);
  assert.equal((await chat.setSelfStatus({ customStatus: "x" })).code, 0);
});

test("a UserSig of the original logs in", async (t) => {
  const server = await startServer(t, { PRESENCE_AUTH__SDK_APP_ID: "1400000000" });
  const { chat } = server.create(t);
  const { data } = await chat.login({ userID: "alice", userSig: server.userSig("alice", 1400000000) });
  assert.equal(data.self.userID, "alice");
});

test("a response that is not from a presence server is rejected with 2800", async (t) => {
  skipPauses(t);
  const bodies = ["<h1>502 Bad Gateway</h1>", '{"error":"bad gateway"}', "null", ""];
  for (const body of bodies) {
    const proxy = http.createServer((_, response) => response.writeHead(502).end(body)).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    t.after(() => proxy.close());
    const chat = TencentCloudChat.create({ SDKAppID: 4, serverURL: `http://127.0.0.1:${proxy.address().port}` });
    await rejects(chat.login({ userID: "alice", userSig: "x" }), 2800);
    await chat.destroy();
  }
});

test("after 429 the SDK waits as long as requested, and tries once more", async (t) => {
  const asked = [];
  const server = http.createServer((_, response) => {
    asked.push(performance.now());
    response.writeHead(429, { "Retry-After": "1" }).end('{"code":2996,"message":"too many"}');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const chat = TencentCloudChat.create({ SDKAppID: 5, serverURL: `http://127.0.0.1:${server.address().port}` });
  t.after(() => chat.destroy());
  await rejects(chat.login({ userID: "alice", userSig: "x" }), 2996);
  assert.equal(asked.length, 2);
  assert.ok(asked[1] - asked[0] >= 999, `${asked[1] - asked[0]} ms`);
});
