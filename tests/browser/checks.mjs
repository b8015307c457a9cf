// What a person sees in the viewer and the console, as named checks in the order of a visit.

import { codeFor, phone, until } from "./phone.mjs";

const viewer = (ready) => ready.viewers[0];

async function frames(page) {
  return page.evaluate(() => {
    const video = document.querySelector("video");
    return { at: video.currentTime, decoded: video.getVideoPlaybackQuality().totalVideoFrames };
  });
}

async function playsWith(page, codec) {
  await page.selectOption("#codec", codec);
  await page.evaluate(() => {
    const video = document.querySelector("video");
    video.muted = true;
    video.loop = true;
    return video.play();
  });
  const first = await until(`${codec} to start`, 20_000, async () => {
    const seen = await frames(page);
    return seen.decoded > 0 ? seen : null;
  });
  await until(`${codec} to go on`, 20_000, async () => {
    const seen = await frames(page);
    return seen.decoded >= first.decoded + 20 && seen.at !== first.at;
  });
}

async function signIn(page, ready, address) {
  await page.click("#sign-in");
  await page.fill("#identifier", address);
  await page.click("dialog button.primary");
  await page.waitForSelector("#code");
  await page.fill("#code", await codeFor(ready.inbox, address));
  await page.click("dialog button.primary");
  await page.waitForSelector("#account-name");
}

async function fitsPhone(page, url) {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.goto(url);
  await page.waitForSelector("h1");
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  await page.setViewportSize({ width: 1280, height: 860 });
  if (width > 360) throw new Error(`the page is ${width} pixels wide on a screen of 360`);
}

const amount = async (page) => Number(await page.inputValue("#bid"));

/** `[name, check]` in order; a check gets `{ page, console, ready, screenshot, state }` and throws. */
export const checks = [
  ["the_feed_shows_the_stories", async ({ page, ready }) => {
    await page.goto(viewer(ready));
    await page.waitForSelector(".card h2");
    const titles = await page.locator(".card h2").allTextContents();
    if (titles.length < 2) throw new Error(`only ${titles.length} stories`);
  }],
  ["the_viewer_fits_a_phone", async ({ page, ready }) => {
    await fitsPhone(page, viewer(ready));
    await fitsPhone(page, `${viewer(ready)}/#/story/${ready.storyId}`);
  }],
  ["h264_plays", async ({ page, ready }) => {
    await page.goto(`${viewer(ready)}/#/story/${ready.storyId}`);
    await page.waitForSelector("#codec");
    await playsWith(page, "avc");
  }],
  ["a_person_signs_in_with_a_code", async ({ page, ready }) => {
    await signIn(page, ready, "visitor-1@shop.example");
  }],
  ["a_bid_leads", async ({ page }) => {
    await page.waitForSelector("#bid");
    await page.click(".quick button:first-child");
    await page.click("#bid-form button.primary");
    await page.waitForSelector("#standing >> text=You lead.", { timeout: 15_000 });
  }],
  ["being_outbid_shows_live", async ({ page, ready }) => {
    const rival = await phone(ready.viewers[1], ready.inbox, "rival-1@shop.example");
    await rival.outbid(ready.auctionId);
    await page.waitForSelector("#standing >> text=You were outbid.", { timeout: 5_000 });
  }],
  ["av1_plays", async ({ page, ready, screenshot }) => {
    await until("the AV1 revision", 120_000, async () => {
      const answer = await fetch(`${viewer(ready)}/v1/media/${ready.assetId}/playback`);
      return answer.ok && Boolean((await answer.json()).av1Url);
    });
    await page.reload();
    await page.waitForSelector("#codec option[value=av1]", { state: "attached" });
    await playsWith(page, "av1");
    await screenshot(page, "viewer");
  }],
  ["the_winner_pays_on_the_providers_page", async ({ page, ready }) => {
    const open = await (await fetch(`${viewer(ready)}/v1/auctions/${ready.auctionId}`)).json();
    if (open.status !== "open") throw new Error(`the auction is already ${open.status}`);
    await page.waitForSelector("#bid");
    await page.click(".quick button:last-child");
    if (!(await amount(page))) throw new Error("no amount was proposed");
    await page.click("#bid-form button.primary");
    await page.waitForSelector("#standing >> text=You won.", { timeout: 150_000 });
    await page.click("#bid-form a");
    await page.click("button.pay");
    await page.waitForURL(/\/pay\//, { timeout: 20_000 });
    await page.click("button[value=pay]");
    await page.waitForURL((url) => url.href.startsWith(viewer(ready)), { timeout: 20_000 });
    await page.waitForSelector('.order[data-state="awaitingShipment"]', { timeout: 30_000 });
  }],
  ["an_admin_approves_a_story_in_the_console", async ({ console: page, ready, screenshot }) => {
    const maker = await phone(ready.viewers[0], ready.inbox, "maker-1@market.example");
    const story = await maker.submitStory(ready.assetId, "Beech spoon, carved once");
    await page.goto(ready.console);
    await signIn(page, ready, ready.adminAddress);
    await page.waitForSelector("table");
    await screenshot(page, "console");
    await page.goto(`${ready.console}/#/stories`);
    await page.click(`[data-story="${story}"] .approve`);
    await page.waitForSelector(`[data-story="${story}"]`, { state: "detached" });
    await until("the story to be listed", 10_000, async () => (await maker.get(`/v1/stories/${story}`)).state === "listed");
    await fitsPhone(page, ready.console);
  }],
];
