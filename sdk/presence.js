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
  AVAILABILITY_AWAY: "away",
  AVAILABILITY_BUSY: "busy",
  AVAILABILITY_DND: "dnd",
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
  console.error("SDKAppID must be a number");
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

// Whom the components of this tab watch. Watches outlive a login: the next one subscribes to the same users.
class Watches {
  #watches = new Set(); // of {listener, known: userID → the status that it received last}
  #session;
  #steps = Promise.resolve();

  /** session returns the session while somebody is logged in. */
  constructor(session) {
    this.#session = session;
  }

  /** Returns a function that ends the watch. */
  add(userIDList, listener) {
    const watch = { listener, known: new Map(userIDList.map((userID) => [userID])) };
    this.#watches.add(watch);
    queueMicrotask(() => [...watch.known.keys()].forEach((userID) => this.notify(this.#session()?.statuses.of(userID))));
    this.settle();
    return () => {
      this.#watches.delete(watch);
      this.settle();
    };
  }

  /** Sends a status to the listeners that don't have it yet. */
  notify(status) {
    const userID = status?.userID;
    for (const { listener, known } of this.#watches) {
      if (!known.has(userID) || known.get(userID) === status) continue;
      known.set(userID, status);
      try {
        listener(status);
      } catch (error) {
        console.error("a listener failed:", error);
      }
    }
  }

  /** Makes the subscriptions follow the watches. Components that begin together take one call. */
  settle() {
    const userIDs = () => [...new Set([...this.#watches].flatMap(({ known }) => [...known.keys()]))];
    const step = () => this.#session()?.subscriptions.watch(userIDs());
    this.#steps = this.#steps.then(step).catch((error) => this.#session()?.emit("ERROR", error));
  }
}

class Chat {
  #options;
  #listeners = [];
  #session;
  #ready = false;
  #reason = 2024; // zero means logged in
  #watches = new Watches(() => (this.#reason ? undefined : this.#session));

  constructor({ SDKAppID, serverURL = "", platform = "web", deviceID, staleAfter = 60, cookies, idleAfter }) {
    this.#options = {
      SDKAppID,
      base: `${serverURL}`.replace(/\/+$/, ""),
      platform,
      deviceID,
      cookies,
      staleAfter: staleAfter >= 0 ? staleAfter : 60,
      idleAfter: idleAfter > 0 && globalThis.document ? idleAfter : 0, // elsewhere nobody can be seen to use the device
    };
  }

  async login(options) {
    const { userID, userSig } = options ?? {};
    const { cookies } = this.#options;
    const token = cookies ? "" : userSig;
    check(userID && typeof userID === "string", 2002, "userID must be a string");
    check(cookies || (token && /string|function/.test(typeof token)), 2003, "userSig must be a string");
    if (this.#session) return this.#loginAgain(userID, token);

    const session = new Session({ ...this.#options, userID }, {
      emit: (name, data) => this.#session === session && this.#emit(name, data),
      settle: () => this.#watches.settle(),
      change: (status) => this.#session === session && this.#watches.notify(status),
      kicked: (type) => this.#session === session && this.#kicked(type),
    });
    this.#session = session;
    this.#reason = 3000;
    try {
      const { deviceID, self } = await session.login(token);
      this.#reason = 0;
      this.#watches.settle();
      setTimeout(() => this.#session === session && this.#emit("SDK_READY", undefined, (this.#ready = true)));
      return ok({ actionStatus: "OK", errorCode: 0, errorInfo: "", deviceID, self: session.statuses.note([self])[0] });
    } catch (error) {
      if (this.#session === session) this.#leave(3001).close();
      throw error;
    }
  }

  async #loginAgain(userID, token) {
    check(!this.#reason, 2025, "a login is pending");
    check(userID === this.#session.userID, 2025, "login of another user");
    await this.#session.renew(token);
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
    const { customStatus, availability, source } = options ?? {};
    check(typeof customStatus === "string" || availability || source, 70402, "customStatus must be a string");
    return ok(session.statuses.note([await session.call("setSelfStatus", options)])[0]);
  }

  async setVisibility(options) {
    return ok(await this.#current().call("setVisibility", { invisible: options?.invisible }));
  }

  async setIdle(idle) {
    const session = this.#current();
    await session.call("setIdle", { deviceID: session.deviceID, idle });
    session.use(idle ? 0 : Date.now());
    return ok({});
  }

  async getUserStatus(options) {
    const session = this.#current();
    const data = await session.callForAll("getUserStatus", 500, listOf(options));
    return ok({ ...data, successUserList: session.statuses.note(data.successUserList) });
  }

  async subscribeUserStatus(options) {
    return ok(await this.#current().subscriptions.subscribe(listOf(options)));
  }

  async unsubscribeUserStatus(options) {
    const session = this.#current();
    const userIDList = options?.userIDList ?? [];
    check(Array.isArray(userIDList), 70402, "userIDList must be an array");
    return ok(await session.subscriptions.unsubscribe(userIDList));
  }

  watch(userIDList, listener) {
    const isList = Array.isArray(userIDList) && userIDList.every((userID) => typeof userID === "string");
    check(isList && listener?.call, 70402, "userIDList must be an array");
    return this.#watches.add(userIDList, listener);
  }

  status(userID) {
    return this.#session?.statuses.of(userID);
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
        console.error("a listener failed:", error);
      }
    }
  }
}

export default { create, TYPES, EVENT, VERSION };
