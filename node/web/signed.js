// The bytes that a device signs of a bid or an offer (docs: internals/formats.md). Nothing here knows a
// page, a key or a network: the same file signs in a browser and in the tests of a client.

const DIGITS = "0123456789abcdefghjkmnpqrstvwxyz";
const text = new TextEncoder();

/** The 16 bytes of an id such as `auc_01...`. */
export function idBytes(id) {
  const letters = id.slice(id.indexOf("_") + 1);
  let value = 0n;
  for (const letter of letters) value = (value << 5n) | BigInt(DIGITS.indexOf(letter));
  return bigEndian(value, 16);
}

function bigEndian(value, length) {
  const bytes = new Uint8Array(length);
  let rest = BigInt(value);
  for (let place = length - 1; place >= 0; place -= 1) {
    bytes[place] = Number(rest & 255n);
    rest >>= 8n;
  }
  return bytes;
}

function joined(...parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}

// BLAKE3 of at most one chunk (1,024 bytes), in its key derivation mode: a command id needs no more.

const IV = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
const ORDER = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const [CHUNK_START, CHUNK_END, ROOT, CONTEXT, MATERIAL] = [1, 2, 8, 32, 64];

function compress(chain, block, length, flags) {
  const state = Uint32Array.from([...chain, ...IV.slice(0, 4), 0, 0, length, flags]);
  const turn = (word, bits) => (word >>> bits) | (word << (32 - bits));
  const mix = (a, b, c, d, x, y) => {
    state[a] = state[a] + state[b] + x;
    state[d] = turn(state[d] ^ state[a], 16);
    state[c] += state[d];
    state[b] = turn(state[b] ^ state[c], 12);
    state[a] = state[a] + state[b] + y;
    state[d] = turn(state[d] ^ state[a], 8);
    state[c] += state[d];
    state[b] = turn(state[b] ^ state[c], 7);
  };
  let words = block;
  for (let round = 0; round < 7; round += 1) {
    mix(0, 4, 8, 12, words[0], words[1]);
    mix(1, 5, 9, 13, words[2], words[3]);
    mix(2, 6, 10, 14, words[4], words[5]);
    mix(3, 7, 11, 15, words[6], words[7]);
    mix(0, 5, 10, 15, words[8], words[9]);
    mix(1, 6, 11, 12, words[10], words[11]);
    mix(2, 7, 8, 13, words[12], words[13]);
    mix(3, 4, 9, 14, words[14], words[15]);
    words = ORDER.map((place) => words[place]);
  }
  return state.slice(0, 8).map((word, place) => word ^ state[place + 8]);
}

function chunk(key, bytes, mode) {
  if (bytes.length > 1024) throw new RangeError("more than one chunk");
  let chain = key;
  const blocks = Math.max(1, Math.ceil(bytes.length / 64));
  for (let number = 0; number < blocks; number += 1) {
    const part = bytes.slice(number * 64, number * 64 + 64);
    const padded = joined(part, new Uint8Array(64 - part.length));
    const words = Array.from({ length: 16 }, (_, place) => new DataView(padded.buffer).getUint32(place * 4, true));
    const first = number === 0 ? CHUNK_START : 0;
    const last = number === blocks - 1 ? CHUNK_END | ROOT : 0;
    chain = compress(chain, words, part.length, mode | first | last);
  }
  return chain;
}

/** BLAKE3's `derive_key`. */
export function deriveKey(context, material) {
  const key = chunk(IV, text.encode(context), CONTEXT);
  const words = chunk(key, material, MATERIAL);
  const bytes = new Uint8Array(32);
  words.forEach((word, place) => new DataView(bytes.buffer).setUint32(place * 4, word, true));
  return bytes;
}

/** The command that an `Idempotency-Key` gives: `operation` is `bid` or `offer`, `target` the id in the path. */
export function commandId(user, key, operation, target) {
  const parts = [idBytes(user).reverse(), text.encode(key), text.encode(operation), text.encode(target)];
  const sized = parts.flatMap((part) => [bigEndian(part.length, 8).reverse(), part]);
  return deriveKey("fairground 2026 command id v1", joined(...sized));
}

function begin({ kind, clusterId, target, userId, key, amountMinor, currency, validUntil, keyId }) {
  return joined(
    text.encode("fairground-signed-bid-v1"),
    Uint8Array.of(kind === "bid" ? 1 : 2),
    idBytes(clusterId),
    idBytes(target),
    idBytes(userId),
    commandId(userId, key, kind, target),
    bigEndian(amountMinor, 8),
    text.encode(currency),
    bigEndian(Date.parse(validUntil), 8),
    idBytes(keyId),
  );
}

/** What a device signs of a bid; `target` is the auction. */
export function bidBytes(bid) {
  return joined(begin({ ...bid, kind: "bid" }), bigEndian(bid.maximumMinor ?? 0, 8));
}

/** What a device signs of an offer; `target` is the story. */
export function offerBytes(offer) {
  const note = text.encode(offer.note ?? "");
  const country = text.encode(offer.shipToCountry ?? "");
  const wishes = [bigEndian(note.length, 2), note, bigEndian(country.length, 1), country];
  return joined(begin({ ...offer, kind: "offer" }), Uint8Array.of(offer.bidIfOpen ? 1 : 0), ...wishes);
}

/** Base64url without padding. */
export function base64url(bytes) {
  const letters = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return letters.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** How a key of either algorithm signs, by WebCrypto. */
export const ALGORITHMS = {
  ed25519: { make: { name: "Ed25519" }, sign: { name: "Ed25519" } },
  p256: { make: { name: "ECDSA", namedCurve: "P-256" }, sign: { name: "ECDSA", hash: "SHA-256" } },
};

/** A pair of keys that never leaves this device: Ed25519 where it is known, else P-256. */
export async function makeKeys(subtle) {
  for (const [algorithm, { make }] of Object.entries(ALGORITHMS)) {
    try {
      const pair = await subtle.generateKey(make, false, ["sign", "verify"]);
      const publicKey = base64url(await subtle.exportKey("raw", pair.publicKey));
      return { algorithm, privateKey: pair.privateKey, publicKey };
    } catch (problem) {
      if (algorithm === "p256") throw problem;
    }
  }
  return null;
}

/** The member `signature` of a request. */
export async function signatureOf(subtle, { algorithm, privateKey, keyId }, bytes) {
  const value = await subtle.sign(ALGORITHMS[algorithm].sign, privateKey, bytes);
  return { keyId, value: base64url(value) };
}
