// A second demo whose edge answers wrong, is drained and then killed under a playing viewer: the video goes
// on from the other edge, and so does the live stream. Read next: `wrong-answers.mjs`, `playing.mjs`.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDemo } from "./demo.mjs";
import { BUFFER_SECONDS, isSegmentOf, makeClip, openPlaying, past, told, watch } from "./playing.mjs";
import { assert, until } from "./runner.mjs";
import { wrongAnswers } from "./wrong-answers.mjs";

// Not over before the checks are; small, for only its length counts.
const CLIP = { seconds: 120, size: "320x180", rate: 15 };
// An edge that may go is called this in the demo.
const GOING = "edge-south";
// Out of the bot's reach, and what may come unsigned.
const BID_MINOR = 30_000;
const BIDDER = "buyer-9@browser.example";

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
    assert(last.stalls.length === 0, `it stalled at ${told(last.stalls)}`);
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
      assert(last.stalls.length === 0, `it stalled at ${told(last.stalls)}`);
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
    const last = await past(page, before.heldTo + 3, "what was not yet held");
    assert(last.frames > before.frames, "no picture was decoded");
    assert(last.stalls.length === 0, `it stalled at ${told(last.stalls)}`);
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
    const clip = join(folder, "long.mp4");
    if (!(await makeClip(clip, CLIP))) return checks.skip("demo_with_a_long_clip_serves", "ffmpeg made no clip");
    let demo = null;
    await checks.check("demo_with_a_long_clip_serves", { within: 250_000 }, async () => {
      demo = await startDemo(binary, ["--clip", clip, "--auction", "20m", "--bots", "1"]);
    });
    if (!demo) return undefined;
    await inChromium(async (browser) => {
      await wrongAnswers(browser, demo, kit).catch((error) => checks.fail("viewer_gets_wrong_answers", error));
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
