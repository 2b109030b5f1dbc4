// What the clients in Node and in pages have in common.

const events = ["READY", "USER_STATUS_UPDATED", "KICKED_OUT"];

/** Reports what an EventSource, or an object with the same methods, receives. */
export function follow(source, report) {
  for (const event of events) {
    source.addEventListener(event, ({ data, lastEventId }) => report({ event, data, id: lastEventId }));
  }
  source.addEventListener("error", async () => {
    await null; // eventsource 2 reports an error before it closes
    const closed = 2;
    report(source.readyState === closed ? { ended: "closed" } : { failed: "connecting again" });
  });
}
