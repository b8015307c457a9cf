// A second person, over plain HTTP; and patience.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

/** Asks until the answer is truthy, or throws after `patience` milliseconds. */
export async function until(what, patience, ask) {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${patience} ms for ${what}`);
    await sleep(100);
  }
}

/** The newest code that was mailed to `address`. */
export async function codeFor(inbox, address) {
  return until(`a code for ${address}`, 15_000, async () => {
    const { messages } = await (await fetch(`${inbox}/mail?to=${address}`)).json();
    return messages[0] && /\b\d{6}\b/.exec(messages[0].text)?.[0];
  });
}

async function send(base, path, { method = "POST", body, token, headers } = {}) {
  const answer = await fetch(base + path, {
    method,
    headers: {
      "Content-Type": "application/json",
      "Idempotency-Key": randomUUID(),
      ...(token && { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: method === "GET" ? undefined : JSON.stringify(body ?? {}),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
  return text ? JSON.parse(text) : {};
}

/** Signs `address` in at `base`; answers what this person can do. */
export async function phone(base, inbox, address) {
  await send(base, "/v1/auth/otp/request", { body: { identifier: address, channel: "email" } });
  const code = await codeFor(inbox, address);
  const { accessToken: token } = await send(base, "/v1/auth/otp/verify", { body: { identifier: address, code } });
  const get = (path) => send(base, path, { method: "GET", token });
  return {
    get,
    async outbid(auctionId) {
      const { minNextBid } = await get(`/v1/auctions/${auctionId}`);
      return send(base, `/v1/auctions/${auctionId}/bids`, { body: minNextBid, token, headers: { Prefer: "wait=5" } });
    },
    async submitStory(assetId, title) {
      const draft = {
        title,
        shortDescription: "Made by hand, once.",
        category: "craft",
        overview: "",
        clips: [{ assetId, label: "how it is made" }],
        minimumOffer: { amountMinor: 1500, currency: "EUR" },
        publishWhenApproved: true,
      };
      const { storyId } = await send(base, "/v1/stories", { body: draft, token });
      await send(base, `/v1/stories/${storyId}/submit`, { token });
      return storyId;
    },
  };
}
