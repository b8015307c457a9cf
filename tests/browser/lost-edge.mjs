// A second demo whose edge is drained and then killed under a playing viewer: the video goes on from the
// other edge without a stall, and so does the live stream.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDemo } from "./demo.mjs";
import { assert, until } from "./runner.mjs";

const CLIP_SECONDS = 120;
// An edge that may go is called this in the demo.
const GOING = "edge-south";
const BUFFER_SECONDS = 6;
// Out of the bot's reach, and what may come unsigned.
const BID_MINOR = 30_000;
const BIDDER = "buyer-9@browser.example";

/** A clip that is not over before the test is; small, for only its length counts. Null without ffmpeg. */
function makeClip(folder) {
  const file = join(folder, "long.mp4");
  const input = ["-f", "lavfi", "-i", `testsrc2=size=320x180:rate=15:duration=${CLIP_SECONDS}`];
  const sound = ["-f", "lavfi", "-i", `sine=frequency=330:duration=${CLIP_SECONDS}`];
  const coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"];
  const made = spawnSync("ffmpeg", ["-v", "error", "-y", ...input, ...sound, ...coding, file]);
  return made.status === 0 ? file : null;
}

/** Runs in the page before its scripts: the player holds so much and no more, however small the clip. */
function holdLittle(seconds) {
  return `{
    let held;
    const limits = { maxBufferLength: ${seconds}, maxMaxBufferLength: ${seconds} };
    Object.defineProperty(globalThis, "Hls", {
      configurable: true,
      get: () => held,
      set: (Hls) => { held = class extends Hls { constructor(config) { super({ ...config, ...limits }); } }; },
    });
  }`;
}

/** Starts the video and counts from its first picture on how often it has to wait. */
const countStalls = (page) =>
  page.evaluate(() => {
    const video = document.querySelector("video");
    let isPlaying = false;
    globalThis.stalls = [];
    video.addEventListener("playing", () => { isPlaying = true; });
    video.addEventListener("waiting", () => { if (isPlaying) globalThis.stalls.push(video.currentTime); });
    return video.play();
  });

const watch = (page) =>
  page.evaluate(() => {
    const video = document.querySelector("video");
    const { buffered } = video;
    return {
      at: video.currentTime,
      heldTo: buffered.length ? buffered.end(buffered.length - 1) : 0,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      stalls: globalThis.stalls,
      error: video.error?.message ?? null,
    };
  });

const isSegmentOf = (edge) => (url) => url.endsWith(".m4s") && url.startsWith(edge);

async function openPlaying({ browser, demo, openPage }) {
  const page = await openPage(browser, `${demo.viewers[1]}/#/story/${demo.storyId}`, undefined, holdLittle(BUFFER_SECONDS));
  const fetched = [];
  page.on("request", (request) => fetched.push(request.url()));
  await page.waitForSelector("#codec");
  await page.waitForSelector("#bid-form form");
  await countStalls(page);
  await until("five seconds of video", async () => {
    const seen = await watch(page);
    assert(!seen.error, `the player says: ${seen.error}`);
    return seen.at > 5 ? seen : null;
  });
  return { page, fetched };
}

/** A token that runs out, and one that an edge refuses, cost the viewer nothing. */
async function isRenewed(browser, demo, { checks, openPage }) {
  await checks.check("playback_is_renewed_without_a_stall", { within: 90_000 }, async () => {
    const { page, fetched } = await openPlaying({ browser, demo, openPage });
    const tokensOf = (urls) => new Set(urls.filter((url) => url.endsWith(".m4s")).map((url) => new URL(url).pathname.split("/")[2]));
    const renewals = () => fetched.filter((url) => url.endsWith("/renew")).length;
    const [first] = tokensOf(fetched);
    await page.evaluate(() => {
      const now = Date.now;
      Date.now = () => now() + 25 * 60_000;
    });
    await until("segments under another token", () => renewals() > 0 && tokensOf(fetched.slice(-6)).size === 1 && !tokensOf(fetched.slice(-6)).has(first));
    const [before, seen] = [renewals(), fetched.length];
    let isRefused = false;
    await page.route("**/*.m4s", (route) => {
      if (isRefused) return route.continue();
      isRefused = true;
      return route.fulfill({ status: 401, headers: { "access-control-allow-origin": "*" }, contentType: "application/problem+json", body: JSON.stringify({ code: "TOKEN_EXPIRED" }) });
    });
    await until("another renewal and three segments", () => renewals() > before && fetched.slice(seen).filter((url) => url.endsWith(".m4s")).length >= 4);
    const last = await watch(page);
    assert(!last.error, `the player says: ${last.error}`);
    assert(last.stalls.length === 0, `it stalled at ${last.stalls.join(", ")} s`);
    await page.context().close();
  });
}

/** Content steering: players ask each 30 s where to go. */
async function isDrained(browser, demo, { binary, checks, openPage }) {
  const [other, drained] = demo.viewers;
  const edge = (verb) => {
    const done = spawnSync(binary, ["edge", verb, "--dir", demo.folderOf(GOING)], { encoding: "utf8" });
    assert(done.status === 0, `edge ${verb}: ${done.stderr}`);
  };
  await checks.check("drained_edge_sends_its_viewers_on_without_a_stall", { within: 150_000 }, async () => {
    const { page, fetched } = await openPlaying({ browser, demo, openPage });
    assert(fetched.some(isSegmentOf(drained)), "the edge to be drained served nothing");
    edge("drain");
    try {
      await until("three segments from the other edge", () => fetched.filter(isSegmentOf(other)).length >= 3, 50_000);
      const last = await watch(page);
      assert(last.stalls.length === 0, `it stalled at ${last.stalls.join(", ")} s`);
      assert(fetched.some((url) => url.startsWith(drained) && url.includes("/steering/")), "the player was not steered");
    } finally {
      edge("undrain");
    }
    await until("the edge to serve again", async () => {
      const { edges } = await (await fetch(`${other}/v1/edges`)).json();
      return edges.every((row) => row.servesVideo);
    });
    await page.context().close();
  });
}

async function losesItsEdge(browser, demo, { checks, openPage, pageErrors, send, tokenOf }) {
  const [left] = demo.viewers;
  let token = null;
  let page = null;
  let fetched = [];

  await checks.check("video_plays_at_the_edge_to_be_lost", { within: 90_000 }, async () => {
    token = await tokenOf(demo, left, BIDDER);
    ({ page, fetched } = await openPlaying({ browser, demo, openPage }));
  });

  await checks.check("video_goes_on_without_a_stall_when_its_edge_is_killed", { needs: ["video_plays_at_the_edge_to_be_lost"] }, async () => {
    const before = await watch(page);
    fetched.length = 0;
    assert(before.heldTo < before.at + 2 * BUFFER_SECONDS, `the player holds ${before.heldTo - before.at} s: nothing would be shown`);
    demo.kill(GOING);
    const last = await until("what was not yet held", async () => {
      const seen = await watch(page);
      assert(!seen.error, `the player says: ${seen.error}`);
      return seen.at > before.heldTo + 3 ? seen : null;
    });
    assert(last.frames > before.frames, "no picture was decoded");
    assert(last.stalls.length === 0, `it stalled at ${last.stalls.join(", ")} s`);
    assert(fetched.some(isSegmentOf(left)), "no segment came from the other edge");
  });

  await checks.check("bid_at_the_other_edge_is_shown_live", { needs: ["video_goes_on_without_a_stall_when_its_edge_is_killed"] }, async () => {
    const streams = fetched.filter((url) => url.startsWith(left) && url.includes("/updates"));
    assert(streams.some((url) => /[?&]lastEventId=\d+$/.test(url)), `the stream was not resumed: ${streams.join(", ")}`);
    const body = JSON.stringify({ amountMinor: BID_MINOR, currency: "EUR" });
    const bid = await send(`${left}/v1/auctions/${demo.auctionId}/bids`, { method: "POST", token, body, type: "application/json" });
    assert(bid.ok, `the bid was refused: ${await bid.text()}`);
    await until("its amount", async () => (await page.textContent("#price")).includes("300.00"), 15_000);
  });

  await checks.check("page_calls_the_other_edge", { needs: ["bid_at_the_other_edge_is_shown_live"] }, async () => {
    const calls = fetched.filter((url) => url.startsWith(`${left}/v1/auctions/`));
    assert(calls.some((url) => !url.includes("/updates")), "no call went to the other edge");
    assert((await page.textContent("#edge")).includes("edge-north"), "the page does not say which edge serves it");
    assert(pageErrors.length === 0, pageErrors.join("; "));
  });
}

/** Runs the checks; skipped where no clip can be made. */
export async function lostEdge(kit) {
  const { binary, checks, inChromium, leavesNothing } = kit;
  const folder = mkdtempSync(join(tmpdir(), "fairground-clip-"));
  try {
    const clip = makeClip(folder);
    if (!clip) return checks.skip("demo_with_a_long_clip_serves", "ffmpeg made no clip");
    let demo = null;
    await checks.check("demo_with_a_long_clip_serves", { within: 250_000 }, async () => {
      demo = await startDemo(binary, ["--clip", clip, "--auction", "20m", "--bots", "1"]);
    });
    if (!demo) return undefined;
    await inChromium(async (browser) => {
      await isRenewed(browser, demo, kit);
      await isDrained(browser, demo, kit);
      await losesItsEdge(browser, demo, kit).catch((error) => checks.fail("viewer_loses_its_edge", error));
    });
    await leavesNothing("demo_with_a_lost_edge_leaves_nothing_behind", demo);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
