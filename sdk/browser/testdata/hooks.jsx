// Components for hooks_test.go, with the real React and Vue. They show "bob In a call" and the like, one line each.

import { createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { useUserStatus } from "@presence-server/chat/react";
import { useUserStatus as useVueStatus } from "@presence-server/chat/vue";
import { createApp, h, shallowRef } from "vue";

const line = (userID, status) => `${userID} ${status?.statusType ?? "-"} ${status?.customStatus ?? ""}`.trim();

function User({ userID }) {
  return createElement("p", null, line(userID, useUserStatus(window.chat, userID)));
}

const VueUser = {
  props: ["userID"],
  setup(props) {
    const status = useVueStatus(window.chat, () => props.userID);
    return () => h("p", line(props.userID, status.value));
  },
};

function mountReact(element) {
  const root = createRoot(element);
  const render = (userID, count) => {
    const users = Array.from({ length: count }, (_, key) => createElement(User, { key, userID }));
    root.render(createElement(StrictMode, null, users));
  };
  return { render, unmount: () => root.unmount() };
}

function mountVue(element) {
  const shown = shallowRef(["", 0]);
  const app = createApp(() => Array.from({ length: shown.value[1] }, (_, key) => h(VueUser, { key, userID: shown.value[0] })));
  app.mount(element);
  return { render: (...users) => (shown.value = users), unmount: () => app.unmount() };
}

window.mount = { react: mountReact, vue: mountVue };
