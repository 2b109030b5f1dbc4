import { fail } from "./calls.js";
import { Session } from "./session.js";

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
  FRIEND_LIST_UPDATED: "onFriendListUpdated",
  PROFILE_UPDATED: "onProfileUpdated",
  BLACKLIST_UPDATED: "blacklistUpdated",
};

// The code of a call when nobody is logged in, by the reason. It is 2024 before the first login, 3000 while a login is
// pending, and 3001 after one that failed.
const REASONS = { multipleDevice: 3002, multipleAccount: 3003, userSigExpired: 3004, logout: 3005, REST_API_Kick: 3006 };

const instances = {}; // by SDKAppID

export function create(options) {
  const SDKAppID = parseInt(options?.SDKAppID);
  if (SDKAppID >= 0) return (instances[SDKAppID] ??= new Chat({ ...options, SDKAppID }));
  console.error("create: SDKAppID must be a number");
  return null;
}

const ok = (data) => ({ code: 0, data });

function check(isRight, code, message) {
  if (!isRight) throw fail(code, message);
}

function listOf(options) {
  const userIDList = options?.userIDList;
  check(Array.isArray(userIDList), 70402, "userIDList must be an array");
  check(userIDList.length, 70206, "userIDList is empty");
  return userIDList;
}

class Chat {
  #options;
  #listeners = [];
  #session;
  #ready = false;
  #reason = 2024; // zero means logged in

  constructor({ SDKAppID, serverURL = "", platform = "web", deviceID, staleAfter = 60, cookies }) {
    const base = `${serverURL}`.replace(/\/+$/, "");
    this.#options = { SDKAppID, base, platform, deviceID, cookies, staleAfter: staleAfter >= 0 ? staleAfter : 60 };
  }

  async login(options) {
    const { userID, userSig } = options ?? {};
    const { cookies } = this.#options;
    const token = cookies ? "" : userSig;
    check(userID && typeof userID === "string", 2002, "userID must be a string");
    check(cookies || (token && typeof token === "string"), 2003, "userSig must be a string");
    if (this.#session) return this.#loginAgain(userID, token);

    const session = new Session({
      ...this.#options,
      userID,
      emit: (name, data) => this.#session === session && this.#emit(name, data),
      kicked: (type) => this.#session === session && this.#kicked(type),
    });
    this.#session = session;
    this.#reason = 3000;
    try {
      const { deviceID, self } = await session.login(token);
      this.#reason = 0;
      setTimeout(() => this.#session === session && this.#emit("SDK_READY", undefined, (this.#ready = true)));
      return ok({ actionStatus: "OK", errorCode: 0, errorInfo: "", deviceID, self: session.statuses.note([self])[0] });
    } catch (error) {
      if (this.#session === session) this.#leave(3001).close();
      throw error;
    }
  }

  #loginAgain(userID, token) {
    check(!this.#reason, 2025, "a login is pending");
    check(userID === this.#session.userID, 2025, "login of another user");
    this.#session.renew(token);
    return ok({ actionStatus: "OK", errorCode: 0, errorInfo: "", repeatLogin: true });
  }

  async logout() {
    check(this.#session, 2024, "not logged in");
    await this.#leave(REASONS.logout).logout();
    return ok({});
  }

  async destroy() {
    const { SDKAppID } = this.#options;
    if (instances[SDKAppID] === this) delete instances[SDKAppID];
    if (this.#session) await this.#leave(REASONS.logout).destroy();
    this.#emit("SDK_DESTROY", { SDKAppID });
    this.#listeners = [];
    this.#reason = 2024;
    return ok({});
  }

  on(name, handler, context, once) {
    check(name && handler?.call, 70402, "name or handler missing");
    this.off(name, handler);
    this.#listeners.push({ name, handler, context, once });
  }

  once(name, handler, context) {
    this.on(name, handler, context, true);
  }

  off(name, handler) {
    this.#listeners = this.#listeners.filter((listener) => listener.name !== name || listener.handler !== handler);
  }

  isReady() {
    return this.#ready;
  }

  getLoginUser() {
    return this.#reason ? "" : this.#session.userID;
  }

  getServerTime() {
    return Date.now();
  }

  async setSelfStatus(options) {
    const session = this.#current();
    const { customStatus, availability, source, priority, expiresIn, expiresAt, startsAt } = options ?? {};
    check(availability || source || typeof customStatus === "string", 70402, "customStatus must be a string");
    const entry = { customStatus, availability, source, priority, expiresIn, expiresAt, startsAt };
    return ok(session.statuses.note([await session.call("setSelfStatus", entry)])[0]);
  }

  async setVisibility(options) {
    return ok(await this.#current().call("setVisibility", { invisible: options?.invisible }));
  }

  async setIdle(idle) {
    const session = this.#current();
    return ok(await session.call("setIdle", { deviceID: session.deviceID, idle }));
  }

  async getUserStatus(options) {
    const session = this.#current();
    const data = await session.callForAll("getUserStatus", 500, listOf(options));
    return ok({ ...data, successUserList: session.statuses.note(data.successUserList) });
  }

  async subscribeUserStatus(options) {
    const session = this.#current();
    const data = await session.subscriptions.subscribe(listOf(options));
    session.tabs.post({ event: "SEEN", data: data.successUserList });
    return ok({ ...data, successUserList: session.statuses.note(data.successUserList) });
  }

  async unsubscribeUserStatus(options) {
    const session = this.#current();
    const userIDList = options?.userIDList ?? [];
    check(Array.isArray(userIDList), 70402, "userIDList must be an array");
    const data = await session.subscriptions.unsubscribe(userIDList);
    const { userIDs } = session.statuses;
    session.statuses.forget(userIDList.length ? userIDList : userIDs.filter((userID) => userID !== session.userID));
    return ok(data);
  }

  async callExperimentalAPI(name) {
    check(name === "isCommercialAbilityEnabled", 2905, `unknown API ${name}`);
    return ok({ enabled: true });
  }

  setLogLevel() {}
  registerPlugin() {}

  #current() {
    if (!this.#reason) return this.#session;
    const error = fail(this.#reason, "not logged in");
    this.#emit("ERROR", { code: error.code, message: error.message });
    throw error;
  }

  #kicked(type) {
    if (this.#reason) return; // the login fails
    this.#emit("KICKED_OUT", { type });
    if (this.#session) this.#leave(REASONS[type] ?? REASONS.logout).close();
  }

  /** Returns the session, which has ended for the page, and which the caller must end. */
  #leave(reason) {
    const session = this.#session;
    const wasLoggedIn = !this.#reason;
    this.#session = undefined;
    this.#ready = false;
    this.#reason = reason;
    if (wasLoggedIn) this.#emit("SDK_NOT_READY");
    return session;
  }

  #emit(key, data) {
    const event = { name: EVENT[key] };
    if (data) event.data = data;
    for (const { name, handler, context, once } of this.#listeners) {
      if (name !== event.name) continue;
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
