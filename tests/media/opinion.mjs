// What a parser of others says about a revision in a folder: one line per complaint on standard
// output, nothing when it has none.
//
//   node opinion.mjs hls-parser|mp4box FOLDER
//
// Ends with 2 when it could not look at all. Called by media/tests/second_opinions.rs.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [program, folder] = process.argv.slice(2);
const playlists = readdirSync(folder).filter((name) => name.endsWith(".m3u8"));
const text = (name) => readFileSync(join(folder, name), "utf8");

/** Every playlist in the parser's strict mode, which throws at what the specification forbids. */
async function hlsParser() {
  const { default: HLS } = await import("hls-parser");
  HLS.setOptions({ strictMode: true });
  const complaints = [];
  for (const name of playlists) {
    try {
      const playlist = HLS.parse(text(name));
      if (!playlist.isMasterPlaylist) continue;
      const variants = playlist.variants.filter((variant) => !variant.isIFrameOnly);
      if (variants.length === 0) complaints.push(`${name}: no variants`);
    } catch (error) {
      complaints.push(`${name}: ${error.message}`);
    }
  }
  return complaints;
}

/** The file as a view that knows where in the stream it stands. */
function piece(name, fileStart) {
  const bytes = readFileSync(join(folder, name));
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  return Object.assign(buffer, { fileStart });
}

/** The codec that a rendition's boxes name, and the number of its samples. */
async function boxesOf(rendition, names) {
  const { createFile } = await import("mp4box");
  const file = createFile();
  let info = null;
  let failed = null;
  file.onReady = (ready) => (info = ready);
  file.onError = (error) => (failed = error);
  let at = 0;
  for (const name of [`${rendition}/init.mp4`, ...names]) {
    const buffer = piece(name, at);
    at += buffer.byteLength;
    file.appendBuffer(buffer);
  }
  file.flush();
  if (failed || !info) return { failed: failed ?? "no header" };
  const [track] = info.tracks;
  const samples = file.getTrackSamplesInfo(track.id);
  return { codec: track.codec, samples: samples.length, sizes: samples.map((sample) => sample.size) };
}

/** CODECS of each variant against what another muxer library computes from the headers. */
async function mp4box() {
  const complaints = [];
  const master = text("master.m3u8").split("\n");
  for (const [index, line] of master.entries()) {
    if (!line.startsWith("#EXT-X-STREAM-INF:")) continue;
    const rendition = master[index + 1].replace(/\.m3u8$/, "");
    if (!existsSync(join(folder, `${rendition}.m3u8`))) continue;
    const names = text(`${rendition}.m3u8`).split("\n").filter((name) => name && !name.startsWith("#"));
    const found = await boxesOf(rendition, names);
    if (found.failed) {
      complaints.push(`${rendition}: ${found.failed}`);
      continue;
    }
    const stated = /CODECS="([^"]*)"/.exec(line)?.[1].split(",") ?? [];
    // The short form of AV1's string leaves out what is at its default.
    const same = (codec) => codec.toLowerCase() === found.codec.toLowerCase()
      || found.codec.toLowerCase().startsWith(`${codec.toLowerCase()}.0.110.01.01.01.0`);
    if (!stated.some(same)) complaints.push(`${rendition}: CODECS ${stated}, boxes ${found.codec}`);
    if (found.samples === 0) complaints.push(`${rendition}: no samples`);
  }
  return complaints;
}

const programs = { "hls-parser": hlsParser, mp4box };
if (!programs[program] || !folder || !existsSync(join(folder, "master.m3u8"))) {
  console.error("usage: node opinion.mjs hls-parser|mp4box FOLDER");
  process.exit(2);
}
for (const complaint of await programs[program]()) console.log(complaint);
