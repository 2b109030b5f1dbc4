// A presence server for tests: the real binary, on a free port, in a folder of its own.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import TencentCloudChat from "../presence.js";

const SECRET = "a secret for tests, 32 bytes long";
const ADMIN_KEY = "an admin key for tests, 32 bytes";

/** Where the binary is: PRESENCE_BINARY, or built here. */
function binary(folder) {
  if (process.env.PRESENCE_BINARY) return process.env.PRESENCE_BINARY;
  const path = join(folder, "presence");
  execFileSync("go", ["build", "-o", path, ".."], { cwd: new URL("..", import.meta.url), stdio: "inherit" });
  return path;
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Starts a server that ends with the test t. env adds to its configuration. */
export async function startServer(t, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "presence-sdk-"));
  const server = new Server(folder, binary(folder), await freePort(), env);
  t.after(async () => {
    await server.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  await server.start();
  return server;
}

class Server {
  constructor(folder, path, port, env) {
    this.url = `http://127.0.0.1:${port}`;
    this.path = path;
    this.folder = folder;
    this.env = {
      PATH: process.env.PATH,
      PRESENCE_LISTEN: `127.0.0.1:${port}`,
      PRESENCE_DATABASE__PATH: join(folder, "presence.db"),
      PRESENCE_AUTH__SECRET: SECRET,
      PRESENCE_AUTH__ADMIN_KEY: ADMIN_KEY,
      PRESENCE_LOG__LEVEL: "info",
      ...env,
    };
    this.nextAppID = 1;
  }

  /** Resolves when the server is ready. */
  async start() {
    this.process = spawn(this.path, { cwd: this.folder, env: this.env });
    let said = "";
    for (const output of [this.process.stdout, this.process.stderr]) output.on("data", (chunk) => (said += chunk));
    for (;;) {
      const answer = await fetch(`${this.url}/readyz`).catch(() => {});
      if (answer?.ok) return;
      assert.equal(this.process.exitCode, null, `the server ended before it was ready:\n${said}`);
    }
  }

  /** kill -9 */
  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode) return;
    this.process.kill("SIGKILL");
    await once(this.process, "exit");
  }

  /** A JWT, as a backend would create it. */
  token(userID, seconds = 3600) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const now = Math.floor(Date.now() / 1000);
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: userID, iat: now, exp: now + seconds, jti: randomUUID() })}`;
    return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
  }

  /** The original's kind of token. */
  userSig(userID, appID) {
    const [time, expire] = [Math.floor(Date.now() / 1000), 3600];
    const text = `TLS.identifier:${userID}\nTLS.sdkappid:${appID}\nTLS.time:${time}\nTLS.expire:${expire}\n`;
    const sig = {
      "TLS.ver": "2.0",
      "TLS.identifier": userID,
      "TLS.sdkappid": appID,
      "TLS.time": time,
      "TLS.expire": expire,
      "TLS.sig": createHmac("sha256", SECRET).update(text).digest("base64"),
    };
    const swap = { "+": "*", "/": "-", "=": "_" };
    return deflateSync(JSON.stringify(sig)).toString("base64").replace(/[+/=]/g, (c) => swap[c]);
  }

  async admin(name, body) {
    const response = await fetch(`${this.url}/v1/admin/${name}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${ADMIN_KEY}` },
      body: JSON.stringify(body),
    });
    const { code, message, data } = await response.json();
    assert.equal(code, 0, `${name}: ${message}`);
    return data;
  }

  /** An SDK of its own that is destroyed with the test t; seen has every event in order. */
  create(t, options = {}) {
    const chat = TencentCloudChat.create({ SDKAppID: this.nextAppID++, serverURL: this.url, ...options });
    const seen = record(chat);
    t.after(() => chat.destroy());
    return { chat, seen };
  }

  async login(t, userID, options) {
    const { chat, seen } = this.create(t, options);
    await chat.login({ userID, userSig: this.token(userID) });
    await seen.next("SDK_READY");
    return { chat, seen };
  }
}

/** Every event of the SDK in order, as {name: "SDK_READY", data}. */
export function record(chat) {
  const events = [];
  const waiting = new Set();
  let read = 0;
  for (const [name, value] of Object.entries(TencentCloudChat.EVENT)) {
    chat.on(value, ({ data }) => {
      events.push({ name, data });
      waiting.forEach((look) => look());
    });
  }
  return {
    events,
    names: () => events.map(({ name }) => name),
    /** The next event, after the one that next gave last, of this name and for which test answers true. */
    next(name, test = () => true) {
      return new Promise((resolve) => {
        const look = () => {
          const i = events.findIndex((event, i) => i >= read && event.name === name && test(event.data));
          if (i < 0) return;
          waiting.delete(look);
          read = i + 1;
          resolve(events[i].data);
        };
        waiting.add(look);
        look();
      });
    },
    /** The next status of this user for which test answers true. */
    async status(userID, test = () => true) {
      const matches = (status) => status.userID === userID && test(status);
      return (await this.next("USER_STATUS_UPDATED", (list) => list.some(matches))).find(matches);
    },
  };
}

/** Asserts that the promise is rejected as everything of the SDK is: with an Error that has code, message and data. */
export async function rejects(promise, code) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof Error);
    assert.equal(error.code, code, error.message);
    assert.equal(typeof error.message, "string");
    assert.equal(typeof error.data, "object");
    return true;
  });
}
