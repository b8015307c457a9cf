// The token in the addresses of a playback: exchanged before it expires, and once more when it has.
//
// Every address of a playback begins with its token, and a player keeps those that it read first. So
// they are rewritten as they are asked for, and the player never learns of it. A renewed token is of the
// same playback, so nothing counts as watched twice.

import { post } from "./api.js";

// Tokens live for half an hour at least; the person's clock may be wrong.
const renewAfterMsMax = 24 * 60_000;
const renewAfterMsMin = 60_000;
// What failed is not asked for again by every segment.
const patienceMs = 30_000;

/** Addresses below a token: `/p/{token}/...`. */
const place = 2;
const isBelowToken = (parts) => parts[1] === "p" && parts.length > place;

/** The tokens of what is played; `follow` says what that is. */
export class Tokens {
  #id = null;
  #current = null;
  #all = new Set();
  #renewAt = Infinity;
  #pending = null;

  /** Goes on with another playback, as the API answered it. */
  follow(answer) {
    this.#id = answer.playbackId;
    this.#all = new Set();
    this.#pending = null;
    this.#take(answer);
  }

  /** `pathname` with the newest token, if it is of this playback; asks for the next one in time. */
  newest(pathname) {
    const parts = pathname.split("/");
    if (!isBelowToken(parts) || !this.#all.has(parts[place])) return pathname;
    if (Date.now() > this.#renewAt) {
      this.#renewAt = Date.now() + patienceMs;
      this.renew().catch(() => null);
    }
    parts[place] = this.#current;
    return parts.join("/");
  }

  /** Gets the next token; several who ask at a time get the same one. */
  renew() {
    if (this.#pending) return this.#pending;
    const id = this.#id;
    const asked = post(`/v1/playback/${id}/renew`, { token: this.#current });
    const pending = asked.then((answer) => {
      // Another playback may have begun meanwhile.
      if (id === this.#id) this.#take(answer);
    });
    this.#pending = pending;
    const done = () => {
      if (this.#pending === pending) this.#pending = null;
    };
    pending.then(done, done);
    return pending;
  }

  #take(answer) {
    this.#current = answer.url.split("/")[place];
    this.#all.add(this.#current);
    const left = 0.8 * (Date.parse(answer.expiresAt) - Date.now());
    this.#renewAt = Date.now() + Math.min(Math.max(left, renewAfterMsMin), renewAfterMsMax);
  }
}
