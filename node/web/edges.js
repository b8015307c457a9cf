// Which edge serves this page now, and another one when it no longer answers. Every edge answers the
// same calls with the same tokens, so whatever is asked can be asked elsewhere.
//
// What one part of the page learns counts for all: calls, video and the live stream go where `at()`
// says. Tries are bounded, and who moves picks by load from two at random: the viewers of a lost edge
// do not all go to the same one.

import { get, reachThrough } from "./api.js";

// As long as hls.js keeps a failed pathway out.
const penaltyMs = 300_000;
// Longer than any answer that we ask to wait for.
const patienceMs = 20_000;
// The cluster takes a refresh token that was used once more, within ten seconds; later it is theft.
const refreshPath = "/v1/auth/refresh";
const refreshPatienceMs = 4_000;
const checkMs = 5_000;
const refreshMs = 60_000;
const triesMax = 3;
// A segment that is one stream too many: the device that was used before stops within ten seconds.
const streamWaitMs = 2_000;
const streamWaitsMax = 7;
// Silence that a player gave up before its own time limit, to ask for fewer bits.
const silentMs = 3_000;

let current = location.origin;
let known = [];
const lostAt = new Map();
const listeners = new Set();

const isLost = (origin) => Date.now() - (lostAt.get(origin) ?? -Infinity) < penaltyMs;

/** The address of `path` at the edge that serves us now. */
export function at(path) {
  return new URL(path, current).href;
}

/** The edge that serves us now, as an origin. */
export function currentEdge() {
  return current;
}

/** Calls `listener` whenever another edge serves us; returns what ends that. */
export function onMove(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** An edge that is not among `tried`, or null when that is enough. */
function another(tried) {
  if (tried.size >= triesMax) return null;
  if (!tried.has(current)) return current;
  const left = known.filter((edge) => !tried.has(edge.origin));
  const fit = left.filter((edge) => !isLost(edge.origin));
  const serving = fit.filter((edge) => edge.servesVideo);
  const among = [serving, fit].find((some) => some.length) ?? [];
  if (among.length) {
    const draw = () => among[Math.floor(Math.random() * among.length)];
    const [one, other] = [draw(), draw()];
    return (one.loadPermille <= other.loadPermille ? one : other).origin;
  }
  // All were lost, perhaps with our own network: the longest lost is the likeliest to be back.
  left.sort((one, other) => lostAt.get(one.origin) - lostAt.get(other.origin));
  return left[0]?.origin ?? null;
}

function move() {
  const next = another(new Set([current]));
  if (!next) return;
  current = next;
  listeners.forEach((listener) => listener(current));
}

/** Says that an edge does not answer; if it served us, another one does from now on. */
export function lost(origin) {
  lostAt.set(origin, Date.now());
  if (origin === current) move();
}

/** Where `url` is tried first: as it stands, unless its edge is lost. */
function placed(url) {
  const { origin } = new URL(url);
  return isLost(origin) ? current : origin;
}

/** The code of a refusal, from the request that hls.js hands out. */
function codeOf(request) {
  try {
    const { response } = request;
    return JSON.parse(typeof response === "string" ? response : new TextDecoder().decode(response)).code;
  } catch {
    return null;
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms * (0.5 + Math.random())));

/** What `fetch` does, at the edge that serves us; at another when it does not answer. */
async function reach(path, request) {
  const tried = new Set();
  let refused = null;
  for (let origin = current; ; origin = another(tried)) {
    if (origin === null) return refused;
    tried.add(origin);
    try {
      const patience = path === refreshPath ? refreshPatienceMs : patienceMs;
      const answer = await fetch(new URL(path, origin), { ...request, signal: AbortSignal.timeout(patience) });
      // What one edge declines (it takes no bids now) another may take, under the same key.
      if (answer.status !== 503 || refused) return answer;
      refused = answer;
      if (another(tried) === null) return answer;
    } catch (error) {
      lost(origin);
      if (path === refreshPath && tried.size > 1) throw error;
      if (!refused && another(tried) === null) throw error;
      await pause(200);
    }
  }
}

/** Makes sure that our edge still answers, and moves if it does not. */
export async function check() {
  const origin = current;
  try {
    const answer = await fetch(at("/v1/time"), { cache: "no-store", signal: AbortSignal.timeout(checkMs) });
    await answer.body?.cancel();
  } catch {
    lost(origin);
  }
}

/** Reads the list of edges. */
export async function learn() {
  const { edges } = await get("/v1/edges");
  const reachable = edges.filter((edge) => URL.canParse(edge.publicUrl));
  known = reachable.map((edge) => ({ ...edge, origin: new URL(edge.publicUrl).origin }));
  // An edge that is drained says so while it still serves.
  const isLeaving = known.some((edge) => edge.origin === current && !edge.servesVideo);
  if (isLeaving && known.some((edge) => edge.servesVideo && !isLost(edge.origin))) move();
  return edges;
}

/** Keeps the list of edges. */
export function watchEdges() {
  setInterval(() => learn().catch(() => null), refreshMs * (0.75 + Math.random() / 2));
}

/**
 * A loader for hls.js that asks another edge for what one does not give: the player goes on with what
 * it has and never learns of it. Nor does it learn of tokens that expire, which `tokens` exchanges.
 * `Inner` is the loader that does the work.
 */
export function loaderThrough(Inner, tokens) {
  return class {
    constructor(config) {
      this.config = config;
      this.inner = new Inner(config);
      // The player keeps a reference to these from the beginning.
      this.stats = this.inner.stats;
      this.context = null;
      this.place = null;
      this.isRenewed = false;
      this.waits = 0;
      this.isAborted = false;
    }

    load(context, config, callbacks) {
      this.context = context;
      this.attempt(config, callbacks, placed(context.url), new Set());
    }

    attempt(config, callbacks, origin, tried) {
      const { context } = this;
      const { pathname, search } = new URL(context.url);
      const path = tokens.newest(pathname) + search;
      this.place = origin;
      tried.add(origin);
      // Where there is another edge it is asked at once; the last one is asked as the policy says.
      const isLast = another(tried) === null;
      const loadPolicy = isLast ? config.loadPolicy : { ...config.loadPolicy, timeoutRetry: null, errorRetry: null };
      const elsewhere = (isSilent, report) => {
        if (isSilent) lost(origin);
        const next = another(tried);
        if (this.inner === null || next === null) return report();
        this.renew();
        return this.attempt(config, callbacks, next, tried);
      };
      const onceMore = (report) => {
        if (this.inner === null) return undefined;
        if (this.isAborted) return report();
        this.renew();
        return this.attempt(config, callbacks, origin, new Set());
      };
      const around = { ...callbacks };
      around.onSuccess = (response, stats, _, details) => callbacks.onSuccess(response, stats, context, details);
      around.onError = (error, _, details, stats) => {
        const report = () => callbacks.onError(error, context, details, stats);
        // Not found here may be found there; a token that is refused is refused everywhere.
        if (error.code === 0 || error.code === 404 || error.code >= 500) elsewhere(error.code === 0, report);
        else if (error.code === 401 && !this.isRenewed) {
          this.isRenewed = true;
          tokens.renew().then(() => onceMore(report), report);
        } else if (error.code === 403 && this.waits < streamWaitsMax && codeOf(details) === "STREAM_LIMIT") {
          this.waits += 1;
          pause(streamWaitMs).then(() => onceMore(report));
        } else report();
      };
      around.onTimeout = (stats, _, details) => elsewhere(true, () => callbacks.onTimeout(stats, context, details));
      if (callbacks.onAbort) around.onAbort = (stats, _, details) => callbacks.onAbort(stats, context, details);
      if (callbacks.onProgress) around.onProgress = (stats, _, data, details) => callbacks.onProgress(stats, context, data, details);
      this.inner.load({ ...context, url: new URL(path, origin).href }, { ...config, loadPolicy }, around);
    }

    /** Another inner loader with the same figures, for each can be used once. */
    renew() {
      const { inner, stats } = this;
      inner.destroy();
      this.inner = new Inner(this.config);
      this.inner.stats = stats;
      stats.loading.start = 0;
      stats.aborted = false;
    }

    abort() {
      const { first, start } = this.stats.loading;
      this.isAborted = true;
      if (start && !first && performance.now() - start > silentMs) lost(this.place);
      this.inner?.abort();
    }

    destroy() {
      this.inner?.destroy();
      this.inner = null;
      this.context = null;
    }

    getCacheAge() {
      return this.inner?.getCacheAge() ?? null;
    }

    getResponseHeader(name) {
      return this.inner?.getResponseHeader(name) ?? null;
    }
  };
}

reachThrough(reach);
