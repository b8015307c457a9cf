// What checks of a playing video share: generated clips, a player that holds little, and the counter of
// its stalls.

import { spawn } from "node:child_process";
import { assert, until } from "./runner.mjs";

export const BUFFER_SECONDS = 6;

/** Makes a clip of so many seconds with a tone; resolves to false where ffmpeg makes none. */
export function makeClip(file, { seconds, size, rate }) {
  const input = ["-f", "lavfi", "-i", `testsrc2=size=${size}:rate=${rate}:duration=${seconds}`];
  const sound = ["-f", "lavfi", "-i", `sine=frequency=330:duration=${seconds}`];
  const coding = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"];
  const child = spawn("ffmpeg", ["-v", "error", "-y", ...input, ...sound, ...coding, file], { stdio: "ignore" });
  return new Promise((resolve) => {
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });
}

/** Runs in the page before its scripts: the player holds so much and no more, however small the clip. */
export function holdLittle(seconds) {
  return `{
    let held;
    const limits = { maxBufferLength: ${seconds}, maxMaxBufferLength: ${seconds} };
    Object.defineProperty(globalThis, "Hls", {
      configurable: true,
      get: () => held,
      set: (Hls) => {
        held = class extends Hls {
          constructor(config) {
            super({ ...config, ...limits });
            globalThis.player = this;
          }
        };
      },
    });
  }`;
}

/** Runs in the page before its scripts: only the browser's own player is left. */
export const hideHls = `Object.defineProperty(globalThis, "Hls", { get: () => undefined, set: () => {} });`;

/** Starts the video and counts from its first picture on how often it has to wait, and how long. */
const countStalls = (page) =>
  page.evaluate(() => {
    const video = document.querySelector("video");
    let isPlaying = false;
    globalThis.stalls = [];
    video.addEventListener("playing", () => {
      isPlaying = true;
      const last = globalThis.stalls.at(-1);
      if (last && last.ms === null) last.ms = performance.now() - last.from;
    });
    video.addEventListener("waiting", () => {
      if (isPlaying) globalThis.stalls.push({ at: video.currentTime, from: performance.now(), ms: null });
    });
    return video.play();
  });

/** What was counted so far is not of the next check. */
export const forgetStalls = (page) => page.evaluate(() => { globalThis.stalls = []; });

/** Stalls by where they began and how long they took, for a message. */
export const told = (stalls) => stalls.map(({ at, ms }) => `${at} s (${ms === null ? "no end" : `${Math.round(ms)} ms`})`).join(", ");

export const watch = (page) =>
  page.evaluate(() => {
    const video = document.querySelector("video");
    const { buffered } = video;
    return {
      at: video.currentTime,
      heldTo: buffered.length ? buffered.end(buffered.length - 1) : 0,
      frames: video.getVideoPlaybackQuality().totalVideoFrames,
      height: video.videoHeight,
      stalls: globalThis.stalls,
      error: video.error?.message ?? null,
    };
  });

export const isSegmentOf = (edge) => (url) => url.endsWith(".m4s") && url.startsWith(edge);

/** Waits until the video has passed a place; resolves to what is seen then. */
export const past = (page, at, what, within = 30_000) =>
  until(what, async () => {
    const seen = await watch(page);
    assert(!seen.error, `the player says: ${seen.error}`);
    return seen.at > at ? seen : null;
  }, within);

/** The demo's story at its second edge, five seconds of it played; `fetched` is what the page asks for. */
export async function openPlaying({ browser, demo, openPage }) {
  const page = await openPage(browser, `${demo.viewers[1]}/#/story/${demo.storyId}`, undefined, holdLittle(BUFFER_SECONDS));
  const fetched = [];
  page.on("request", (request) => fetched.push(request.url()));
  await page.waitForSelector("#codec");
  await page.waitForSelector("#bid-form form");
  await countStalls(page);
  await past(page, 5, "five seconds of video");
  return { page, fetched };
}
