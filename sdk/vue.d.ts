import type { ChatSDK, UserStatus } from "@presence-server/chat";
import type { MaybeRefOrGetter, ShallowRef } from "vue";

/**
 * A composable that returns a read-only reference to what is known of a user now. It watches the user until its component
 * or effect scope ends, and another user when userID, which may be a reference or a getter, changes. Its value is
 * undefined before anything is known, after a logout, and if userID is empty.
 */
export declare function useUserStatus(
  chat: ChatSDK,
  userID: MaybeRefOrGetter<string | null | undefined>,
): Readonly<ShallowRef<Readonly<UserStatus> | undefined>>;
