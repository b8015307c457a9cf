// Calls to the daemon that served the page, or wherever `reachThrough` sends them: tokens, problems
// (RFC 9457), idempotency keys.

const storageKey = "fairground.signIn";
const listeners = new Set();
let reach = (path, request) => fetch(path, request);

/** An answer with a problem document. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `status ${status}`);
    this.status = status;
    this.code = body.code || "INTERNAL";
    this.body = body;
  }
}

/** Who is signed in: `{ accessToken, refreshToken, user }`, or null. */
export function signIn() {
  try {
    return JSON.parse(localStorage.getItem(storageKey));
  } catch {
    return null;
  }
}

/** Keeps or forgets the sign-in and tells everyone who listens. */
export function setSignIn(value) {
  if (value) localStorage.setItem(storageKey, JSON.stringify(value));
  else localStorage.removeItem(storageKey);
  listeners.forEach((listener) => listener(value));
}

/** Calls `listener` whenever the sign-in changes. */
export function onSignIn(listener) {
  listeners.add(listener);
}

/** Sends every call through `other`, which takes a path and what `fetch` takes. */
export function reachThrough(other) {
  reach = other;
}

/** A new name for an intent. One intent keeps its key over every retry. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function send(method, path, { body, key, headers } = {}) {
  const current = signIn();
  const all = { Accept: "application/json", ...headers };
  if (body !== undefined) all["Content-Type"] = "application/json";
  if (current) all.Authorization = `Bearer ${current.accessToken}`;
  if (method !== "GET") all["Idempotency-Key"] = key ?? newKey();
  const answer = await reach(path, { method, headers: all, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  let parsed = {};
  try {
    parsed = text ? JSON.parse(text) : {};
  } catch {
    parsed = { detail: text.slice(0, 200) };
  }
  if (!answer.ok) throw new Problem(answer.status, parsed);
  return { status: answer.status, body: parsed };
}

let refreshing = null;

async function refresh() {
  const current = signIn();
  if (!current) return false;
  refreshing ??= send("POST", "/v1/auth/refresh", { body: { refreshToken: current.refreshToken } })
    .then(({ body }) => setSignIn(body))
    .finally(() => {
      refreshing = null;
    });
  try {
    await refreshing;
    return true;
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 401) setSignIn(null);
    return false;
  }
}

/** Sends a request; an access token that has expired is renewed once. */
export async function call(method, path, options = {}) {
  const key = options.key ?? newKey();
  try {
    return await send(method, path, { ...options, key });
  } catch (problem) {
    const expired = problem instanceof Problem && problem.code === "TOKEN_EXPIRED";
    if (expired && (await refresh())) return send(method, path, { ...options, key });
    throw problem;
  }
}

/** The body of a GET. */
export async function get(path) {
  return (await call("GET", path)).body;
}

/** The body of a POST. */
export async function post(path, body = {}, options = {}) {
  return (await call("POST", path, { body, ...options })).body;
}
