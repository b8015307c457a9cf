// A maker's clip that plays while it is still being made: the playlist grows, and the player follows it.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeClip } from "./playing.mjs";
import { assert, until } from "./runner.mjs";

// Its ladder takes much longer than its first seconds do.
const CLIP = { seconds: 90, size: "1280x720", rate: 25 };
const CHUNK = 4 * 1024 * 1024;

/** Begins to make the clip; `take()` resolves to its bytes, or null where there is no ffmpeg. */
export function beginClip() {
  const folder = mkdtempSync(join(tmpdir(), "fairground-growing-"));
  const file = join(folder, "growing.mp4");
  const made = makeClip(file, CLIP);
  return async () => {
    try {
      return (await made) ? readFileSync(file) : null;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

/** Uploads by tus 1.0; resolves to the asset. */
async function upload(edge, token, bytes) {
  const authorization = `Bearer ${token}`;
  const headers = { authorization, "content-type": "application/json", "idempotency-key": crypto.randomUUID() };
  const body = JSON.stringify({ filename: "growing.mp4", size: bytes.length });
  const session = await fetch(`${edge}/v1/media/uploadSession`, { method: "POST", headers, body });
  assert(session.ok, `no upload: ${session.status}`);
  const { uploadUrl } = await session.json();
  for (let offset = 0; offset < bytes.length; offset += CHUNK) {
    const answer = await fetch(uploadUrl, {
      method: "PATCH",
      headers: { authorization, "tus-resumable": "1.0.0", "upload-offset": String(offset), "content-type": "application/offset+octet-stream" },
      body: bytes.subarray(offset, offset + CHUNK),
    });
    assert(answer.ok, `the upload was answered ${answer.status}`);
    const asset = answer.headers.get("fairground-asset");
    if (asset) return asset;
  }
  throw new Error("the upload ended without an asset");
}

/** Plays an address in a page of the edge, beside what the page shows. */
const begin = (page, url) =>
  page.evaluate((address) => {
    const video = document.createElement("video");
    video.muted = true;
    video.id = "preview";
    document.body.append(video);
    const hls = new globalThis.Hls();
    hls.loadSource(address);
    hls.attachMedia(video);
    return video.play().catch(() => null);
  }, url);

const watch = (page) =>
  page.evaluate(() => {
    const video = document.querySelector("#preview");
    return { at: video.currentTime, length: video.duration, frames: video.getVideoPlaybackQuality().totalVideoFrames, error: video.error?.message ?? null };
  });

/** The check itself, on a page of the demo's first edge. */
export async function growingClip({ checks, demo, page, clip, needs, makerToken }) {
  const [edge] = demo.viewers;
  const bytes = await clip();
  if (!bytes) return checks.skip("preview_plays_while_the_clip_is_made", "ffmpeg made no clip");
  return checks.check("preview_plays_while_the_clip_is_made", { needs, within: 150_000 }, async () => {
    const token = await makerToken();
    const ask = async (path) => {
      const answer = await fetch(`${edge}/v1/media/${path}`, { headers: { authorization: `Bearer ${token}` } });
      return answer.ok ? answer.json() : null;
    };
    const asset = await upload(edge, token, bytes);
    const isGrowing = async () => {
      const facts = await ask(asset);
      assert(facts?.state !== "failed", `the clip failed: ${facts?.reason}`);
      return facts?.revision > 0 ? facts.isGrowing : null;
    };
    const first = await until("a first revision", async () => {
      const growing = await isGrowing();
      return growing === null ? null : { growing };
    }, 120_000);
    assert(first.growing, "its first revision was the whole clip already");
    const { url } = await until("a playback", () => ask(`${asset}/playback`));
    await begin(page, new URL(url, edge).href);
    const seen = await until("a second of the beginning", async () => {
      const now = await watch(page);
      assert(!now.error, `the player says: ${now.error}`);
      return now.at > 1 && now.frames > 0 ? now : null;
    });
    assert(await isGrowing(), "the clip was whole before its beginning had played");
    assert(seen.length < CLIP.seconds, `the player has ${seen.length} s of a clip that grows`);
    await until("more of it", async () => (await watch(page)).length > seen.length + 1);
    await page.evaluate(() => document.querySelector("#preview").remove());
  });
}
