// The viewer page and the console in a real Chromium, against a real cluster on loopback.
//
// FAIRGROUND_BIN names the binary. `--screenshots DIR` keeps a picture of each page, `--clip FILE`
// plays that clip. Read next: `demo.mjs` for what is started, `runner.mjs` for what is printed,
// `growing.mjs` for a clip that plays while it is made, `lost-edge.mjs` for the second demo.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";
import { startDemo } from "./demo.mjs";
import { beginClip, growingClip } from "./growing.mjs";
import { lostEdge } from "./lost-edge.mjs";
import { hideHls } from "./playing.mjs";
import { assert, Checks, until } from "./runner.mjs";

// The bot opened the auction and answers every higher bid up to this, however late the page comes;
// the person's last bid is out of its reach.
const BOT_BUDGET = 400;
const AUCTION = "60s";
// More than may come unsigned.
const WINNING_BID = "620.00";
const BUYER = "buyer-7@browser.example";

const checks = new Checks();
const option = (name) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : null);
const pictures = option("--screenshots");
const clip = option("--clip");
const pageErrors = [];

function findChromium() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/bin"];
  return folders.flatMap((folder) => names.map((name) => join(folder, name))).find(existsSync);
}

async function picture(page, name) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}

async function getJson(url) {
  const response = await fetch(url);
  return response.ok ? response.json() : null;
}

async function codeFor(demo, address, notBefore) {
  const found = await until(`a code for ${address}`, async () => {
    const answer = await getJson(`${demo.inbox.replace(/\/$/, "")}/mail?to=${encodeURIComponent(address)}`);
    const fresh = (answer?.messages ?? []).filter((mail) => Date.parse(mail.receivedAt) >= notBefore - 1000);
    return fresh.map((mail) => /\b\d{6}\b/.exec(`${mail.subject} ${mail.text}`)?.[0]).find(Boolean) ?? null;
  });
  return found;
}

async function send(url, { method, token, body, type }) {
  const headers = { "content-type": type, "idempotency-key": crypto.randomUUID() };
  if (token) headers.authorization = `Bearer ${token}`;
  return fetch(url, { method, headers, body });
}

/** Signs in without a page. */
async function tokenOf(demo, edge, identifier) {
  const asked = Date.now();
  const post = (path, body) => send(`${edge}/v1/auth/otp/${path}`, { method: "POST", body: JSON.stringify(body), type: "application/json" });
  await post("request", { identifier, channel: "email" });
  const code = await codeFor(demo, identifier, asked);
  return (await (await post("verify", { identifier, code })).json()).accessToken;
}

async function signIn(page, demo, address) {
  const asked = Date.now();
  await page.fill("#identifier", address);
  await page.click("dialog.sign-in button.primary");
  await page.waitForSelector("#code");
  await page.fill("#code", await codeFor(demo, address, asked));
  await page.click("dialog.sign-in button.primary");
  await page.waitForSelector("#account-name");
}

async function openPage(browser, url, viewport = { width: 1280, height: 800 }, script = null) {
  const context = await browser.newContext({ viewport, locale: "en-GB" });
  const page = await context.newPage();
  if (script) await page.addInitScript(script);
  page.on("pageerror", (error) => pageErrors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && /Content Security Policy|Uncaught/.test(message.text())) pageErrors.push(message.text());
  });
  await page.goto(url);
  return page;
}

const watch = (page) =>
  page.evaluate(() => {
    const video = document.querySelector("video");
    return { at: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames, error: video.error?.message ?? null };
  });

/** Chooses a format and waits until time and decoded frames have both grown. */
async function plays(page, format) {
  const fetched = [];
  const note = (request) => fetched.push(request.url());
  page.on("request", note);
  await page.selectOption("#codec", format);
  await page.evaluate(() => {
    const video = document.querySelector("video");
    video.loop = true;
    return video.play().catch(() => null);
  });
  const first = await until(`the first frames of ${format}`, async () => {
    const seen = await watch(page);
    assert(!seen.error, `the player says: ${seen.error}`);
    return seen.frames > 0 && seen.at > 0 ? seen : null;
  });
  await until(`half a second of ${format}`, async () => {
    const seen = await watch(page);
    return seen.at > first.at + 0.5 && seen.frames > first.frames ? seen : null;
  });
  page.off("request", note);
  assert(fetched.some((url) => url.endsWith(`master.${format}.m3u8`)), `the ${format} playlist was not fetched`);
  assert(fetched.some((url) => url.endsWith(".m4s")), "no segment was fetched");
}

async function bid(page, amount) {
  await page.fill("#bid", amount);
  await page.click("#bid-form button.primary");
}

/** Where the viewer's mark is, and how much of it is drawn; null when it is not there. */
const markOf = (page) =>
  page.evaluate(() => {
    const canvas = document.querySelector(".screen canvas");
    if (!canvas) return null;
    const [own, screen] = [canvas, canvas.parentElement].map((element) => element.getBoundingClientRect());
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return {
      place: `${Math.round(own.left - screen.left)} ${Math.round(own.top - screen.top)}`,
      isShown: getComputedStyle(canvas).display === "block",
      isInside: own.left >= screen.left && own.right <= screen.right && own.top >= screen.top && own.bottom <= screen.bottom,
      ink: data.filter((value, at) => at % 4 === 3 && value > 0).length,
    };
  });

const standing = (page) => page.textContent("#standing");

/** What a screen reader and a keyboard need. */
const barriers = (page) =>
  page.evaluate(() => {
    const found = [];
    if (!document.documentElement.lang) found.push("no language");
    if (document.querySelectorAll("h1").length !== 1) found.push("not exactly one h1");
    for (const field of document.querySelectorAll("input, select, textarea")) {
      if (!field.labels?.length && !field.ariaLabel) found.push(`no label: ${field.id || field.outerHTML}`);
    }
    for (const image of document.querySelectorAll("img:not([alt])")) found.push(`no alt: ${image.src}`);
    for (const button of document.querySelectorAll("button")) {
      if (!button.textContent.trim() && !button.ariaLabel) found.push("a button without a name");
    }
    if (!document.querySelector("main")) found.push("no main");
    return found;
  });

const sideways = (page) => page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);

/** The same without hls.js, where the browser can. */
async function playsNatively(browser, story) {
  const page = await openPage(browser, story, undefined, hideHls);
  const can = await page.evaluate(() => document.createElement("video").canPlayType("application/vnd.apple.mpegurl"));
  for (const [format, name] of [["avc", "h264_plays_natively"], ["av1", "av1_plays_natively"]]) {
    if (!can) {
      checks.skip(name, "this Chromium has no player for HLS of its own");
      continue;
    }
    await checks.check(name, { needs: ["av1_plays"] }, async () => {
      await page.waitForSelector("#codec");
      await plays(page, format);
      const source = await page.evaluate(() => document.querySelector("video").currentSrc);
      assert(source.startsWith("http") && source.endsWith(`master.${format}.m3u8`), `the source is ${source}`);
    });
  }
  await page.context().close();
}

async function viewer(browser, demo) {
  const [edge] = demo.viewers;
  const page = await openPage(browser, edge);
  let sent = {};
  const story = `${edge}/#/story/${demo.storyId}`;

  await checks.check("feed_shows_the_live_auction", {}, async () => {
    await page.waitForSelector(`a[href="#/story/${demo.storyId}"]`);
    await page.waitForSelector(".tag.live");
    await picture(page, "feed");
  });

  await checks.check("wrong_code_is_refused_with_words", {}, async () => {
    await page.click("#sign-in");
    await page.fill("#identifier", "buyer-8@browser.example");
    await page.click("dialog.sign-in button.primary");
    await page.waitForSelector("#code");
    const right = await codeFor(demo, "buyer-8@browser.example", 0);
    await page.fill("#code", right === "000000" ? "000001" : "000000");
    await page.click("dialog.sign-in button.primary");
    await until("a message", async () => (await page.textContent("dialog.sign-in .message"))?.trim());
    await page.click("dialog.sign-in button:not(.primary)");
  });

  await checks.check("person_signs_in_by_code", {}, async () => {
    await page.click("#sign-in");
    await signIn(page, demo, BUYER);
  });

  await checks.check("bid_leads", { needs: ["person_signs_in_by_code"] }, async () => {
    await page.goto(story);
    await page.waitForSelector("#bid");
    // A bot may be quicker: then the page names the new minimum, and the person bids again.
    await until("the lead", async () => {
      await page.click("#bid-form .quick button");
      await page.click("#bid-form button.primary");
      return until("an answer", async () => {
        const text = await standing(page);
        return text ? text.includes("You lead") || text.includes("outbid") : null;
      }, 3_000).catch(() => null);
    });
  });

  await checks.check("outbid_is_shown_live", { needs: ["bid_leads"] }, () =>
    until("being outbid", async () => (await standing(page)).includes("You were outbid."), 45_000));

  await checks.check("higher_bid_takes_the_lead_back", { needs: ["outbid_is_shown_live"] }, async () => {
    const sending = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/bids"));
    await bid(page, WINNING_BID);
    sent = (await sending).postDataJSON();
    await until("the lead", async () => (await standing(page)).includes("You lead."));
  });

  await checks.check("bid_is_signed_by_a_key_that_stays_in_the_browser", { needs: ["higher_bid_takes_the_lead_back"] }, async () => {
    assert(sent.signature?.keyId?.startsWith("dky_") && sent.validUntil, `no signature: ${JSON.stringify(sent)}`);
    const extractable = await page.evaluate(() => new Promise((resolve, reject) => {
      const opening = indexedDB.open("fairground");
      opening.onerror = () => reject(opening.error);
      opening.onsuccess = () => {
        const keys = opening.result.transaction("keys").objectStore("keys").getAll();
        keys.onsuccess = () => resolve(keys.result.map((key) => key.privateKey.extractable));
      };
    }));
    assert(JSON.stringify(extractable) === "[false]", `keys that can be taken: ${JSON.stringify(extractable)}`);
  });

  await checks.check("h264_plays", { within: 90_000 }, async () => {
    await page.goto(story);
    await page.waitForSelector("#codec");
    await plays(page, "avc");
    await picture(page, "viewer");
  });

  await checks.check("viewers_mark_moves_and_comes_back", { needs: ["h264_plays"] }, async () => {
    const { viewerMark } = await getJson(`${edge}/v1/media/${demo.assetId}/playback`);
    assert(/^\d{4}-\d\d-\d\dT\d\d:\d\dZ [0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}$/.test(viewerMark), `a mark like ${viewerMark}`);
    const first = await markOf(page);
    assert(first?.ink > 200 && first.isInside, `no mark: ${JSON.stringify(first)}`);
    const second = await until("another place", async () => {
      const now = await markOf(page);
      return now?.place !== first.place ? now : null;
    });
    assert(second.ink > 200 && second.isInside, `half a mark: ${JSON.stringify(second)}`);
    const isPaused = () => page.evaluate(() => document.querySelector("video").paused);
    const ways = {
      removed: (canvas) => canvas.remove(),
      hidden: (canvas) => canvas.style.setProperty("display", "none", "important"),
      cleared: (canvas) => canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height),
    };
    for (const [way, change] of Object.entries(ways)) {
      await page.evaluate(() => document.querySelector("video").play());
      await page.locator(".screen canvas").evaluate(change);
      await until(`the video to stop for a mark ${way}`, isPaused, 5_000);
      await until(`a mark ${way} to come back`, async () => {
        const now = await markOf(page);
        return now?.ink > 200 && now.isShown && now.isInside;
      }, 5_000);
    }
  });

  const growing = beginClip();
  // Codes are few: the maker, whom the demo has signed in before, does so once more and not twice.
  let asked = null;
  const makerToken = () => (asked ??= tokenOf(demo, edge, demo.makerAddress));
  await checks.check("av1_plays", { needs: ["h264_plays"], within: 330_000 }, async () => {
    await until("the AV1 revision", async () => (await getJson(`${edge}/v1/media/${demo.assetId}/playback`))?.av1Url, 270_000);
    await page.reload();
    await page.waitForSelector("#codec");
    await plays(page, "av1");
  });

  await playsNatively(browser, story);

  await checks.check("published_revision_breaks_no_rule", { needs: ["av1_plays"], within: 60_000 }, async () => {
    const { url } = await getJson(`${edge}/v1/media/${demo.assetId}/playback`);
    const lint = spawnSync(binary, ["media", "lint", `${edge}${url}`, "--decode"], { encoding: "utf8" });
    assert(lint.status === 0, `${lint.stdout}${lint.stderr}`.split("\n").filter((line) => /^(error|fairground)/.test(line)).join("; "));
  });

  await checks.check("captions_are_shown", { needs: ["av1_plays"], within: 60_000 }, async () => {
    const token = await makerToken();
    const captions = `${edge}/v1/media/${demo.assetId}/captions/en?label=English`;
    const vtt = "WEBVTT\n\n00:00.000 --> 00:09.000\nTurned from ash\n";
    await until("the maker's captions", async () => (await send(captions, { method: "PUT", token, body: vtt, type: "text/vtt" })).ok);
    await until("a playback with them", async () => {
      await page.reload();
      await page.waitForSelector("#codec");
      return until("the track", () => page.evaluate(() => document.querySelector("video").textTracks.length > 0), 5_000).catch(() => false);
    });
    await page.evaluate(() => { document.querySelector("video").textTracks[0].mode = "showing"; });
    const cue = () => page.evaluate(() => document.querySelector("video").textTracks[0].cues?.[0]?.text);
    await until("its cue", async () => (await cue()) === "Turned from ash");
  });

  await checks.check("page_has_no_barriers", {}, async () => {
    const found = await barriers(page);
    assert(found.length === 0, found.join("; "));
    await page.keyboard.press("Tab");
  });

  await checks.check("page_fits_a_phone", {}, async () => {
    const phone = await openPage(browser, story, { width: 360, height: 740 });
    await phone.waitForSelector("aside.auction h2");
    const wide = await sideways(phone);
    assert(wide <= 0, `the page is ${wide} pixels wider than a phone`);
    await picture(phone, "phone");
    await phone.context().close();
  });

  // While the auction runs to its end.
  await growingClip({ checks, demo, page, clip: growing, needs: ["av1_plays"], makerToken });

  await checks.check("winner_is_told", { needs: ["higher_bid_takes_the_lead_back"], within: 180_000 }, async () => {
    await until("the close", async () => /You won/.test((await standing(page)) ?? ""), 170_000);
  });

  await checks.check("winner_pays_and_has_an_order", { needs: ["winner_is_told"], within: 90_000 }, async () => {
    await page.goto(`${edge}/#/purchases`);
    await page.click(".pay", { timeout: 30_000 });
    await page.waitForURL((url) => url.pathname.startsWith("/pay/"), { timeout: 30_000 });
    const card = page.locator("input:not([type=hidden])").first();
    if (await card.count()) await card.fill("4242 4242 4242 4242");
    await page.getByRole("button", { name: /^pay/i }).click();
    await page.waitForURL((url) => url.href.startsWith(edge), { timeout: 30_000 });
    await page.waitForSelector(".order", { timeout: 30_000 });
    await picture(page, "order");
  });
}

async function operator(browser, demo) {
  const page = await openPage(browser, demo.console);
  await checks.check("console_shows_the_cluster", {}, async () => {
    await page.waitForSelector("h1");
    if (await page.locator("main button.primary").count()) await page.click("main button.primary");
    else await page.click("#sign-in");
    await signIn(page, demo, demo.adminAddress);
    await until("three members", async () => (await page.locator("table").first().locator("tbody tr").count()) === 3);
    await picture(page, "console");
  });
  await checks.check("console_lists_auctions", { needs: ["console_shows_the_cluster"] }, async () => {
    // The page of the cluster asks every two seconds; one answer is held until the next page is shown.
    let release;
    const held = new Promise((resolve) => { release = resolve; });
    const status = "**/v1/admin/status";
    const asked = new Promise((resolve) => page.route(status, async (route) => {
      resolve();
      await held;
      await route.continue();
    }));
    await asked;
    await page.goto(`${demo.console.replace(/\/$/, "")}/#/auctions`);
    await page.waitForSelector("h1 >> text=Auctions");
    await page.waitForSelector("tbody tr");
    assert((await page.textContent("tbody")).includes(demo.auctionId), "the auction is not in the list");
    const late = page.waitForResponse(status);
    release();
    await (await late).finished();
    await page.waitForTimeout(200);
    await page.unroute(status);
    assert((await page.textContent("main h1")) === "Auctions", "a page that was left has replaced the one that is shown");
  });
  await checks.check("console_shows_jobs_and_has_one_done_again", { needs: ["console_shows_the_cluster"] }, async () => {
    // Answers of a member that makes a clip and has failed at another.
    const job = { attempts: 1, fence: 1, revision: 0, isGrowing: false, sourceBytes: 9, strikes: 0, failedWorkers: [], durationMs: 9 };
    const progress = { stage: "av1", doneFrames: 120, totalFrames: 480, fpsMilli: 2500, etaMs: 144_000, edge: "edge-1.1", since: "2026-01-01T00:00:00Z" };
    const leased = { ...job, assetId: "ast_made", state: "leased", edge: "edge-1.1", progress };
    const failed = { ...job, assetId: "ast_failed", state: "failed", attempts: 4, failedWorkers: ["edge-2.1"], reason: "tool_killed", detail: "signal: 9 (SIGKILL)" };
    let jobs = [leased, failed];
    await page.route("**/v1/admin/jobs", (call) => call.fulfill({ json: { jobs } }));
    const asked = [];
    await page.route("**/v1/admin/jobs/*/requeue", async (call) => {
      asked.push([new URL(call.request().url()).pathname, call.request().postDataJSON()]);
      jobs = [leased, { ...failed, state: "queued" }];
      await call.fulfill({ json: jobs[1] });
    });
    await page.click("nav >> text=Jobs");
    await page.waitForSelector("h1 >> text=Jobs");
    const bar = page.locator("progress");
    await bar.waitFor();
    assert((await bar.getAttribute("value")) === "120" && (await bar.getAttribute("max")) === "480", "the bar is not at a quarter");
    const shown = await page.textContent("tbody");
    for (const text of ["edge-1.1", "av1 25 %", "2.5 frames/s", "2 min 24 s left", "tool_killed", "signal: 9", "edge-2.1"]) {
      assert(shown.includes(text), `${text} is not shown: ${shown}`);
    }
    const found = await barriers(page);
    assert(found.length === 0, found.join("; "));
    await page.click("button.requeue");
    await until("the failed job waits", async () => (await page.locator("button.requeue").count()) === 0);
    assert((await page.textContent("[role=status]")).includes("ast_failed is done again"), "nothing is said of it");
    const [[path, body]] = asked;
    assert(asked.length === 1 && path === "/v1/admin/jobs/ast_failed/requeue" && body.reason.length > 0, JSON.stringify(asked));
    await page.unroute("**/v1/admin/jobs");
    await page.unroute("**/v1/admin/jobs/*/requeue");
    // And what this cluster says of itself.
    await page.waitForResponse((answer) => answer.url().endsWith("/v1/admin/jobs") && answer.status() === 200);
    await until("the cluster's own jobs", async () => (await page.locator("tbody tr", { hasText: "ast_failed" }).count()) === 0);
  });
  await checks.check("console_has_no_barriers_and_fits_a_phone", { needs: ["console_shows_the_cluster"] }, async () => {
    const found = await barriers(page);
    assert(found.length === 0, found.join("; "));
    await page.setViewportSize({ width: 360, height: 740 });
    const wide = await sideways(page);
    assert(wide <= 0, `the console is ${wide} pixels wider than a phone`);
  });
}

const binary = process.env.FAIRGROUND_BIN;
const executablePath = findChromium();
if (!binary || !executablePath) {
  checks.skip("browser", binary ? "no Chromium was found" : "FAIRGROUND_BIN is not set");
  process.exit(checks.finish() ? 0 : 1);
}

async function inChromium(action) {
  let browser = null;
  await checks.check("chromium_starts", {}, async () => {
    // Chromium refuses its own sandbox to root, and containers give it little shared memory.
    const args = ["--disable-dev-shm-usage", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])];
    browser = await chromium.launch({ executablePath, args });
  });
  if (!browser) return;
  await action(browser);
  await browser.close();
}

async function leavesNothing(name, demo) {
  await checks.check(name, {}, async () => {
    const { ended, files, said } = await demo.stop();
    assert(ended !== null, "it did not end on SIGINT");
    assert(ended.code === 0, `it ended with ${ended.code ?? ended.signal}: ${said.slice(-3).join(" ")}`);
    assert(files.length === 0, `files left: ${files.join(", ")}`);
  });
}

let demo = null;
await checks.check("demo_serves", { within: 250_000 }, async () => {
  const options = ["--auction", AUCTION, "--bots", "1", "--bot-budget", String(BOT_BUDGET)];
  demo = await startDemo(binary, [...options, ...(clip ? ["--clip", clip] : [])]);
});
if (demo) {
  await inChromium(async (browser) => {
    // What fails between two checks fails by its own name, and the demo is ended all the same.
    await viewer(browser, demo).catch((error) => checks.fail("viewer_page_opens", error));
    await operator(browser, demo).catch((error) => checks.fail("console_page_opens", error));
    await checks.check("pages_report_no_error", {}, async () => assert(pageErrors.length === 0, pageErrors.join("; ")));
  });
  await leavesNothing("demo_leaves_nothing_behind", demo);
}
await lostEdge({ binary, checks, inChromium, leavesNothing, openPage, pageErrors, send, tokenOf });
process.exit(checks.finish() ? 0 : 1);
