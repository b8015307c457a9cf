// Sign-in, offer, bid, pay: the path of a buyer, through the client that was generated from the edge's
// document. What is written here compiles only while the document says so.

import createClient from "openapi-fetch";
import type { components, paths } from "./edge.js";

type Schemas = components["schemas"];
/** A device with a key of its own. */
export interface Device {
  algorithm: Schemas["KeyAlgorithm"];
  publicKey: string;
  /** Signs a bid in an auction. */
  signBid: (bid: {
    keyId: string;
    clusterId: string;
    userId: string;
    target: string;
    key: string;
    amountMinor: number;
    currency: string;
    validUntil: string;
  }) => Promise<{ keyId: string; value: string }>;
}

type Step = (name: string, step: () => Promise<void>) => Promise<void>;

export interface Market {
  edge: string;
  /** The six digits that were mailed to an address after an instant. */
  codeFor: (address: string, notBefore: number) => Promise<string>;
  /** Pays on the provider's page, as a browser would. */
  payAt: (url: string) => Promise<void>;
  /** Makes a device. */
  device: () => Promise<Device>;
  until: <T>(what: string, look: () => Promise<T | null>) => Promise<T>;
}

const key = () => crypto.randomUUID();

class Person {
  readonly api;
  private token = "";

  constructor(private readonly market: Market, private readonly address: string) {
    this.api = createClient<paths>({ baseUrl: market.edge });
    this.api.use({
      onRequest: ({ request }) => {
        if (this.token) request.headers.set("Authorization", `Bearer ${this.token}`);
        return request;
      },
    });
  }

  async signIn(): Promise<Schemas["Tokens"]> {
    const asked = Date.now();
    const sent = await this.api.POST("/v1/auth/otp/request", { body: { identifier: this.address, channel: "email" } });
    must(sent);
    const code = await this.market.codeFor(this.address, asked);
    const tokens = must(await this.api.POST("/v1/auth/otp/verify", { body: { identifier: this.address, code } }));
    this.token = tokens.accessToken;
    return tokens;
  }
}

/** The answer, or an error that names the code of the problem. */
function must<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data !== undefined && answer.response.ok) return answer.data;
  const problem = answer.error as Schemas["Problem"] | undefined;
  throw new Error(`${answer.response.status} ${problem?.code ?? ""} ${problem?.detail ?? ""}`);
}

function same(seen: unknown, wanted: unknown, what: string): void {
  if (seen !== wanted) throw new Error(`${what}: ${String(seen)}, not ${String(wanted)}`);
}

export async function walk(market: Market, step: Step): Promise<void> {
  const first = new Person(market, "buyer-11@client.example");
  const winner = new Person(market, "buyer-12@client.example");
  let story: Schemas["StoryId"] = "";
  let auction: Schemas["AuctionId"] = "";
  let minimum: Schemas["Money"] = { amountMinor: 0, currency: "EUR" };
  let lock: Schemas["SaleLockId"] = "";
  let order: Schemas["OrderId"] = "";

  await step("generated client: two people sign in by mailed codes", async () => {
    const tokens = await first.signIn();
    same(tokens.created, true, "a new account");
    await winner.signIn();
    const me = must(await winner.api.GET("/v1/users/me"));
    if (!me.userId.startsWith("usr_")) throw new Error(`an odd id: ${me.userId}`);
  });

  await step("generated client: an offer opens an auction and the same key opens no other", async () => {
    const feed = must(await first.api.GET("/v1/feed"));
    for (const item of feed.items) {
      const page = must(await first.api.GET("/v1/stories/{story}", { params: { path: { story: item.storyId } } }));
      if (page.state === "listed") {
        story = page.storyId;
        minimum = page.minimumOffer;
      }
    }
    if (!story) throw new Error("no listed story in the feed");
    const request = {
      params: { path: { story }, header: { "Idempotency-Key": key(), Prefer: "wait=10" } },
      body: { amountMinor: minimum.amountMinor, currency: minimum.currency },
    };
    const offered = must(await first.api.POST("/v1/stories/{story}/offers", request));
    const again = must(await first.api.POST("/v1/stories/{story}/offers", request));
    same(again.bidId, offered.bidId, "the bid of the repeated offer");
    auction = await market.until("the auction", async () => {
      const page = must(await first.api.GET("/v1/stories/{story}", { params: { path: { story } } }));
      return page.auction?.auctionId ?? null;
    });
  });

  await step("generated client: a device registers its key, and an account that has one signs its bids", async () => {
    const signer = new Person(market, "buyer-14@client.example");
    const { user } = await signer.signIn();
    const header = () => ({ "Idempotency-Key": key() });
    const named = must(
      await signer.api.POST("/v1/devices/register", {
        params: { header: header() },
        body: { installationId: key(), platform: "web" },
      }),
    );
    const device = await market.device();
    const { keyId, clusterId } = must(
      await signer.api.PUT("/v1/devices/{device}/key", {
        params: { path: { device: named.deviceId }, header: header() },
        body: { algorithm: device.algorithm, publicKey: device.publicKey },
      }),
    );
    const amountMinor = minimum.amountMinor + 500;
    const { currency } = minimum;
    const bid = (intent: string, body: Schemas["BidRequest"]) =>
      signer.api.POST("/v1/auctions/{auction}/bids", {
        params: { path: { auction }, header: { "Idempotency-Key": intent, Prefer: "wait=10" } },
        body,
      });
    const intent = key();
    const unsigned = await bid(intent, { amountMinor, currency });
    same(unsigned.error?.code, "SIGNATURE_REQUIRED", "the code of an unsigned bid");
    const validUntil = new Date(Date.now() + 60_000).toISOString();
    const signature = await device.signBid({
      keyId, clusterId, userId: user.userId, target: auction, key: intent, amountMinor, currency, validUntil,
    });
    const altered = await bid(intent, { amountMinor: amountMinor + 500, currency, validUntil, signature });
    same(altered.error?.code, "SIGNATURE_REFUSED", "the code of an altered bid");
    const placed = must(await bid(intent, { amountMinor, currency, validUntil, signature }));
    same(placed.state, "accepted", "the signed bid");
    const { devices } = must(await signer.api.GET("/v1/devices"));
    same(devices[0]?.signingKey?.keyId, keyId, "the key of the device");
  });

  await step("generated client: a bid too low is refused with the least next bid, a decimal one leads", async () => {
    const bid = (body: Schemas["BidRequest"]) =>
      winner.api.POST("/v1/auctions/{auction}/bids", {
        params: { path: { auction }, header: { "Idempotency-Key": key(), Prefer: "wait=10" } },
        body,
      });
    const low = await bid({ amountMinor: minimum.amountMinor, currency: minimum.currency });
    same(low.error?.code, "BID_TOO_LOW", "the code of a bid too low");
    const next = low.error?.minNextBid?.amountMinor ?? 0;
    const amount = `${Math.floor((next + 500) / 100)}.00`;
    const placed = must(await bid({ amount, currency: minimum.currency }));
    same(placed.state, "accepted", "the bid");
    const both = await bid({ amount, amountMinor: next, currency: minimum.currency });
    same(both.error?.code, "VALIDATION_FAILED", "the code of an amount given twice");
    const shown = must(await winner.api.GET("/v1/bids/{bid}", { params: { path: { bid: placed.bidId } } }));
    same(shown.state, "accepted", "the bid as its bidder sees it");
    const page = must(
      await winner.api.GET("/v1/auctions/{auction}/bids", { params: { path: { auction }, query: { limit: 1 } } }),
    );
    same(page.bids.length, 1, "bids of a page of one");
    const cursor = page.nextCursor ?? undefined;
    const rest = must(
      await winner.api.GET("/v1/auctions/{auction}/bids", { params: { path: { auction }, query: { limit: 1, cursor } } }),
    );
    if (rest.bids[0]?.bidId === page.bids[0]?.bidId) throw new Error("the second page repeats the first");
  });

  await step("generated client: the winner pays and has an order", async () => {
    lock = await market.until("the sale lock", async () => {
      const payments = must(await winner.api.GET("/v1/users/me/payments"));
      return payments.locks.find((row) => row.auctionId === auction)?.saleLockId ?? null;
    });
    const checkout = must(
      await winner.api.POST("/v1/sale-locks/{lock}/checkout", {
        params: { path: { lock }, header: { "Idempotency-Key": key() } },
        body: {},
      }),
    );
    const url = checkout.url ?? (await market.until("the checkout page", async () => {
      const payments = must(await winner.api.GET("/v1/users/me/payments"));
      return payments.locks.find((row) => row.saleLockId === lock)?.checkoutUrl ?? null;
    }));
    await market.payAt(url);
    const row = await market.until("the order", async () => {
      const orders = must(await winner.api.GET("/v1/orders"));
      return orders.orders.find((row) => row.auctionId === auction) ?? null;
    });
    same(row.role, "buyer", "the side of the order");
    order = row.orderId;
  });

  await step("generated client: the buyer says where it goes, writes to the maker and has a receipt", async () => {
    const path = { order };
    const header = () => ({ "Idempotency-Key": key() });
    const address = { name: "buyer-12", line1: "1 Market Lane", city: "Oldtown", country: "DE" };
    must(
      await winner.api.PUT("/v1/orders/{order}/shipping-address", {
        params: { path, header: header() },
        body: address,
      }),
    );
    const shown = must(await winner.api.GET("/v1/orders/{order}", { params: { path } }));
    same(shown.address?.city, address.city, "the town that the parcel goes to");
    must(
      await winner.api.POST("/v1/orders/{order}/messages", {
        params: { path, header: header() },
        body: { text: "Please ring twice." },
      }),
    );
    const thread = must(await winner.api.GET("/v1/orders/{order}/messages", { params: { path } }));
    same(thread.messages[0]?.text, "Please ring twice.", "the first message");
    const eligible = must(await winner.api.GET("/v1/orders/{order}/issue-eligibility", { params: { path } }));
    same(eligible.eligible, false, "a complaint before anything was shipped");
    const receipt = must(
      await winner.api.GET("/v1/payments/{payment}/receipt", { params: { path: { payment: lock } } }),
    );
    same(receipt.receipt.orderId, order, "the order of the receipt");
    const strange = await first.api.GET("/v1/payments/{payment}/receipt", { params: { path: { payment: lock } } });
    same(strange.error?.code, "NOT_FOUND", "somebody else's receipt");
  });
}
