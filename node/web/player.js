// Video: hls.js where media source extensions exist, the browser's own player on Apple devices.

import { get } from "./api.js";

// Measured: with these a dead edge costs no stall; the defaults retry a 503 for 13 seconds.
const policy = {
  default: {
    maxTimeToFirstByteMs: 4000,
    maxLoadTimeMs: 20000,
    timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 1, retryDelayMs: 250, maxRetryDelayMs: 1000 },
  },
};

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
  return asset ? playback(asset).then((answer) => answer.posterUrl ?? null, () => null) : null;
}

/** Plays a clip in `video`; `codec` is `avc`, `av1` or absent for what suits. Returns what ends it. */
export async function play(video, asset, codec) {
  playbacks.delete(asset);
  const answer = await playback(asset);
  const isApple = /Apple/.test(navigator.vendor) && video.canPlayType("application/vnd.apple.mpegurl");
  const url = { avc: answer.avcUrl, av1: answer.av1Url }[codec] ?? answer.url;
  if (answer.posterUrl) video.poster = answer.posterUrl;
  if (!isApple && globalThis.Hls?.isSupported()) {
    const hls = new Hls({ fragLoadPolicy: policy, manifestLoadPolicy: policy, playlistLoadPolicy: policy, maxBufferLength: 12 });
    hls.loadSource(url);
    hls.attachMedia(video);
    return { answer, stop: () => hls.destroy() };
  }
  // Never a mixed playlist for the browser's own player: Chromium's dies at the first switch.
  video.src = codec ? url : (answer.avcUrl ?? url);
  return {
    answer,
    stop: () => {
      video.removeAttribute("src");
      video.load();
    },
  };
}
