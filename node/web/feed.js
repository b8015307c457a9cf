// The stories of the market, newest first.

import { get } from "./api.js";
import { fill, formatMoney, formatSpan, h } from "./dom.js";
import { posterOf } from "./player.js";
import { millisecondsUntil } from "./time.js";

function standing(item) {
  const auction = item.auction;
  if (item.state === "sold") return h("span.tag", "sold");
  if (!auction || auction.status !== "open") return h("span.tag", `offers from ${formatMoney(item.minimumOffer)}`);
  return [
    h("span.tag.live", "live"),
    h("strong", formatMoney(auction.highest)),
    h("span.quiet", { "data-closes-at": auction.closesAt }, ` ${formatSpan(millisecondsUntil(auction.closesAt))} left`),
  ];
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
    h("p.standing", standing(item)),
  );
}

/** Shows the feed in `main`; returns what ends it. */
export async function showFeed(main) {
  document.title = "Fairground";
  const { items } = await get("/v1/feed");
  const list = items.length ? h("ul.cards", items.map(card)) : h("p.quiet", "No story is listed yet.");
  fill(main, h("h1", "One of a kind, from the hand that made it"), list);
  const timer = setInterval(() => {
    for (const span of main.querySelectorAll("[data-closes-at]")) {
      fill(span, ` ${formatSpan(millisecondsUntil(span.dataset.closesAt))} left`);
    }
  }, 1000);
  return () => clearInterval(timer);
}
