// What a user sees while the server or the network is away, with the real server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { startServer } from "./server.js";

test("kill -9 of the server: stale statuses become UNKNOWN, and current again when it is back", async (t) => {
  const server = await startServer(t);
  const bob = await server.login(t, "bob", { staleAfter: 0 });
  const alice = await server.login(t, "alice", { staleAfter: 0.05 });
  await server.admin("importUsers", { userIDList: ["carol"] });
  await alice.chat.subscribeUserStatus({ userIDList: ["bob"] });
  await alice.chat.getUserStatus({ userIDList: ["carol"] }); // watched by nobody, but shown

  await server.kill();
  const unknown = await alice.seen.next("USER_STATUS_UPDATED");
  assert.deepEqual(unknown.map(({ userID, statusType }) => [userID, statusType]).sort(), [["alice", 0], ["bob", 0], ["carol", 0]]);

  await server.start();
  const back = new Map();
  while (back.size < 3) {
    for (const { userID, statusType } of await alice.seen.next("USER_STATUS_UPDATED")) back.set(userID, statusType);
  }
  assert.deepEqual(Object.fromEntries(back), { alice: 1, bob: 1, carol: 3 });

  await bob.chat.setSelfStatus({ customStatus: "after" });
  await alice.seen.status("bob", ({ customStatus }) => customStatus === "after");
  assert.ok(!bob.seen.events.some(({ data }) => data?.[0]?.statusType === 0), "staleAfter 0 switches it off");
  const states = alice.seen.events.filter(({ name }) => name === "NET_STATE_CHANGE").map(({ data }) => data.state);
  assert.equal(states[0], "connecting");
  assert.equal(states.at(-1), "connected");
});

test("a login while the server is down succeeds once it is back", async (t) => {
  const server = await startServer(t);
  await server.kill();
  const { chat } = server.create(t);
  const login = chat.login({ userID: "alice", userSig: server.token("alice") });
  await server.start();
  assert.equal((await login).code, 0);
});

test("an orderly stop: nobody is kicked, and changes made meanwhile arrive", async (t) => {
  const server = await startServer(t, { PRESENCE_TIMING__DRAIN: "200ms" });
  const alice = await server.login(t, "alice");
  await server.admin("importUsers", { userIDList: ["bob"] });
  await alice.chat.subscribeUserStatus({ userIDList: ["bob"] });
  server.process.kill("SIGTERM");
  await alice.seen.next("NET_STATE_CHANGE", ({ state }) => state !== "connected");
  if (server.process.exitCode === null) await new Promise((resolve) => server.process.once("exit", resolve));
  await server.start();
  await server.admin("setUserStatus", { userID: "bob", customStatus: "meanwhile" });
  await alice.seen.status("bob", ({ customStatus }) => customStatus === "meanwhile");
  assert.ok(!alice.seen.names().includes("KICKED_OUT"));
});

/** A TCP proxy to the server that can stop forwarding, as a broken network does: nothing arrives, and nothing ends. */
async function startProxy(t, server) {
  const open = new Set();
  const proxy = createServer((client) => {
    const upstream = connect(new URL(server.url).port, "127.0.0.1");
    open.add(upstream);
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) {
      socket.on("error", () => {});
      socket.on("close", () => (client.destroy(), upstream.destroy()));
      t.after(() => socket.destroy());
    }
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.after(() => proxy.close());
  const silence = () => open.forEach((upstream) => upstream.unpipe() && upstream.pause());
  return { url: `http://127.0.0.1:${proxy.address().port}`, silence };
}

test("a stream that is silent for two keepalives is dead, and the next one sends what was missed", async (t) => {
  const server = await startServer(t, { PRESENCE_TIMING__KEEPALIVE: "1s" });
  const proxy = await startProxy(t, server);
  const alice = await server.login(t, "alice", { serverURL: proxy.url });
  await server.admin("importUsers", { userIDList: ["bob"] });
  await alice.chat.subscribeUserStatus({ userIDList: ["bob"] });
  proxy.silence();
  await server.admin("setUserStatus", { userID: "bob", customStatus: "unheard" });
  await alice.seen.next("NET_STATE_CHANGE", ({ state }) => state === "connecting");
  await alice.seen.status("bob", ({ customStatus }) => customStatus === "unheard");
});
