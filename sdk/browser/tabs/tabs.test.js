// How tabs share a stream, in the browser that BROWSER names (chrome or firefox, at BROWSER_PATH), against the server.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import puppeteer from "puppeteer-core";
import { startServer } from "../../test/server.js";

const { BROWSER: browserName, BROWSER_PATH: executablePath } = process.env;
const LAN = "presence.test"; // resolves to this machine, but is not localhost: its pages have no Web Locks

/** A site that consists of an empty page and the server behind it. It may let tokens expire. */
async function startSite(t, env = {}) {
  const server = await startServer(t, { PRESENCE_TIMING__KEEPALIVE: "1s", PRESENCE_TIMING__RECONNECT_GRACE: "1m", ...env });
  const expired = new Set();
  const replaced = {}; // path → the HTTP status of an empty answer
  const streams = new Map(); // response → token
  let accepted = 0; // streams whose device the server has connected
  const calls = []; // the token of each
  const answer = (request, response) => {
    if (request.url === "/") return response.setHeader("Content-Type", "text/html").end("<!doctype html><title>A page</title>");
    if (request.url in replaced) return response.writeHead(replaced[request.url], { "Content-Type": "text/javascript" }).end();
    const token = request.headers.authorization?.slice("Bearer ".length);
    if (expired.has(token)) return response.writeHead(401).end('{"code":70001,"message":"expired"}');
    if (request.url.startsWith("/v1/events")) streams.set(response, token);
    else if (token) calls.push(token);
    const { method, headers } = request;
    const upstream = http.request(server.url + request.url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      if (streams.has(response) && answer.statusCode === 200) site.emit("changed", accepted++);
    });
    request.pipe(upstream).on("error", () => response.destroy());
    response.on("close", () => (upstream.destroy(), streams.delete(response) && site.emit("changed")));
  };
  const site = http.createServer(answer).listen(0, "127.0.0.1");
  await once(site, "listening");
  const { port } = site.address();
  t.after(() => (site.closeAllConnections(), site.close()));
  const until = async (test) => {
    while (!test()) await once(site, "changed", { signal: AbortSignal.timeout(60_000) });
  };
  const get = async (path, token) => {
    const { data } = await (await fetch(server.url + path, { headers: { Authorization: `Bearer ${token}` } })).json();
    return data;
  };
  return Object.assign(server, {
    secure: `http://127.0.0.1:${port}/`,
    lan: `http://${LAN}:${port}/`,
    replaced,
    calls,
    streams: () => streams.size,
    hasStreams: (count) => until(() => streams.size === count),
    /** Ends the tab that leads, and waits until the device is connected through its successor. A worker's stream stays. */
    async succeed(kind, end) {
      const before = accepted;
      await end();
      if (kind === "secure") await until(() => accepted > before);
    },
    devices: async (userID) => (await get("/v1/self", server.token(userID))).devices.map(({ connected, idle }) => ({ connected, idle })),
    subscriptions: async (userID) => (await get("/v1/subscriptions", server.token(userID))).userList.map((user) => user.userID).sort(),
    expire(token) {
      expired.add(token);
      for (const [response, itsToken] of streams) {
        if (itsToken === token) response.end('event: KICKED_OUT\ndata: {"type":"userSigExpired"}\nid: 1\n\n');
      }
    },
  });
}

async function startBrowser(t) {
  const browser = await puppeteer.launch({
    browser: browserName,
    executablePath,
    args: browserName === "chrome" ? ["--no-sandbox", "--disable-gpu", `--host-resolver-rules=MAP ${LAN} 127.0.0.1`] : [],
    extraPrefsFirefox: { "network.dns.localDomains": LAN },
  });
  t.after(() => browser.close());
  return browser;
}

/** A page with the SDK. What the SDK reports is kept in events, as "NAME data". */
class Tab {
  static async open(browser, url, options = {}) {
    const tab = new Tab();
    tab.page = await browser.newPage();
    tab.page.on("dialog", (dialog) => (tab.dialog = dialog));
    await tab.page.goto(url);
    await tab.page.evaluate(async (options) => {
      const { default: sdk } = await import("/sdk/presence.js");
      window.events = [];
      const waiting = new Set();
      window.start = () => {
        window.chat = sdk.create({ SDKAppID: 1, ...options });
        for (const [name, event] of Object.entries(sdk.EVENT)) {
          chat.on(event, ({ data }) => {
            const list = name === "USER_STATUS_UPDATED" ? data.map((s) => `${s.userID} ${s.statusType} ${s.customStatus}`) : [data?.type ?? data?.state ?? ""];
            events.push(...list.map((text) => `${name} ${text}`.trim()));
            waiting.forEach((look) => look());
          });
        }
      };
      window.until = (text) => new Promise((resolve) => {
        const look = () => events.includes(text) && (waiting.delete(look), resolve());
        waiting.add(look);
        look();
      });
      start();
    }, options);
    return tab;
  }

  static async login(browser, url, userID, token, options) {
    const tab = await Tab.open(browser, url, options);
    await tab.login(userID, token);
    return tab;
  }

  run(script, ...args) {
    return this.page.evaluate(script, ...args);
  }

  async login(userID, token) {
    await this.run((userID, userSig) => chat.login({ userID, userSig }).then(() => {}), userID, token);
    await this.until("SDK_READY");
  }

  until(text) {
    return this.run((text) => until(text), text);
  }

  sees(userID, customStatus) {
    return this.until(`USER_STATUS_UPDATED ${userID} 3 ${customStatus}`);
  }

  subscribe(...userIDList) {
    return this.run((userIDList) => chat.subscribeUserStatus({ userIDList }).then(() => {}), userIDList);
  }

  unsubscribe(...userIDList) {
    return this.run((userIDList) => chat.unsubscribeUserStatus({ userIDList }).then(({ data }) => data), userIDList);
  }

  get events() {
    return this.run(() => events);
  }

  get isReady() {
    return this.run(() => chat.isReady());
  }

  /** Shows an alert, which blocks the page. */
  async stick() {
    const shown = once(this.page, "dialog");
    await this.run(() => void setTimeout(() => alert("stuck")));
    await shown;
  }
}

const set = (server, userID, customStatus) => server.admin("setUserStatus", { userID, customStatus });

test("a leading tab that is stuck is replaced, and joins again when it is free", async (t) => {
  const server = await startSite(t);
  const browser = await startBrowser(t);
  await server.admin("importUsers", { userIDList: ["alice", "bob"] });
  await server.admin("addFriends", { userID: "alice", friendIDList: ["bob"] });
  const first = await Tab.login(browser, server.secure, "alice", server.token("alice"));
  const second = await Tab.login(browser, server.secure, "alice", server.token("alice"));
  assert.equal(server.streams(), 1);

  await first.stick();
  await set(server, "bob", "to the second");
  await second.page.bringToFront();
  await second.sees("bob", "to the second"); // after two keepalives of silence
  await first.dialog.accept();
  await first.sees("bob", "to the second");
  await set(server, "bob", "to both");
  await Promise.all([first.sees("bob", "to both"), second.sees("bob", "to both")]);
  await server.hasStreams(1);

  await second.stick();
  const third = await Tab.login(browser, server.secure, "alice", server.token("alice")); // after a second
  await set(server, "bob", "to the third");
  await Promise.all([first.sees("bob", "to the third"), third.sees("bob", "to the third")]);
  await second.dialog.accept();
  await second.sees("bob", "to the third");
  await server.hasStreams(1);
  for (const tab of [first, second, third]) {
    assert.ok(await tab.isReady);
    assert.ok(!(await tab.events).some((text) => text.includes("KICKED_OUT")));
    const own = (await tab.events).filter((text) => text.includes("USER_STATUS_UPDATED bob"));
    assert.deepEqual(own, [...new Set(own)], "each change once");
  }
});

test("a tab that could not answer which users it holds subscribes again", async (t) => {
  const server = await startSite(t);
  const browser = await startBrowser(t);
  await server.admin("importUsers", { userIDList: ["bob"] });
  const first = await Tab.login(browser, server.secure, "alice", server.token("alice"));
  const second = await Tab.login(browser, server.secure, "alice", server.token("alice"));
  await second.subscribe("bob");
  await second.stick();
  await first.page.bringToFront();
  await first.unsubscribe();
  await set(server, "bob", "meanwhile");
  await second.dialog.accept();
  await second.sees("bob", "meanwhile");
  await set(server, "bob", "from now on");
  await second.sees("bob", "from now on");
});

for (const httpStatus of [404, 200]) test(`lan: with an empty worker (${httpStatus}) each tab connects by itself`, async (t) => {
  const server = await startSite(t);
  server.replaced["/sdk/worker.js"] = httpStatus;
  const browser = await startBrowser(t);
  for (const text of ["first", "second"]) {
    const tab = await Tab.login(browser, server.lan, "alice", server.token("alice"));
    await tab.run((customStatus) => chat.setSelfStatus({ customStatus }).then(() => {}), text);
    await tab.until(`USER_STATUS_UPDATED alice 1 ${text}`);
  }
  assert.equal(server.streams(), 2);
});

for (const kind of ["secure", "lan"]) {
  test(`${kind}: six tabs have one connection, and are logged out together`, async (t) => {
    const server = await startSite(t);
    const browser = await startBrowser(t);
    const tabs = [];
    for (let i = 0; i < 6; i++) tabs.push(await Tab.login(browser, server[kind], "alice", server.token("alice")));
    assert.deepEqual(await tabs[0].run(() => [isSecureContext, !!navigator.locks]), kind === "secure" ? [true, true] : [false, false]);
    assert.equal(server.streams(), 1);
    const seventh = await Tab.login(browser, server[kind], "alice", server.token("alice"));
    await seventh.subscribe("alice");
    await tabs[3].run(() => chat.setSelfStatus({ customStatus: "to all" }).then(() => {}));
    for (const tab of [...tabs, seventh]) await tab.until("USER_STATUS_UPDATED alice 1 to all");
    await tabs[0].page.close();
    await tabs[1].page.reload();
    await tabs[3].run(() => chat.setSelfStatus({ customStatus: "to the rest" }).then(() => {}));
    for (const tab of [...tabs.slice(2), seventh]) await tab.until("USER_STATUS_UPDATED alice 1 to the rest");
    await server.hasStreams(1);
    await tabs[2].run(() => chat.logout().then(() => {}));
    for (const tab of [...tabs.slice(3), seventh]) await tab.until("KICKED_OUT logout");
    await tabs[2].login("alice", server.token("alice"));
  });

  test(`${kind}: destroy in one tab leaves the others logged in, in the last it logs out`, async (t) => {
    const server = await startSite(t);
    const browser = await startBrowser(t);
    await server.admin("importUsers", { userIDList: ["alice"] });
    const watcher = await server.login(t, "walt");
    await watcher.chat.subscribeUserStatus({ userIDList: ["alice"] });
    const first = await Tab.login(browser, server[kind], "alice", server.token("alice"));
    const second = await Tab.login(browser, server[kind], "alice", server.token("alice"));
    await server.succeed(kind, () => first.run(() => chat.destroy().then(() => {})));
    await second.run(() => chat.setSelfStatus({ customStatus: "still here" }).then(() => {}));
    await second.until("USER_STATUS_UPDATED alice 1 still here");
    assert.ok(await second.isReady);
    await second.run(() => chat.destroy().then(() => {}));
    const left = await watcher.seen.status("alice", ({ statusType }) => statusType === 3); // the grace is a minute
    assert.equal(left.customStatus, "still here");
  });

  test(`${kind}: a page that leaves and logs in again immediately, as React does, is logged in`, async (t) => {
    const server = await startSite(t);
    const browser = await startBrowser(t);
    const tab = await Tab.login(browser, server[kind], "alice", server.token("alice"));
    for (const leave of ["logout", "destroy"]) {
      for (let i = 0; i < 3; i++) {
        await tab.run(async (leave, userSig) => {
          chat[leave]();
          if (leave === "destroy") start();
          await chat.login({ userID: "alice", userSig });
        }, leave, server.token("alice"));
        await tab.run((text) => chat.setSelfStatus({ customStatus: text }).then(() => {}), `${leave} ${i}`);
        await tab.until(`USER_STATUS_UPDATED alice 1 ${leave} ${i}`);
      }
    }
    assert.ok(await tab.isReady);
    assert.ok(!(await tab.events).some((text) => text.startsWith("KICKED_OUT")));
  });

  test(`${kind}: unsubscribing in a tab leaves what another tab holds`, async (t) => {
    const server = await startSite(t);
    const browser = await startBrowser(t);
    await server.admin("importUsers", { userIDList: ["bob", "carol", "dave"] });
    const first = await Tab.login(browser, server[kind], "alice", server.token("alice"));
    const second = await Tab.login(browser, server[kind], "alice", server.token("alice"));
    await first.subscribe("bob", "carol", "dave");
    await second.subscribe("bob");
    assert.deepEqual(await first.unsubscribe("bob", "carol"), { failureUserList: [] });
    assert.deepEqual(await server.subscriptions("alice"), ["bob", "dave"]);
    await set(server, "bob", "to the second");
    await second.sees("bob", "to the second");
    assert.deepEqual(await first.unsubscribe(), { failureUserList: [] });
    assert.deepEqual(await server.subscriptions("alice"), ["bob"]);
    assert.deepEqual(await first.unsubscribe("bob"), { failureUserList: [] });
    assert.deepEqual(await server.subscriptions("alice"), ["bob"]);
    assert.equal((await first.unsubscribe("nobody")).failureUserList[0].code, 70107);

    await second.page.close(); // a tab that is gone holds nothing
    await first.unsubscribe("bob");
    assert.deepEqual(await server.subscriptions("alice"), []);
  });

  test(`${kind}: the newest token serves all tabs, and when it expires all end in the same way`, async (t) => {
    const server = await startSite(t);
    const browser = await startBrowser(t);
    const [old, fresh, last] = [1, 2, 3].map(() => server.token("alice"));
    const first = await Tab.login(browser, server[kind], "alice", old);
    const second = await Tab.login(browser, server[kind], "alice", fresh);
    const set = (tab, text) => tab.run((customStatus) => chat.setSelfStatus({ customStatus }).then(() => {}), text);
    for (const [tab, text] of [[second, "before"], [first, "since"]]) {
      await set(tab, text);
      assert.equal(server.calls.at(-1), fresh);
      await first.until(`USER_STATUS_UPDATED alice 1 ${text}`); // and so has what was sent before it: the fresh token
    }
    server.expire(old); // the token of the stream
    await set(first, "with the fresh one");
    for (const tab of [first, second]) await tab.until("USER_STATUS_UPDATED alice 1 with the fresh one");
    await first.run((userSig) => chat.login({ userID: "alice", userSig }).then(() => {}), last);
    server.expire(fresh);
    await set(second, "with the last one");
    for (const tab of [first, second]) await tab.until("USER_STATUS_UPDATED alice 1 with the last one");
    for (const tab of [first, second]) assert.ok(!(await tab.events).some((text) => text.startsWith("KICKED_OUT")));

    server.expire(last);
    for (const tab of [first, second]) {
      await tab.until("KICKED_OUT userSigExpired");
      await tab.until("SDK_NOT_READY");
      assert.equal(await tab.isReady, false);
      assert.equal(await tab.run(() => chat.getUserStatus({ userIDList: ["bob"] }).catch((error) => error.code)), 3004);
    }
  });

  test(`${kind}: one tab calls its function for all, also when the one that did it is gone`, async (t) => {
    const server = await startSite(t);
    const browser = await startBrowser(t);
    const tokens = ["one", "two", "three"].map(() => server.token("alice"));
    let calls = 0;
    const tabs = [];
    for (let i = 0; i < 4; i++) {
      const tab = await Tab.open(browser, server[kind]);
      await tab.page.exposeFunction("token", () => tokens[calls++]);
      if (i < 3) await tab.run((first) => chat.login({ userID: "alice", userSig: () => (window.first ? token() : (window.first = first)) }).then(() => {}), tokens[0]);
      else await tab.login("alice", tokens[0]);
      tabs.push(tab);
    }
    const set = (tab, text) => tab.run((customStatus) => chat.setSelfStatus({ customStatus }).then(() => {}), text);
    calls = 1;
    for (const [i, text] of ["after the first", "after the second"].entries()) {
      server.expire(tokens[i]);
      await set(tabs[3], text); // which has no function
      for (const tab of tabs) await tab.until(`USER_STATUS_UPDATED alice 1 ${text}`);
      assert.equal(calls, i + 2);
      if (!i) await server.succeed(kind, () => tabs.shift().page.close());
      if (!i) tabs.unshift(tabs[0]);
    }
    for (const tab of tabs) assert.ok(!(await tab.events).some((text) => /KICKED_OUT|ERROR/.test(text)));
  });

  test(`${kind}: watches count over tabs`, async (t) => {
    const server = await startSite(t);
    const browser = await startBrowser(t);
    await server.admin("importUsers", { userIDList: ["bob", "carol"] });
    const first = await Tab.login(browser, server[kind], "alice", server.token("alice"));
    const second = await Tab.login(browser, server[kind], "alice", server.token("alice"));
    const watch = (tab, ...userIDs) => tab.run((userIDs) => new Promise((resolve) => {
      window.unwatch = chat.watch(userIDs, ({ userID, customStatus }) => {
        events.push(`watched ${userID} ${customStatus}`);
        if (userID === "bob") resolve();
      });
    }), userIDs);
    await watch(first, "bob", "carol");
    await watch(second, "bob");
    await first.run(() => unwatch());
    while (`${await server.subscriptions("alice")}` !== "bob");
    await set(server, "bob", "to the second");
    await second.sees("bob", "to the second");
    assert.ok((await second.events).includes("watched bob to the second"));
    assert.ok(!(await first.events).includes("watched bob to the second"));
    await second.run(() => unwatch());
    while (`${await server.subscriptions("alice")}` !== "");
  });

  test(`${kind}: a device is idle when none of its tabs is used, and no longer when one is`, async (t) => {
    const server = await startSite(t);
    const browser = await startBrowser(t);
    await server.admin("importUsers", { userIDList: ["alice"] });
    const watcher = await server.login(t, "walt");
    await watcher.chat.subscribeUserStatus({ userIDList: ["alice"] });
    const isAway = ({ availability }) => availability === "away";
    const idle = (isIdle) => watcher.seen.status("alice", (status) => status.statusType === 1 && isAway(status) === isIdle);
    const login = () => Tab.login(browser, server[kind], "alice", server.token("alice"), { idleAfter: 1 });
    const first = await login();
    await idle(true);
    const second = await login(); // a tab that opens is in use
    await idle(false);
    await idle(true);
    await second.page.keyboard.press("a");
    await idle(false);
    const until = Date.now() + 2000;
    const { length } = watcher.seen.events;
    for (let x = 0; Date.now() < until; x++) await second.page.mouse.move(x % 50, 10); // the first tab is not used
    assert.deepEqual(await server.devices("alice"), [{ connected: true, idle: false }]);
    assert.deepEqual(watcher.seen.events.slice(length), [], "nothing changes while a tab is used");
    await idle(true);
    await server.succeed(kind, () => first.page.close());
    await second.run(() => chat.setIdle(true).then(() => {}));
    await second.page.mouse.move(5, 5);
    await second.page.mouse.move(6, 6);
    await idle(false);
  });
}
