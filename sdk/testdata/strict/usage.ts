// Code as it is written against the original's types, under "strict".
import TencentCloudChat, { ChatSDK } from "@presence-server/chat";
import { useUserStatus } from "@presence-server/chat/react";
import { useUserStatus as useVueStatus } from "@presence-server/chat/vue";

interface Shown {
  statusType: number;
  customStatus: string;
}

class Store {
  private readonly chat: ChatSDK = TencentCloudChat.create({ SDKAppID: 1400000000, serverURL: "https://presence.example" });
  private readonly shown = new Map<string, Shown>();

  async start(userID: string, userSig: string): Promise<void> {
    const handler: Function = this.onUpdated;
    this.chat.on(TencentCloudChat.EVENT.SDK_READY, handler, this);
    this.chat.on(TencentCloudChat.EVENT.USER_STATUS_UPDATED, this.onUpdated, this);
    this.chat.on(TencentCloudChat.EVENT.KICKED_OUT, (event: any) => {
      if (event.data.type === TencentCloudChat.TYPES.KICKED_OUT_REST_API) console.warn("kicked");
    });
    await this.chat.login({ userID, userSig });
    const { data }: any = await this.chat.callExperimentalAPI("isCommercialAbilityEnabled", 128);
    if (!data.enabled || !this.chat.isReady()) return;
    const name: String = this.chat.getLoginUser();
    const { data: answer }: { data: { successUserList: any[]; failureUserList: any[] } } = await this.chat.getUserStatus({
      userIDList: [name.toString()],
    });
    answer.successUserList.forEach((item: any) => this.shown.set(item.userID, item));
    await this.chat.unsubscribeUserStatus({ userIDList: undefined });
    const done: Promise<any> = this.chat.setSelfStatus({ customStatus: "" });
    const gone: Promise<unknown> = done.then(() => this.chat.logout());
    await gone;
    this.chat.off(TencentCloudChat.EVENT.USER_STATUS_UPDATED, this.onUpdated);
    this.chat.setLogLevel(0);
  }

  private onUpdated(event: { data: { userID: string; statusType: number; customStatus: string }[] }): void {
    for (const { userID, statusType, customStatus } of event.data) this.shown.set(userID, { statusType, customStatus });
  }
}

// What the original declares: logout and destroy give nothing, and its enums are types.
export async function leave(chat: ChatSDK, on: TencentCloudChat.EVENT, type: TencentCloudChat.TYPES): Promise<void> {
  const left: Promise<void> = chat.logout();
  chat.off(on, console.log);
  if (type === TencentCloudChat.TYPES.USER_STATUS_ONLINE) await left;
  return chat.destroy();
}

// And with the types spelled out.
export async function typed(chat: ChatSDK): Promise<string | undefined> {
  chat.once(TencentCloudChat.EVENT.NET_STATE_CHANGE, ({ data: { state } }) => state === "connected");
  chat.on(TencentCloudChat.EVENT.USER_STATUS_UPDATED, ({ data }) => data.map(({ version }) => version + 1));
  const { data } = await chat.setSelfStatus({ customStatus: "x", expiresIn: 60 });
  const { data: subscribed } = await chat.subscribeUserStatus({ userIDList: ["bob"] });
  const online: boolean = subscribed.successUserList[0]?.statusType === TencentCloudChat.TYPES.USER_STATUS_ONLINE;
  // @ts-expect-error a custom status is a string
  await chat.setSelfStatus({ customStatus: 5 });
  return online ? data.expiresAt : subscribed.evictedUserList[0];
}

export default Store;

export const withCookies = (userID: string) =>
  TencentCloudChat.create({ SDKAppID: 1, serverURL: "/presence", cookies: true }).login({ userID });

// What goes beyond the original.
export async function beyond(chat: ChatSDK): Promise<string | undefined> {
  await chat.login({ userID: "alice", userSig: async () => (await fetch("/token")).text() });
  const { AVAILABILITY_BUSY } = TencentCloudChat.TYPES;
  await chat.setSelfStatus({ source: "call", availability: AVAILABILITY_BUSY, priority: 5, expiresIn: 60 });
  await chat.setVisibility({ invisible: true });
  await chat.setIdle(false);
  const unwatch: () => void = chat.watch(["bob"], ({ availability, lastSeenAt }) => console.log(availability, lastSeenAt));
  unwatch();
  // @ts-expect-error a status can't be changed
  chat.watch(["bob"], (status) => (status.version = 5));
  // @ts-expect-error no such availability
  await chat.setSelfStatus({ availability: "asleep" });
  const text: string | undefined = useVueStatus(chat, () => "bob").value?.customStatus;
  return useUserStatus(chat, "bob")?.customStatus ?? text;
}

export const idle = () => TencentCloudChat.create({ SDKAppID: 1, idleAfter: 300 });
