// The original's API for user status, on a presence server. index.d.ts describes each method.

import { Session, fail } from "./session.js";

export const VERSION = "0.1.0";

export const TYPES = {
  USER_STATUS_UNKNOWN: 0,
  USER_STATUS_ONLINE: 1,
  USER_STATUS_OFFLINE: 2,
  USER_STATUS_UNLOGINED: 3,
  KICKED_OUT_MULT_ACCOUNT: "multipleAccount",
  KICKED_OUT_MULT_DEVICE: "multipleDevice",
  KICKED_OUT_USERSIG_EXPIRED: "userSigExpired",
  KICKED_OUT_REST_API: "REST_API_Kick",
  KICKED_OUT_LOGOUT: "logout",
  NET_STATE_CONNECTED: "connected",
  NET_STATE_CONNECTING: "connecting",
  NET_STATE_DISCONNECTED: "disconnected",
};

export const EVENT = {
  SDK_READY: "sdkStateReady",
  SDK_NOT_READY: "sdkStateNotReady",
  SDK_DESTROY: "sdkDestroy",
  USER_STATUS_UPDATED: "onUserStatusUpdated",
  KICKED_OUT: "kickedOut",
  NET_STATE_CHANGE: "netStateChange",
  ERROR: "error",
  FRIEND_LIST_UPDATED: "onFriendListUpdated", // this and the next two are never emitted, but pages listen for them
  PROFILE_UPDATED: "onProfileUpdated",
  BLACKLIST_UPDATED: "blacklistUpdated",
};

// Why calls are refused while nobody is logged in.
const REASONS = {
  2024: "not logged in",
  3000: "still logging in",
  3001: "the login failed",
  3002: "kicked out by another device",
  3004: "the userSig has expired",
  3005: "logged out",
  3006: "kicked out by the server",
};
const REASON_OF_KICK = { multipleDevice: 3002, userSigExpired: 3004, logout: 3005, REST_API_Kick: 3006 };

const instances = new Map(); // SDKAppID → Chat

export function create(options) {
  const id = parseInt(options?.SDKAppID);
  if (Number.isNaN(id)) {
    console.error("create: SDKAppID must be a number");
    return null;
  }
  if (!instances.has(id)) instances.set(id, new Chat({ ...options, SDKAppID: id }));
  return instances.get(id);
}

const ok = (data) => ({ code: 0, data });

class Chat {
  #options;
  #listeners = new Map(); // event name → Map of handler → {context, once}
  #session;
  #loggedIn = false;
  #ready = false;
  #reason = 2024; // why calls are refused while not logged in

  constructor({ SDKAppID, serverURL = "", platform = "web", deviceID, staleAfter = 60 }) {
    const base = new URL(serverURL, globalThis.location?.href).href.replace(/\/+$/, "");
    this.#options = { SDKAppID, base, platform, deviceID, staleAfter };
  }

  async login(options) {
    const { userID, userSig } = options ?? {};
    if (!userID || typeof userID !== "string") throw fail(2002, "userID must be a string");
    if (!userSig || typeof userSig !== "string") throw fail(2003, "userSig must be a string");
    if (this.#session) return this.#loginAgain(userID, userSig);
    const session = (this.#session = new Session({
      ...this.#options,
      userID,
      token: userSig,
      emit: (name, data) => this.#session === session && this.#emit(name, data),
      kicked: (type) => this.#session === session && this.#kicked(type),
    }));
    this.#reason = 3000;
    try {
      await session.call("getUserStatus", { userIDList: [userID] }); // another tab's stream says nothing of our userSig
      const { deviceID, self } = await session.open();
      this.#loggedIn = true;
      setTimeout(() => this.#session === session && this.#becomeReady());
      return ok({ actionStatus: "OK", errorCode: 0, errorInfo: "", deviceID, self });
    } catch (error) {
      if (this.#session === session) this.#leave(3001);
      throw error;
    }
  }

  /** The same user again: the fresher userSig serves from now on. */
  #loginAgain(userID, userSig) {
    if (!this.#loggedIn) throw fail(2025, REASONS[3000]);
    if (userID !== this.#session.userID) throw fail(2025, `already logged in as ${this.#session.userID}`);
    this.#session.token = userSig;
    return ok({ actionStatus: "OK", errorCode: 0, errorInfo: "", repeatLogin: true });
  }

  async logout() {
    if (!this.#session) throw fail(2024, REASONS[2024]);
    const session = this.#session;
    session.share("KICKED_OUT", { type: "logout" });
    this.#leave(3005);
    await session.call("logout", { deviceID: session.deviceID }).catch(() => {}); // unreachable: the grace period ends it
    return ok({});
  }

  async destroy() {
    if (this.#session) await this.logout();
    this.#emit("SDK_DESTROY", { SDKAppID: this.#options.SDKAppID });
    this.#listeners.clear();
    this.#reason = 2024;
    if (instances.get(this.#options.SDKAppID) === this) instances.delete(this.#options.SDKAppID);
    return ok({});
  }

  on(name, handler, context) {
    this.#listen(name, handler, { context });
  }

  once(name, handler, context) {
    this.#listen(name, handler, { context, once: true });
  }

  off(name, handler) {
    this.#listeners.get(name)?.delete(handler);
  }

  isReady() {
    return this.#ready;
  }

  getLoginUser() {
    return this.#loggedIn ? this.#session.userID : "";
  }

  getServerTime() {
    return Date.now();
  }

  async setSelfStatus(options) {
    const session = this.#current();
    const { customStatus, expiresIn } = options ?? {};
    if (typeof customStatus !== "string") throw fail(70402, "customStatus must be a string");
    return ok(session.note([await session.call("setSelfStatus", { customStatus, expiresIn })])[0]);
  }

  async getUserStatus(options) {
    return this.#query("getUserStatus", 500, options);
  }

  async subscribeUserStatus(options) {
    const answer = await this.#query("subscribeUserStatus", 100, options);
    this.#session?.share("SEEN", answer.data.successUserList);
    return answer;
  }

  async unsubscribeUserStatus(options) {
    const session = this.#current();
    const userIDList = options?.userIDList ?? [];
    if (!Array.isArray(userIDList)) throw fail(70402, "userIDList must be an array");
    const data = userIDList.length
      ? await session.callForAll("unsubscribeUserStatus", 100, userIDList)
      : await session.call("unsubscribeUserStatus", {});
    session.mute(userIDList);
    return ok(data);
  }

  async callExperimentalAPI(name) {
    if (name !== "isCommercialAbilityEnabled") throw fail(2905, `unknown API ${name}`);
    return ok({ enabled: true });
  }

  // Pages written for the original call these; there is nothing to do.
  setLogLevel() {}
  registerPlugin() {}

  async #query(name, size, options) {
    const session = this.#current();
    const userIDList = options?.userIDList;
    if (!Array.isArray(userIDList)) throw fail(70402, "userIDList must be an array");
    if (!userIDList.length) throw fail(70206, "userIDList is empty");
    const data = await session.callForAll(name, size, userIDList);
    return ok({ ...data, successUserList: session.note(data.successUserList) });
  }

  /** The session, or the rejection that says why there is none. */
  #current() {
    if (this.#loggedIn) return this.#session;
    const error = { code: this.#reason, message: REASONS[this.#reason] };
    this.#emit("ERROR", error);
    throw fail(error.code, error.message);
  }

  #becomeReady() {
    this.#ready = true;
    this.#emit("SDK_READY");
  }

  #kicked(type) {
    if (this.#loggedIn) this.#emit("KICKED_OUT", { type });
    this.#leave(REASON_OF_KICK[type]);
  }

  #leave(reason) {
    const wasLoggedIn = this.#loggedIn;
    this.#session?.close();
    this.#session = undefined;
    this.#loggedIn = this.#ready = false;
    this.#reason = reason;
    if (wasLoggedIn) this.#emit("SDK_NOT_READY");
  }

  #listen(name, handler, how) {
    if (!name || typeof handler !== "function") throw fail(70402, "on and once take an event name and a function");
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Map());
    this.#listeners.get(name).set(handler, how);
  }

  #emit(key, data) {
    const name = EVENT[key];
    const event = data === undefined ? { name } : { name, data };
    for (const [handler, { context, once }] of [...(this.#listeners.get(name) ?? [])]) {
      if (once) this.off(name, handler);
      try {
        handler.call(context, event);
      } catch (error) {
        console.error(`a listener for ${name} failed:`, error);
      }
    }
  }
}

export default { create, TYPES, EVENT, VERSION };
