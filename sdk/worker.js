// The SharedWorker that leads where pages have no Web Locks. It lives as long as one of its pages.

import { Leader } from "./leader.js";

const leaders = new Map(); // by name

/** Starts a leader, unless there is one, for a tab that introduces itself. */
function lead({ name, options, hello }) {
  if (!leaders.has(name)) {
    const channel = new BroadcastChannel(name);
    const leader = new Leader(options, (message) => channel.postMessage(message));
    channel.onmessage = ({ data }) => leader.hear(data);
    leaders.set(name, leader);
    leader.run().then(() => {
      channel.close();
      leaders.delete(name);
    });
  }
  leaders.get(name).hear(hello);
}

globalThis.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => lead(data);
};
