// The hook for React. It renders nothing.

import { useCallback, useSyncExternalStore } from "react";

export function useUserStatus(chat, userID) {
  const subscribe = useCallback((changed) => {
    if (!userID) return () => {};
    const unwatch = chat.watch([userID], changed);
    chat.on("sdkStateNotReady", changed);
    return () => {
      chat.off("sdkStateNotReady", changed);
      unwatch();
    };
  }, [chat, userID]);
  const status = () => (userID ? chat.status(userID) : undefined);
  return useSyncExternalStore(subscribe, status, () => undefined);
}
