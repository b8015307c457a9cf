// The viewer's mark: a minute and a code that only the market can read. It lies over the video and moves,
// so that a recording of the screen carries it and no corner can be cut off to lose it.
//
// It deters: whoever owns a browser can take anything off a page. What is taken off or changed comes
// back, and the video stops. It must not know what the text means.

const movesEveryMs = 6_000;
const checksEveryMs = 1_000;
// Between what was taken off and its return: two scripts that undo each other must leave time to others.
const returnsInMs = 200;
const lineShare = 0.035;
const lineMin = 11;
const opacity = 0.4;

/** Numbers from 0 to 1 that a text decides (FNV-1a, then mulberry32). */
function drawsOf(text) {
  let state = 0x811c9dc5;
  for (const character of text) state = Math.imul(state ^ character.codePointAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const lineOf = (screen) => Math.max(lineMin, Math.round(screen.clientHeight * lineShare));

/** A canvas with the text in lines of that height. */
function drawn(text, line) {
  const canvas = document.createElement("canvas");
  const scale = globalThis.devicePixelRatio || 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const write = () => {
    context.font = `600 ${line}px ui-monospace, monospace`;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = line / 6;
  };
  write();
  const [width, tall] = [Math.ceil(context.measureText(text).width) + line, Math.ceil(line * 1.5)];
  [canvas.width, canvas.height] = [Math.ceil(width * scale), Math.ceil(tall * scale)];
  // The size of a canvas resets what was set before.
  context.scale(scale, scale);
  write();
  // Light with a dark edge, for any ground.
  context.strokeStyle = "#000";
  context.fillStyle = "#fff";
  context.strokeText(text, line / 2, tall / 2);
  context.fillText(text, line / 2, tall / 2);
  canvas.setAttribute("aria-hidden", "true");
  return { canvas, context, line, width, tall };
}

/** Lays `text` over `video`, inside the element that holds it; returns what ends that. */
export function markOver(video, text) {
  const screen = video.parentElement;
  const draw = drawsOf(text);
  let made = null;
  let place = [draw(), draw()];
  let style = "";
  let returning = null;

  const put = () => {
    const { canvas, width, tall } = made;
    // Its own share of the way to the other side, so it is always wholly inside; above the controls.
    const [x, y] = [place[0] * 100, place[1] * 85];
    canvas.style.cssText = [
      "all: initial", "display: block", "position: absolute", "pointer-events: none", "z-index: 1",
      `width: ${width}px`, `height: ${tall}px`, `opacity: ${opacity}`, "max-width: 100%",
      `left: ${x}%`, `top: ${y}%`, `transform: translate(${-x}%, ${-y}%)`,
    ].map((rule) => `${rule} !important;`).join("");
    style = canvas.style.cssText;
  };
  const show = () => {
    const former = made?.canvas;
    made = drawn(text, lineOf(screen));
    put();
    former?.remove();
    screen.append(made.canvas);
  };
  const move = () => {
    place = [draw(), draw()];
    put();
  };
  const isWhole = () => {
    const { canvas, context } = made;
    if (canvas.parentNode !== screen || video.parentNode !== screen || canvas.style.cssText !== style) return false;
    // A page that is left, or whose video has no size, shows no mark either.
    if (!screen.isConnected || screen.clientHeight === 0) return true;
    const seen = getComputedStyle(canvas);
    if (seen.display === "none" || seen.visibility !== "visible" || Number(seen.opacity) < opacity / 2) return false;
    if (canvas.width === 0 || canvas.height === 0 || canvas.clientWidth === 0) return false;
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value, at) => at % 4 === 3 && value > 0);
  };
  const check = () => {
    if (isWhole()) return;
    video.pause();
    returning ??= setTimeout(() => {
      returning = null;
      show();
    }, returnsInMs);
  };

  show();
  const mutations = new MutationObserver(check);
  mutations.observe(screen, { attributes: true, childList: true, subtree: true });
  const sizes = new ResizeObserver(() => {
    if (made.line !== lineOf(screen)) show();
  });
  sizes.observe(screen);
  const timers = [setInterval(move, movesEveryMs), setInterval(check, checksEveryMs)];
  video.addEventListener("play", check);
  return () => {
    mutations.disconnect();
    sizes.disconnect();
    timers.forEach(clearInterval);
    clearTimeout(returning);
    video.removeEventListener("play", check);
    made.canvas.remove();
  };
}

/** Shows the whole screen of a video, with its mark; the browser's own button would leave that behind. */
export function wholeScreen(video) {
  const screen = video.parentElement;
  if (document.fullscreenElement) return document.exitFullscreen();
  return screen.requestFullscreen?.();
}

/** Takes ways out of a video that would leave its mark behind, where a browser lets a page do that. */
export function keepInside(video) {
  video.setAttribute("controlslist", "nofullscreen noremoteplayback nodownload");
  video.disablePictureInPicture = true;
  video.disableRemotePlayback = true;
  video.addEventListener("fullscreenchange", () => {
    if (document.fullscreenElement !== video) return;
    document.exitFullscreen().then(() => wholeScreen(video)).catch(() => null);
  });
}
