import sdk, { ChatSDK } from "@presence-server/chat";

declare global {
  const TencentCloudChat: typeof sdk;
  const chat: ChatSDK;
  const myUserID: string;
}
