// This browser as a device: a key that cannot be taken out of it, kept in IndexedDB, registered with each
// sign-in, and every bid and offer signed with it.

import { call, onSignIn, post, signIn } from "./api.js";
import { bidBytes, makeKeys, offerBytes, signatureOf } from "./signed.js";
import { serverNow } from "./time.js";

const installationKey = "fairground.installation";
const validForMs = 120_000;

function installation() {
  let name = localStorage.getItem(installationKey);
  if (!name) {
    name = crypto.randomUUID();
    localStorage.setItem(installationKey, name);
  }
  return name;
}

function asked(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode, action) {
  const opening = indexedDB.open("fairground", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
  const database = await asked(opening);
  try {
    return await asked(action(database.transaction("keys", mode).objectStore("keys")));
  } finally {
    database.close();
  }
}

const keyOf = (user) => store("readonly", (keys) => keys.get(user)).catch(() => null);

async function register(user) {
  // The key of the sign-in before counts no more.
  await store("readwrite", (keys) => keys.delete(user));
  const known = await makeKeys(crypto.subtle);
  const { deviceId } = await post("/v1/devices/register", { installationId: installation(), platform: "web" });
  const { body } = await call("PUT", `/v1/devices/${deviceId}/key`, {
    body: { algorithm: known.algorithm, publicKey: known.publicKey },
  });
  const { algorithm, privateKey } = known;
  const key = { algorithm, privateKey, keyId: body.keyId, clusterId: body.clusterId };
  await store("readwrite", (keys) => keys.put(key, user));
  return key;
}

let registering = Promise.resolve(null);

// A page without a secure context, or a market whose rules know no signatures, bids as it did before.
function begin(current) {
  if (!current || !crypto.subtle || !globalThis.indexedDB) return;
  registering = register(current.user.userId).catch(() => null);
}

let signedInAs = signIn()?.user.userId;
onSignIn((current) => {
  // A renewed token is the same sign-in, and the same key.
  const user = current?.user.userId;
  if (user && user !== signedInAs) begin(current);
  signedInAs = user;
});

async function signed(body, { key, target, bytesOf }) {
  const userId = signIn()?.user.userId;
  await registering;
  const device = userId && crypto.subtle ? await keyOf(userId) : null;
  if (!device) return body;
  const validUntil = new Date(serverNow() + validForMs).toISOString();
  const bytes = bytesOf({ ...body, clusterId: device.clusterId, target, userId, key, validUntil, keyId: device.keyId });
  return { ...body, validUntil, signature: await signatureOf(crypto.subtle, device, bytes) };
}

/** The body of a bid, with this device's signature where it has a key. */
export function signedBid(auctionId, key, body) {
  return signed(body, { key, target: auctionId, bytesOf: bidBytes });
}

/** The body of an offer, likewise. */
export function signedOffer(storyId, key, body) {
  return signed(body, { key, target: storyId, bytesOf: offerBytes });
}
