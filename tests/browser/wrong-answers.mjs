// A playing viewer seeks, changes its rung, and gets 404, 503 and then silence from its edge: the video
// goes on from the other one. In the demo of `lost-edge.mjs`, before its edge is drained and killed.

import { assert, until } from "./runner.mjs";
import { BUFFER_SECONDS, forgetStalls, isSegmentOf, openPlaying, past, told, watch } from "./playing.mjs";

// Within the clip, and away from what is held.
const SEEKS = [90, 20];
const SILENCE_MS_MAX = 4_000;

/** Plays on until nothing is left of what was held before, and two segments came from the other edge. */
async function playsOn(page, fetched, other) {
  const before = await watch(page);
  assert(before.heldTo < before.at + 2 * BUFFER_SECONDS, `the player holds ${before.heldTo - before.at} s: nothing would be shown`);
  fetched.length = 0;
  const last = await past(page, before.heldTo + 2, "what was not yet held", 40_000);
  assert(last.frames > before.frames, "no picture was decoded");
  await until("two segments from the other edge", () => fetched.filter(isSegmentOf(other)).length >= 2);
  return (await watch(page)).stalls;
}

async function seeks(page) {
  for (const target of SEEKS) {
    const before = await watch(page);
    await page.evaluate((to) => { document.querySelector("video").currentTime = to; }, target);
    const seen = await until(`the picture at ${target} s`, async () => {
      const now = await watch(page);
      assert(!now.error, `the player says: ${now.error}`);
      return now.at > target + 0.5 && now.at < target + 20 && now.frames > before.frames ? now : null;
    });
    assert(seen.heldTo > target, "nothing is held there");
  }
}

/** The player is told to take another rung of the same family, as its estimate of the network would. */
async function changesRung(page) {
  const wanted = await page.evaluate(() => {
    const { player } = globalThis;
    const family = (level) => level.videoCodec?.split(".")[0];
    const current = player.levels[player.currentLevel];
    const next = player.levels.findIndex((level) => level.height !== current.height && family(level) === family(current));
    if (next >= 0) player.nextLevel = next;
    return player.levels[next]?.height ?? null;
  });
  assert(wanted !== null, "there is one rung alone");
  const seen = await until(`a picture of ${wanted} lines`, async () => {
    const now = await watch(page);
    assert(!now.error, `the player says: ${now.error}`);
    return now.height === wanted ? now : null;
  });
  await past(page, seen.at + 0.5, "half a second of the other rung");
}

/** Runs the checks on one page. */
export async function wrongAnswers(browser, demo, { checks, openPage }) {
  const [other, wrong] = demo.viewers;
  let page = null;
  let fetched = [];
  const opened = { needs: ["video_plays_at_the_edge_that_will_answer_wrong"] };

  await checks.check("video_plays_at_the_edge_that_will_answer_wrong", { within: 90_000 }, async () => {
    ({ page, fetched } = await openPlaying({ browser, demo, openPage }));
    assert(fetched.some(isSegmentOf(wrong)), "that edge served nothing");
  });

  await checks.check("video_goes_on_where_the_viewer_seeks_to", opened, () => seeks(page));

  await checks.check("video_goes_on_in_another_rung", opened, () => changesRung(page));

  for (const status of [404, 503]) {
    await checks.check(`video_goes_on_without_a_stall_through_${status}`, opened, async () => {
      const isWrong = (url) => isSegmentOf(wrong)(url.href);
      let count = 0;
      await forgetStalls(page);
      await page.route(isWrong, (route) => {
        count += 1;
        return route.fulfill({ status, body: "" });
      });
      const stalls = await playsOn(page, fetched, other).finally(() => page.unroute(isWrong));
      assert(count > 0, `no segment was answered ${status}`);
      assert(stalls.length === 0, `it stalled at ${told(stalls)}`);
    });
  }

  await checks.check("video_stalls_once_and_briefly_at_most_when_its_edge_falls_silent", opened, async () => {
    // Neither headers nor a reset: as when packets are lost on the way.
    const isSilent = (url) => url.origin === wrong;
    let count = 0;
    await forgetStalls(page);
    await page.route(isSilent, () => { count += 1; });
    const stalls = await playsOn(page, fetched, other);
    assert(count > 0, "nothing was asked of the silent edge");
    const isBrief = stalls.every(({ ms }) => ms !== null && ms < SILENCE_MS_MAX);
    assert(stalls.length <= 1 && isBrief, `it stalled at ${told(stalls)}`);
  });

  await page?.context().close();
}
