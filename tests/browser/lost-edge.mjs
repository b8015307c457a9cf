// A second demo whose edge is killed under a playing viewer: the video goes on from the other edge
// without a stall, and so does the live stream.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDemo } from "./demo.mjs";
import { assert, until } from "./runner.mjs";

const CLIP_SECONDS = 60;
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

async function losesItsEdge(browser, demo, { checks, openPage, pageErrors, send, tokenOf }) {
  const [left, killed] = demo.viewers;
  const page = await openPage(browser, `${killed}/#/story/${demo.storyId}`, undefined, holdLittle(BUFFER_SECONDS));
  const fetched = [];
  let token = null;
  let last = null;

  await checks.check("video_plays_at_the_edge_to_be_lost", { within: 90_000 }, async () => {
    token = await tokenOf(demo, left, BIDDER);
    await page.waitForSelector("#codec");
    await page.waitForSelector("#bid-form form");
    await countStalls(page);
    await until("five seconds of video", async () => {
      const seen = await watch(page);
      assert(!seen.error, `the player says: ${seen.error}`);
      return seen.at > 5 ? seen : null;
    });
  });

  await checks.check("video_goes_on_without_a_stall_when_its_edge_is_killed", { needs: ["video_plays_at_the_edge_to_be_lost"] }, async () => {
    page.on("request", (request) => fetched.push(request.url()));
    const before = await watch(page);
    assert(before.heldTo < before.at + 2 * BUFFER_SECONDS, `the player holds ${before.heldTo - before.at} s: nothing would be shown`);
    demo.kill("edge-south");
    last = await until("what was not yet held", async () => {
      const seen = await watch(page);
      assert(!seen.error, `the player says: ${seen.error}`);
      return seen.at > before.heldTo + 3 ? seen : null;
    });
    assert(last.frames > before.frames, "no picture was decoded");
    assert(last.stalls.length === 0, `it stalled at ${last.stalls.join(", ")} s`);
    const segments = fetched.filter((url) => url.endsWith(".m4s") && url.startsWith(left));
    assert(segments.length > 0, "no segment came from the other edge");
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
    await inChromium((browser) =>
      losesItsEdge(browser, demo, kit).catch((error) => checks.fail("viewer_loses_its_edge", error)));
    await leavesNothing("demo_with_a_lost_edge_leaves_nothing_behind", demo);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
