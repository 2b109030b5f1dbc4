/** The kind of a device. `web` also stands for mini-programs and hybrid shells. */
export type Platform = "web" | "android" | "ios" | "ipad" | "windows" | "mac" | "linux";

export interface CreateOptions {
  /** One instance is kept per SDKAppID: create() again returns the same one. With UserSigs it is the SDKAppID inside them. */
  SDKAppID: number;
  /** Where the presence server is, e.g. "https://presence.example.com". Default: the origin of the page. Required in Node. */
  serverURL?: string;
  /** Seconds without a stream after which everybody is reported as UNKNOWN. Zero means never. Default 60. */
  staleAfter?: number;
  /** Default "web". */
  platform?: Platform;
  /** The ID of this device. Default: a random one, which tabs that share a stream keep for their origin. */
  deviceID?: string;
  /**
   * True makes the SDK send the cookies of the page instead of a userSig, to a server that identifies users by them.
   * Default false.
   */
  cookies?: boolean;
  /**
   * Seconds without a pointer, wheel or key event in any tab of the browser after which the device is reported as idle;
   * the user is away while all of their devices are. It may be reported up to a tenth earlier. Zero, the default, means
   * never. It has no effect in Node.
   */
  idleAfter?: number;
  /** An option of the original that is ignored here, like the next three. */
  proxyServer?: unknown;
  fileUploadProxy?: unknown;
  fileDownloadProxy?: unknown;
  scene?: unknown;
}

export interface UserStatus {
  userID: string;
  /** One of TYPES.USER_STATUS_*: 0 unknown, 1 online, 2 offline, 3 not logged in. */
  statusType: number;
  /** "" when there is none. */
  customStatus: string;
  /** Grows with every change: of two statuses of one user the higher version is the newer. */
  version: number;
  /** When the custom status is cleared (RFC 3339). Absent if it doesn't expire. */
  expiresAt?: string;
  /** One of TYPES.AVAILABILITY_*. Absent if the user is available. */
  availability?: Availability;
  /** When a user who is not online was last online, to the minute (RFC 3339). Absent unless the server keeps it. */
  lastSeenAt?: string;
  /** True while you are invisible. Only in your own status. */
  invisible?: true;
}

export type Availability = "away" | "busy" | "dnd";

/** An entry of your status. The server shows the text with the highest priority and the strongest availability. */
export interface StatusEntry {
  /** At most 256 bytes of UTF-8, unless the server has another limit. Needed if there is neither source nor availability. */
  customStatus?: string;
  availability?: Availability;
  /** Who says it: 1 to 64 of a-z 0-9 . _ -. Default: yourself. An entry of a source must expire. */
  source?: string;
  /** -100 to 100. Default 0, or 10 with a source. */
  priority?: number;
  /** Seconds, 1 to 31536000. Not together with expiresAt. */
  expiresIn?: number;
  /** RFC 3339, in the future, at most a year ahead. */
  expiresAt?: string;
  /** RFC 3339, at most a year ahead. Until then the entry is not shown. expiresIn counts from it. */
  startsAt?: string;
}

export interface FailedUser {
  userID: string;
  code: number;
  message: string;
}

export interface Response<Data> {
  code: 0;
  data: Data;
}

/** Every promise of the SDK is rejected with one of these. */
export interface ChatError extends Error {
  /**
   * The server's code, or the SDK's own: 2002 no userID, 2003 no userSig, 2024 not logged in, 2025 logged in already,
   * 2800 network error, or an answer that isn't a presence server's, 2801 timeout, 2905 unknown API, 2996 too many calls,
   * 3000 logging in, 3001 login failed, 3002 kicked by another device, 3004 userSig expired, 3005 logged out,
   * 3006 kicked by the server, 60022 the server is starting, stopping or overloaded, 70013 the userSig is, or
   * the cookies are, another user's,
   * 70206 no IDs, 70402 malformed.
   */
  code: number;
  data: any;
}

export interface LoginData {
  actionStatus: "OK";
  errorCode: 0;
  errorInfo: string;
  /** Shared by all tabs of a browser. Absent when repeatLogin. */
  deviceID?: string;
  /** Your own status. Absent when repeatLogin. */
  self?: UserStatus;
  /** True if you were logged in already: the userSig now replaces the one before. */
  repeatLogin?: true;
}

export interface ChatEvent<Data> {
  name: string;
  data: Data;
}

/** The data of each event. */
export interface EventData {
  sdkStateReady: undefined;
  sdkStateNotReady: undefined;
  sdkDestroy: { SDKAppID: number };
  onUserStatusUpdated: UserStatus[];
  kickedOut: { type: "multipleAccount" | "multipleDevice" | "userSigExpired" | "REST_API_Kick" | "logout" };
  netStateChange: { state: "connected" | "connecting" | "disconnected" };
  /**
   * A call without a login (its code); an event of the stream that can't be parsed and is skipped (70402); a function
   * userSig that failed (2003); a user, named by userID, who can't be watched (70107, 70402) or whose subscription was
   * dropped to make room (70398); or a failed call of watch, which is tried again (its code).
   */
  error: { code: number; message: string; userID?: string };
}

export interface ChatSDK {
  /**
   * Connects, as a device of userID. userSig is a UserSig or a JWT. With create({cookies: true}) it is not needed and is
   * ignored, and userID must be the user whom the cookies identify; otherwise the error is 70013. SDK_READY follows the promise. A login waits for a
   * logout of the same page that is in progress, and tries again for up to 15 seconds while the server can't be reached.
   * Call it again before the userSig expires: the new one then serves all tabs of the user. Or let userSig be a function
   * that returns one. It is called now, once 80 % of the time to the `exp` of a JWT have passed, and after the server has
   * answered 70001; one tab calls it for all. If it fails now, the error is 2003. Later, a failure is an ERROR event, once,
   * and the function is called again after 15 seconds.
   */
  login(options: {
    userID: string;
    userSig?: string | (() => string | Promise<string>) | undefined;
  }): Promise<Response<LoginData>>;
  /**
   * Logs out this device, and so all tabs of the user that share its stream: the others get KICKED_OUT "logout".
   * Resolves to {code: 0, data: {}}. The type is any, because the original declares Promise<void>, and so do the pages
   * written for it.
   */
  logout(): Promise<any>;
  /**
   * Ends this instance: emits SDK_DESTROY and drops all listeners. create() returns a new instance from now on. Logs out
   * if no other tab of the user is left. Resolves as logout does.
   */
  destroy(): Promise<any>;

  /** Listeners survive logout, but not destroy. The same handler is added only once. `context` is its `this`. */
  on<Name extends keyof EventData>(name: Name, handler: (event: ChatEvent<EventData[Name]>) => void, context?: any): void;
  on(name: string, handler: Function, context?: any): void;
  once<Name extends keyof EventData>(name: Name, handler: (event: ChatEvent<EventData[Name]>) => void, context?: any): void;
  once(name: string, handler: Function, context?: any): void;
  off(name: string, handler: Function, context?: any): void;

  /** True from SDK_READY to SDK_NOT_READY, also while the connection is being restored. */
  isReady(): boolean;
  /** "" when nobody is logged in. */
  getLoginUser(): string;
  getServerTime(): number;

  /**
   * Sets an entry of your status, and replaces the entry of the same source. Without a text and an availability it
   * withdraws that entry: {customStatus: ""} clears your own one. With expiresIn it ends after that time.
   */
  setSelfStatus(options: StatusEntry): Promise<Response<UserStatus>>;
  /** Makes you look logged out to everybody else, or ends this. It stays so after a logout. */
  setVisibility(options: { invisible: boolean }): Promise<Response<{}>>;
  /**
   * Reports that nobody uses this device, or that somebody does again. All tabs are one device. With idleAfter, the next
   * use of a tab ends it. It is rejected with 70402 while the device is not connected: without a network, and for a moment
   * after the tab that held the stream was closed, in which the state remains "connected".
   */
  setIdle(idle: boolean): Promise<Response<{}>>;
  /**
   * Calls the listener with the current status of each user, and then with every change. Watches may begin before the
   * login, and outlive it. The SDK subscribes to a user while a component of any tab watches them, and unsubscribes after
   * the last one. Returns a function that ends this watch. Throws 70402 if an argument is malformed. A listener never
   * runs before watch has returned.
   */
  watch(userIDList: string[], listener: (status: Readonly<UserStatus>) => void): () => void;
  /**
   * What is known of a user now: the same frozen object until it changes. Undefined before anything is known, when nobody
   * is logged in, and after the last watch of the user has ended.
   */
  status(userID: string): Readonly<UserStatus> | undefined;
  /** Returns the statuses of any number of users. More than 500 take several calls. */
  getUserStatus(options: {
    userIDList: string[];
  }): Promise<Response<{ successUserList: UserStatus[]; failureUserList: FailedUser[] }>>;
  /**
   * From now on USER_STATUS_UPDATED reports these users. successUserList contains their current statuses. More than 100
   * take several calls. evictedUserList contains the users whose earlier subscriptions were dropped to make room.
   */
  subscribeUserStatus(options: {
    userIDList: string[];
  }): Promise<Response<{ successUserList: UserStatus[]; failureUserList: FailedUser[]; evictedUserList: string[] }>>;
  /**
   * No list, or an empty one, means all. A user whom another tab has subscribed to remains subscribed, and is still
   * reported in all tabs.
   */
  unsubscribeUserStatus(options?: {
    userIDList?: string[] | undefined;
  }): Promise<Response<{ failureUserList: FailedUser[] }>>;

  /** Accepts "isCommercialAbilityEnabled", which is always true. Anything else is rejected with 2905. */
  callExperimentalAPI(name: string, options?: any): Promise<any>;

  /** Does nothing; for pages written for the original. */
  setLogLevel(level: number): void;
  /** Does nothing; for pages written for the original. */
  registerPlugin(options: Object): void;
}

export declare const TYPES: {
  readonly USER_STATUS_UNKNOWN: 0;
  readonly USER_STATUS_ONLINE: 1;
  readonly USER_STATUS_OFFLINE: 2;
  readonly USER_STATUS_UNLOGINED: 3;
  readonly KICKED_OUT_MULT_ACCOUNT: "multipleAccount";
  readonly KICKED_OUT_MULT_DEVICE: "multipleDevice";
  readonly KICKED_OUT_USERSIG_EXPIRED: "userSigExpired";
  readonly KICKED_OUT_REST_API: "REST_API_Kick";
  /** Logged out in another tab, or all devices at once. The original has no such type. */
  readonly KICKED_OUT_LOGOUT: "logout";
  readonly AVAILABILITY_AWAY: "away";
  readonly AVAILABILITY_BUSY: "busy";
  readonly AVAILABILITY_DND: "dnd";
  readonly NET_STATE_CONNECTED: "connected";
  readonly NET_STATE_CONNECTING: "connecting";
  readonly NET_STATE_DISCONNECTED: "disconnected";
};

export declare const EVENT: {
  readonly SDK_READY: "sdkStateReady";
  readonly SDK_NOT_READY: "sdkStateNotReady";
  readonly SDK_DESTROY: "sdkDestroy";
  readonly USER_STATUS_UPDATED: "onUserStatusUpdated";
  readonly KICKED_OUT: "kickedOut";
  readonly NET_STATE_CHANGE: "netStateChange";
  readonly ERROR: "error";
  /** Never emitted here, like the next two. */
  readonly FRIEND_LIST_UPDATED: "onFriendListUpdated";
  readonly PROFILE_UPDATED: "onProfileUpdated";
  readonly BLACKLIST_UPDATED: "blacklistUpdated";
};

export declare const VERSION: string;

/** Returns the instance for this SDKAppID, or null (and writes to the console) if that is not a number. Never throws. */
export declare function create(options: CreateOptions): ChatSDK;

// The original's EVENT and TYPES are enums, which pages use as types too.
declare namespace TencentCloudChat {
  type EVENT = (typeof EVENT)[keyof typeof EVENT];
  type TYPES = (typeof TYPES)[keyof typeof TYPES];
}

declare const TencentCloudChat: {
  readonly create: typeof create;
  readonly TYPES: typeof TYPES;
  readonly EVENT: typeof EVENT;
  readonly VERSION: typeof VERSION;
};

export default TencentCloudChat;
