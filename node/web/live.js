// The live stream of an auction: server-sent events, resumed by the browser with Last-Event-ID.

/** Follows an auction; returns what ends it. */
export function follow(auctionId, { snapshot, update }) {
  const source = new EventSource(`/v1/auctions/${auctionId}/updates`);
  source.addEventListener("snapshot", (event) => snapshot(JSON.parse(event.data)));
  source.addEventListener("update", (event) => {
    const message = JSON.parse(event.data);
    if (message.events.length) update(message);
  });
  return () => source.close();
}
