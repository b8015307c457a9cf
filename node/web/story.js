// One story: its video, its words, and its auction as it happens.

import { get, signIn } from "./api.js";
import { fill, formatMoney, h } from "./dom.js";
import { auctionPanel, offerPanel } from "./auction.js";
import { keepInside, wholeScreen } from "./mark.js";
import { play } from "./player.js";

function codecChoice(video, asset, playing) {
  const choose = async (event) => {
    const at = video.currentTime;
    playing.stop();
    Object.assign(playing, await play(video, asset, event.target.value));
    video.currentTime = at;
    await video.play().catch(() => null);
  };
  const options = [["", "best for this device"], ["avc", "H.264"]];
  if (playing.answer.av1Url) options.push(["av1", "AV1"]);
  return h(
    "p.codec",
    h("label", { for: "codec" }, "Video format"),
    h("select", { id: "codec", onChange: choose }, options.map(([value, label]) => h("option", { value }, label))),
    document.fullscreenEnabled && h("button", { type: "button", onClick: () => wholeScreen(video)?.catch(() => null) }, "Full screen"),
  );
}

/** Shows a story in `place`; returns what ends it. */
export async function showStory(place, id) {
  const story = await get(`/v1/stories/${encodeURIComponent(id)}`);
  document.title = `${story.title} · Fairground`;
  const video = h("video", { controls: true, playsinline: true, muted: true, preload: "metadata", "aria-label": `Video: ${story.title}` });
  video.muted = true;
  keepInside(video);
  const side = h("aside.auction.panel", { "aria-label": "Auction" });
  const below = h("div");
  fill(
    place,
    h(
      "article.story",
      h("div.stage", h("div.screen", video), below, h("h1", story.title), h("p.quiet", `by ${story.maker.handle ?? "a maker"} · ${story.category}`), h("p", story.overview || story.shortDescription)),
      side,
    ),
  );
  const asset = story.clips[0]?.assetId;
  const endings = [];
  if (asset) {
    try {
      const playing = await play(video, asset);
      endings.push(() => playing.stop());
      fill(below, codecChoice(video, asset, playing));
    } catch (problem) {
      fill(below, h("p.message", `The video cannot be played: ${problem.message}`));
    }
  }
  const showAuction = (auctionId) => endings.push(auctionPanel(side, auctionId));
  if (story.auction && story.state !== "sold") showAuction(story.auction.auctionId);
  else if (story.state === "listed") offerPanel(side, story, showAuction);
  else fill(side, h("h2", "Sold"), h("p", story.auction?.highest ? `for ${formatMoney(story.auction.highest)}` : ""), signIn() && h("p", h("a", { href: "#/purchases" }, "Your purchases")));
  return () => endings.forEach((end) => end());
}
