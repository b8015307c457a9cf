// The stories of the market.

import { get } from "./api.js";
import { fill, formatMoney, formatSpan, h } from "./dom.js";
import { posterOf } from "./player.js";
import { millisecondsUntil } from "./time.js";

function standing(story) {
  const auction = story.auction;
  if (story.state === "sold") return h("span.tag", "sold");
  if (!auction || auction.status !== "open") return h("span.tag", `offers from ${formatMoney(story.minimumOffer)}`);
  return [
    h("span.tag.live", "live"),
    h("strong", auction.highest ? formatMoney(auction.highest) : "no bid"),
    h("span.quiet", { "data-closes-at": auction.closesAt }, ` ${formatSpan(millisecondsUntil(auction.closesAt))} left`),
  ];
}

/** The feed says nothing about prices and auctions: each card asks its story. */
function standingOf(storyId) {
  const place = h("p.standing");
  get(`/v1/stories/${encodeURIComponent(storyId)}`).then((story) => fill(place, standing(story)), () => null);
  return place;
}

function card(item) {
  const image = h("img", { alt: "", width: 640, height: 360, loading: "lazy" });
  posterOf(item.primaryAssetId).then((url) => url && image.setAttribute("src", url));
  return h(
    "li.card.panel",
    h(
      "a",
      { href: `#/story/${item.storyId}` },
      image,
      h("h2", item.title),
      h("p.quiet", `${item.maker.handle ?? "a maker"} · ${item.shortDescription}`),
    ),
    standingOf(item.storyId),
  );
}

/** Shows the feed in `place`; returns what ends it. */
export async function showFeed(place) {
  document.title = "Fairground";
  const { items } = await get("/v1/feed");
  const list = items.length ? h("ul.cards", items.map(card)) : h("p.quiet", "No story is listed yet.");
  fill(place, h("h1", "One of a kind, from the hand that made it"), list);
  const timer = setInterval(() => {
    for (const span of place.querySelectorAll("[data-closes-at]")) {
      fill(span, ` ${formatSpan(millisecondsUntil(span.dataset.closesAt))} left`);
    }
  }, 1000);
  return () => clearInterval(timer);
}
