// The cluster's time, as seen from this page: what remains is counted from the server's clock.

import { get } from "./api.js";

let offset = 0;

/** Compares this machine's clock with the edge's; keeps the answer of the quickest of three tries. */
export async function synchronise() {
  let best = Infinity;
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const sent = Date.now();
    const { serverTime } = await get("/v1/time");
    const received = Date.now();
    if (received - sent < best) {
      best = received - sent;
      offset = new Date(serverTime).getTime() - (sent + received) / 2;
    }
  }
}

/** Now by the server's clock, in milliseconds since 1970. */
export function serverNow() {
  return Math.round(Date.now() + offset);
}

/** Milliseconds from now, by the server's clock, until `instant`. */
export function millisecondsUntil(instant) {
  return new Date(instant).getTime() - serverNow();
}
