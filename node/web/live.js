// The live stream of an auction: server-sent events, resumed by the browser with Last-Event-ID.

const againMs = 3000;

/** Follows an auction; returns what ends it. */
export function follow(auctionId, { snapshot, update }) {
  let source = null;
  let timer = null;
  const open = () => {
    source = new EventSource(`/v1/auctions/${auctionId}/updates`);
    source.addEventListener("snapshot", (event) => snapshot(JSON.parse(event.data)));
    source.addEventListener("update", (event) => {
      const message = JSON.parse(event.data);
      if (message.events.length) update(message);
    });
    // A browser comes back by itself from a lost connection, but gives up on an error's status.
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, againMs);
    });
  };
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
