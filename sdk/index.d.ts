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
  /** A call without a login (its code), or an event of the stream that can't be parsed and is skipped (70402). */
  error: { code: number; message: string };
}

export interface ChatSDK {
  /**
   * Connects, as a device of userID. userSig is a UserSig or a JWT. With create({cookies: true}) it is not needed and is
   * ignored, and userID must be the user whom the cookies identify; otherwise the error is 70013. SDK_READY follows the promise. A login waits for a
   * logout of the same page that is in progress, and tries again for up to 15 seconds while the server can't be reached.
   * Call it again before the userSig expires: the new one then serves all tabs of the user.
   */
  login(options: { userID: string; userSig?: string | undefined }): Promise<Response<LoginData>>;
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

  /** Sets your custom status; "" clears it. With expiresIn (seconds) it is cleared after that time. */
  setSelfStatus(options: { customStatus: string; expiresIn?: number }): Promise<Response<UserStatus>>;
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
