// Video: hls.js where media source extensions exist, the browser's own player on Apple devices. Both
// go on at another edge, where they are, when theirs is lost.

import { get } from "./api.js";
import { at, currentEdge, loaderThrough, lost } from "./edges.js";
import { markOver } from "./mark.js";
import { Tokens } from "./tokens.js";

// Measured: with these a dead edge costs no stall; the defaults retry a 503 for 13 seconds.
const policy = {
  default: {
    maxTimeToFirstByteMs: 4000,
    maxLoadTimeMs: 20000,
    timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 1, retryDelayMs: 250, maxRetryDelayMs: 1000 },
  },
};
// How often a playback that ended in an error begins again, and how long it waits at first.
const restartsMax = 5;
const restartMs = 1000;
// What went well for so long is not counted with what failed before.
const forgottenMs = 30_000;

const playbacks = new Map();

function playback(asset) {
  if (!playbacks.has(asset)) {
    const pending = get(`/v1/media/${asset}/playback`);
    pending.catch(() => playbacks.delete(asset));
    playbacks.set(asset, pending);
  }
  return playbacks.get(asset);
}

/** Where the poster of a clip is, or null. */
export async function posterOf(asset) {
  return asset ? playback(asset).then((answer) => (answer.posterUrl ? at(answer.posterUrl) : null), () => null) : null;
}

const addressOf = (answer, codec) => ({ avc: answer.avcUrl, av1: answer.av1Url })[codec] ?? answer.url;
const restartsIn = (left) => restartMs * 2 ** (restartsMax - 1 - left) * (0.5 + Math.random());

/** Counts what fails; says how many restarts are left. */
function restarts() {
  let left = restartsMax;
  let failedAt = 0;
  return () => {
    if (Date.now() - failedAt > forgottenMs) left = restartsMax;
    failedAt = Date.now();
    left = Math.max(0, left - 1);
    return left;
  };
}

/** A playback may have run out or lost every edge for a while: it is asked for anew. */
async function anew(asset) {
  playbacks.delete(asset);
  return playback(asset);
}

function playThroughHls(video, asset, answer, codec) {
  const { Hls } = globalThis;
  const failed = restarts();
  const tokens = new Tokens();
  let timer = null;
  tokens.follow(answer);
  const hls = new Hls({
    loader: loaderThrough(Hls.DefaultConfig.loader, tokens),
    fragLoadPolicy: policy,
    manifestLoadPolicy: policy,
    playlistLoadPolicy: policy,
    steeringManifestLoadPolicy: policy,
    maxBufferLength: 12,
  });
  // Picture and sound of one lost network fail apart: one restart is for both.
  let isRestarting = false;
  const restart = (left) => {
    isRestarting = left > 0;
    if (left === 0) return;
    timer = setTimeout(async () => {
      const again = await anew(asset).catch(() => null);
      if (timer === null) return;
      if (!again) return restart(failed());
      isRestarting = false;
      tokens.follow(again);
      hls.config.startPosition = video.currentTime;
      hls.loadSource(at(addressOf(again, codec)));
    }, restartsIn(left));
  };
  hls.on(Hls.Events.ERROR, (_, { fatal, type }) => {
    if (!fatal || isRestarting) return;
    const left = failed();
    if (type !== Hls.ErrorTypes.MEDIA_ERROR) restart(left);
    else if (left > 0) hls.recoverMediaError();
  });
  hls.loadSource(at(addressOf(answer, codec)));
  hls.attachMedia(video);
  return () => {
    clearTimeout(timer);
    timer = null;
    hls.destroy();
  };
}

/** Whether an edge does not give what it should: a token that has ended is no fault of its. */
async function isEdgesFault(url) {
  const asked = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(5_000) }).catch(() => null);
  await asked?.body?.cancel();
  return !asked || asked.status === 404 || asked.status >= 500;
}

function playNatively(video, asset, answer, codec) {
  // Never a mixed playlist for the browser's own player: Chromium's dies at the first switch.
  const address = (some) => (codec ? addressOf(some, codec) : (some.avcUrl ?? some.url));
  const isNetwork = [MediaError.MEDIA_ERR_NETWORK, MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED];
  const ended = new AbortController();
  const { signal } = ended;
  const failed = restarts();
  let edge = null;
  let timer = null;
  const begin = (some, from, isPlaying) => {
    edge = currentEdge();
    video.src = at(address(some));
    if (from === 0 && !isPlaying) return;
    const goOn = () => {
      video.currentTime = from;
      if (isPlaying) video.play().catch(() => null);
    };
    video.addEventListener("loadedmetadata", goOn, { once: true, signal });
  };
  video.addEventListener("error", () => {
    if (!isNetwork.includes(video.error?.code)) return;
    const left = failed();
    if (left === 0) return;
    const [from, isPlaying] = [video.currentTime, !video.paused];
    timer = setTimeout(async () => {
      if (await isEdgesFault(video.src) && !signal.aborted) lost(edge);
      const again = await anew(asset).catch(() => answer);
      if (!signal.aborted) begin(again, from, isPlaying);
    }, restartsIn(left));
  }, { signal });
  begin(answer, 0, false);
  return () => {
    ended.abort();
    clearTimeout(timer);
    video.removeAttribute("src");
    video.load();
  };
}

/** Plays a clip in `video`; `codec` is `avc`, `av1` or absent for what suits. Returns what ends it. */
export async function play(video, asset, codec) {
  const answer = await anew(asset);
  const isApple = /Apple/.test(navigator.vendor) && video.canPlayType("application/vnd.apple.mpegurl");
  if (answer.posterUrl) video.poster = at(answer.posterUrl);
  const through = !isApple && globalThis.Hls?.isSupported() ? playThroughHls : playNatively;
  const unmark = answer.viewerMark ? markOver(video, answer.viewerMark) : () => {};
  const end = through(video, asset, answer, codec);
  const stop = () => {
    unmark();
    end();
  };
  return { answer, stop };
}
