// A client for Node: node node.js NAME URL TOKEN prints what it receives, as lines of JSON.

import { follow } from "./follow.js";

const [name, url, token] = process.argv.slice(2);
const Authorization = `Bearer ${token}`;

const open = {
  async eventsource2() {
    const { default: EventSource } = await import("eventsource2");
    return new EventSource(url, { headers: { Authorization } });
  },
  async eventsource4() {
    const { EventSource } = await import("eventsource4");
    return new EventSource(url, {
      fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization } }),
    });
  },
  async undici() {
    const { EventSource } = await import("undici");
    return new EventSource(`${url}&access_token=${token}`); // it can't send headers of the caller
  },
};

setInterval(() => {}, 60_000); // undici's timer doesn't keep the process alive
follow(await open[name](), (received) => console.log(JSON.stringify(received)));
