import type { ChatSDK, UserStatus } from "@presence-server/chat";

/**
 * A hook that returns what is known of a user now, and renders again when it changes. It watches the user while the
 * component is mounted. Undefined before anything is known, after a logout, on a server that renders, and if userID is
 * empty.
 */
export declare function useUserStatus(chat: ChatSDK, userID: string | null | undefined): Readonly<UserStatus> | undefined;
