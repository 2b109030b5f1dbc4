// A client in a page: page.html?name=NAME&url=URL&token=TOKEN posts what it receives to the server of the page.

import { follow } from "./follow.js";

const { name, url, token } = Object.fromEntries(new URLSearchParams(location.search));
const headers = { Authorization: `Bearer ${token}` };

let posted = Promise.resolve();
function report(received) {
  posted = posted.then(() => fetch("report", { method: "POST", body: JSON.stringify(received) }));
}

const open = {
  EventSource() {
    follow(new EventSource(`${url}&access_token=${token}`), report);
  },
  async "event-source-polyfill"() {
    await import("./node_modules/event-source-polyfill/src/eventsource.js");
    follow(new EventSourcePolyfill(url, { headers }), report);
  },
  async "fetch-event-source"() {
    const { fetchEventSource } = await import("./node_modules/@microsoft/fetch-event-source/lib/esm/index.js");
    await fetchEventSource(url, {
      headers,
      openWhenHidden: true,
      onmessage: ({ event, data, id }) => report({ event, data, id }),
      onerror: (error) => report({ failed: String(error) }),
    });
    report({ ended: "resolved" });
  },
};

try {
  await open[name]();
} catch (error) {
  report({ ended: String(error) });
}
