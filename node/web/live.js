// The live stream of an auction: server-sent events, resumed by log index on whichever edge serves us.

import { at, check, currentEdge, lost, onMove } from "./edges.js";

const againMs = 500;
const againMaxMs = 15_000;
// A stream that lasted is lost by accident, one that did not is refused.
const lastedMs = 5_000;
// Heartbeats of the stream are comments, which a page cannot see.
const quietMs = 30_000;

/** Follows an auction; returns what ends it. */
export function follow(auctionId, { snapshot, update }) {
  let source = null;
  let timer = null;
  let last = null;
  let failures = 0;
  let openedAt = 0;
  let heardAt = Date.now();

  const heard = (event) => {
    last = event.lastEventId || last;
    failures = 0;
    heardAt = Date.now();
  };
  const openSoon = (ms) => {
    source?.close();
    clearTimeout(timer);
    timer = setTimeout(open, ms * (0.5 + Math.random()));
  };
  const open = () => {
    const edge = currentEdge();
    const from = last ? `?lastEventId=${encodeURIComponent(last)}` : "";
    source = new EventSource(at(`/v1/auctions/${auctionId}/updates${from}`));
    openedAt = 0;
    source.addEventListener("open", () => {
      openedAt = Date.now();
    });
    source.addEventListener("snapshot", (event) => {
      heard(event);
      snapshot(JSON.parse(event.data));
    });
    source.addEventListener("update", (event) => {
      heard(event);
      const message = JSON.parse(event.data);
      if (message.events.length) update(message);
    });
    // A browser would come back by itself to the same edge only, and not at all from an error's status.
    source.addEventListener("error", () => {
      failures = openedAt && Date.now() - openedAt > lastedMs ? 1 : failures + 1;
      // One lost connection is no lost edge: a stream that lags is ended as well.
      if (failures > 1) lost(edge);
      openSoon(Math.min(againMs * 2 ** (failures - 1), againMaxMs));
    });
  };
  const stopMoving = onMove(() => openSoon(againMs));
  const watch = setInterval(() => {
    if (Date.now() - heardAt < quietMs) return;
    heardAt = Date.now();
    check();
  }, quietMs / 3);
  open();
  return () => {
    stopMoving();
    clearInterval(watch);
    clearTimeout(timer);
    source.close();
  };
}
