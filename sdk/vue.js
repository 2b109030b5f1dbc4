// The composable for Vue. It renders nothing.

import { shallowReadonly, shallowRef, toValue, watchEffect } from "vue";

export function useUserStatus(chat, userID) {
  const status = shallowRef();
  watchEffect((onCleanup) => {
    const watched = toValue(userID);
    const update = () => (status.value = watched ? chat.status(watched) : undefined);
    update();
    if (!watched) return;
    const unwatch = chat.watch([watched], update);
    chat.on("sdkStateNotReady", update);
    onCleanup(() => {
      chat.off("sdkStateNotReady", update);
      unwatch();
    });
  });
  return shallowReadonly(status);
}
