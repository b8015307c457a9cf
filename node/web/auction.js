// The auction beside the video: price, time left, the bid form, and what others do meanwhile.

import { call, get, newKey, Problem, signIn } from "./api.js";
import { signedBid, signedOffer } from "./device.js";
import { fill, formatMoney, formatSpan, h, parseMinor, toInput } from "./dom.js";
import { follow } from "./live.js";
import { askToSignIn } from "./signin.js";
import { millisecondsUntil } from "./time.js";

function ownBids(auctionId) {
  const key = `fairground.bids.${auctionId}.${signIn()?.user.userId ?? ""}`;
  const read = () => new Set(JSON.parse(localStorage.getItem(key) ?? "[]"));
  return {
    has: (bid) => read().has(bid),
    any: () => read().size > 0,
    add: (bid) => localStorage.setItem(key, JSON.stringify([...read().add(bid)].slice(-500))),
  };
}

async function signedIn() {
  return signIn() ?? (await askToSignIn());
}

function amountForm({ id, label, button, currency, onAmount }) {
  const input = h("input", { id, name: id, inputmode: "decimal", autocomplete: "off", required: true });
  const message = h("p.message", { role: "alert" });
  const send = h("button.primary", { type: "submit" }, button);
  const form = h("form", h("label", { for: id }, `${label} (${currency})`), input, h("p.actions", send), message);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const minor = parseMinor(input.value, currency);
    if (minor === null) return fill(message, "Please type an amount, for example 125.00.");
    if (!(await signedIn())) return undefined;
    send.disabled = true;
    try {
      fill(message, await onAmount(minor));
    } catch (problem) {
      fill(message, problem instanceof Problem ? describe(problem) : problem.message);
    } finally {
      send.disabled = false;
    }
    return undefined;
  });
  return { form, input };
}

function describe(problem) {
  if (problem.code.startsWith("SIGNATURE_")) return "This browser cannot sign for you yet. Please sign out, sign in again, and bid.";
  const least = problem.body.minNextBid;
  return least ? `${problem.message} The next bid is at least ${formatMoney(least)}.` : problem.message;
}

/** Shows the offer form of a story without an auction; `opened` gets the auction's id. */
export function offerPanel(side, story, opened) {
  const { amountMinor, currency } = story.minimumOffer;
  const key = newKey();
  const { form, input } = amountForm({
    id: "offer",
    label: "Your offer",
    button: "Make the offer",
    currency,
    onAmount: async (minor) => {
      const intent = `${key}-${minor}`;
      const { body } = await call("POST", `/v1/stories/${story.storyId}/offers`, {
        body: await signedOffer(story.storyId, intent, { amountMinor: minor, currency, bidIfOpen: true }),
        key: intent,
        headers: { Prefer: "wait=10" },
      });
      if (body.bidId && body.auctionId) ownBids(body.auctionId).add(body.bidId);
      if (body.auctionId) opened(body.auctionId);
      if (body.opensAt) return `The maker looks at your offer; unless it is declined, the auction opens ${new Date(body.opensAt).toLocaleString()}.`;
      return body.auctionId ? "" : "Received. The auction opens as soon as the cluster has judged it.";
    },
  });
  input.value = toInput(amountMinor, currency);
  fill(
    side,
    h("h2", "Make an offer"),
    h("p", `The first offer from ${formatMoney(story.minimumOffer)} opens an auction; it is the opening bid and it is binding.`),
    form,
  );
}

/** Shows a live auction in `side`; returns what ends it. */
export function auctionPanel(side, auctionId) {
  const mine = ownBids(auctionId);
  const price = h("p.price", { id: "price" });
  const least = h("p.quiet", { id: "min-next" });
  const left = h("p", { id: "time-left", role: "timer" });
  const moved = h("p.quiet", { id: "close-moved" });
  const standing = h("p.standing", { id: "standing", role: "status" });
  const history = h("ol.bids", { id: "bids", reversed: true });
  const place = h("div", { id: "bid-form" });
  let auction = null;
  let bids = [];
  let formFor = null;
  let unanswered = null;

  async function bid(minor) {
    // A bid whose answer was lost may stand: the same amount again is the same bid.
    const intent = unanswered?.minor === minor ? unanswered : { minor, key: newKey() };
    unanswered = intent;
    const { status, body } = await call("POST", `/v1/auctions/${auctionId}/bids`, {
      body: await signedBid(auctionId, intent.key, { amountMinor: minor, currency: auction.minNextBid.currency }),
      headers: { Prefer: "wait=5" },
      key: intent.key,
    }).catch((problem) => {
      if (problem instanceof Problem && problem.status < 500) unanswered = null;
      throw problem;
    });
    unanswered = null;
    mine.add(body.bidId);
    showStanding();
    return status === 202 ? "Received and safe at this edge; the verdict follows." : "";
  }

  function showForm() {
    const wanted = auction.status === "open" ? "open" : auction.status;
    if (formFor === wanted) return;
    formFor = wanted;
    if (wanted !== "open") {
      fill(place, mine.any() && h("p", h("a.button.primary", { href: "#/purchases" }, "To your purchases")));
      return;
    }
    const { form, input } = amountForm({ id: "bid", label: "Your bid", button: "Bid", currency: auction.minNextBid.currency, onAmount: bid });
    const quick = h("p.actions.quick", [0, 5, 10, 25].map((percent) => h("button", { type: "button", onClick: () => {
      const next = auction.minNextBid;
      input.value = toInput(Math.ceil((next.amountMinor * (100 + percent)) / 100), next.currency);
    } }, percent === 0 ? "minimum" : `+${percent} %`)));
    fill(place, form, quick);
  }

  function showStanding() {
    const leads = auction?.highest && mine.has(auction.highest.bidId);
    if (!mine.any()) fill(standing);
    else if (!auction?.highest) fill(standing, "Every bid was taken back by our staff.");
    else if (auction.status === "open") fill(standing, leads ? h("span.good", "You lead.") : h("span.bad", "You were outbid."));
    else fill(standing, leads ? h("span.good", "You won.") : h("span", "Somebody else won."));
  }

  function show() {
    fill(price, auction.highest ? formatMoney(auction.highest) : "No bid", h("span.quiet", ` · ${auction.bidCount} ${auction.bidCount === 1 ? "bid" : "bids"}`));
    fill(least, auction.status === "open" && auction.minNextBid ? `Next bid at least ${formatMoney(auction.minNextBid)}` : "");
    fill(history, bids.slice(0, 20).map((entry) => h("li", `${formatMoney(entry)} `, h("span.quiet", mine.has(entry.bidId) ? "you" : `bidder ${entry.bidder}`))));
    showForm();
    showStanding();
    showTime();
  }

  function showTime() {
    if (!auction) return;
    const remaining = millisecondsUntil(auction.closesAt);
    const texts = { locked: "Closed. The piece is reserved for the winner.", awaitingDecision: "The maker decides how to go on.", closed: "Closed." };
    const open = remaining > 0 ? `${formatSpan(remaining)} left` : "Closing: waiting for every edge to be heard …";
    fill(left, auction.status === "open" ? open : texts[auction.status], auction.status === "open" && auction.finalWindow ? " (no further extension)" : "");
    const reasons = { bid: "a late bid", outage: "an outage of the service", admin: "our staff" };
    const reason = reasons[auction.lastExtension?.by];
    fill(moved, auction.status === "open" && reason ? `The close was moved by ${reason}.` : "");
  }

  async function reload() {
    [auction, { bids }] = await Promise.all([get(`/v1/auctions/${auctionId}`), get(`/v1/auctions/${auctionId}/bids`)]);
    show();
  }

  fill(side, h("h2", "Live auction"), price, least, left, moved, standing, place, h("h3", "Bids"), history);
  const stopLive = follow(auctionId, {
    snapshot: () => reload().catch(() => null),
    update: async () => {
      await reload().catch(() => null);
      price.classList.remove("flash");
      requestAnimationFrame(() => price.classList.add("flash"));
    },
  });
  const timer = setInterval(showTime, 250);
  return () => {
    clearInterval(timer);
    stopLive();
  };
}
