// The documents of edge and member against running processes: a client is generated from the edge's,
// type-checked and walked from sign-in to a paid order; then both are compared answer by answer.
//
// FAIRGROUND_BIN names the binary, FAIRGROUND_SCHEMATHESIS the program (left out: skipped). `--only
// client` or `--only contract` runs one half; `--seconds N` is the budget of each comparison. Read next:
// `walk.ts` for the path, `contract.mjs` for the comparison.

import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { startDemo } from "../browser/demo.mjs";
import { assert, Checks, until } from "../browser/runner.mjs";
import { bidBytes, makeKeys, signatureOf } from "../../node/web/signed.js";
import { contract } from "./contract.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const generated = join(here, "generated");
const option = (name) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : null);
const only = option("--only");
const seconds = Number(option("--seconds") ?? 60);
const checks = new Checks("client");
const run = promisify(execFile);

async function getJson(url, token) {
  const response = await fetch(url, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  assert(response.ok, `${url} answered ${response.status}`);
  return response.json();
}

async function codeFor(demo, address, notBefore) {
  return until(`a code for ${address}`, async () => {
    const answer = await getJson(`${demo.inbox.replace(/\/$/, "")}/mail?to=${encodeURIComponent(address)}`);
    const fresh = (answer?.messages ?? []).filter((mail) => Date.parse(mail.receivedAt) >= notBefore - 1000);
    return fresh.map((mail) => /\b\d{6}\b/.exec(`${mail.subject} ${mail.text}`)?.[0]).find(Boolean) ?? null;
  });
}

async function signIn(demo, url, address) {
  const post = async (path, body) => {
    const response = await fetch(`${url}${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    assert(response.ok, `${path} answered ${response.status}`);
    return response.json();
  };
  const asked = Date.now();
  await post("/v1/auth/otp/request", { identifier: address, channel: "email" });
  const code = await codeFor(demo, address, asked);
  return (await post("/v1/auth/otp/verify", { identifier: address, code })).accessToken;
}

/** Pays on the provider's page. */
async function payAt(url) {
  const shown = await fetch(url);
  assert(shown.ok, `the payment page answered ${shown.status}`);
  const form = new URLSearchParams({ card: "4242 4242 4242 4242", action: "pay" });
  const paid = await fetch(url, { method: "POST", body: form, redirect: "manual" });
  assert(paid.status < 400, `the payment page answered ${paid.status}`);
}

async function compile(edge) {
  rmSync(generated, { recursive: true, force: true });
  mkdirSync(generated, { recursive: true });
  const document = await getJson(`${edge}/openapi.json`);
  const frozen = JSON.parse(readFileSync(join(here, "../golden/openapi/openapi_edge.json"), "utf8"));
  assert(JSON.stringify(document) === JSON.stringify(frozen), "the edge serves another document than the frozen one");
  writeFileSync(join(generated, "edge.json"), JSON.stringify(document));
  const tool = (name) => join(here, "node_modules/.bin", name);
  await run(tool("openapi-typescript"), [
    join(generated, "edge.json"),
    "--default-non-nullable=false",
    "--output",
    join(generated, "edge.d.ts"),
  ]);
  copyFileSync(join(here, "walk.ts"), join(generated, "walk.ts"));
  await run(tool("tsc"), ["--project", here]).catch((error) => {
    throw new Error(error.stdout || error.message);
  });
}

async function client(demo) {
  const edge = demo.viewers[0];
  const compiled = "a client is generated from the edge's document and type-checked";
  await checks.check(compiled, { within: 120_000 }, () => compile(edge));
  let last = compiled;
  const step = async (name, action) => {
    await checks.check(name, { needs: [last], within: 120_000 }, action);
    last = name;
  };
  const market = {
    edge,
    payAt,
    codeFor: (address, notBefore) => codeFor(demo, address, notBefore),
    device: async () => {
      const keys = await makeKeys(crypto.subtle);
      const signBid = (bid) => signatureOf(crypto.subtle, { ...keys, keyId: bid.keyId }, bidBytes(bid));
      return { algorithm: keys.algorithm, publicKey: keys.publicKey, signBid };
    },
    until: (what, look) => until(what, look, 90_000),
  };
  if (!existsSync(join(generated, "out/walk.js"))) return checks.skip("the generated client's walk", "it was not compiled");
  const { walk } = await import(pathToFileURL(join(generated, "out/walk.js")));
  return walk(market, step);
}

/** What all routes share, where no document says it. */
async function manners(demo) {
  const [edge, other] = demo.viewers;
  const ask = (path, init) => fetch(`${edge}${path}`, init);
  const preflight = (origin, path = "/v1/feed") =>
    ask(path, { method: "OPTIONS", headers: { Origin: origin, "Access-Control-Request-Method": "GET" } });
  await checks.check("pages of our edges and nobody else's read answers", {}, async () => {
    const ours = await preflight(other);
    assert(ours.headers.get("access-control-allow-origin") === other, "another edge's page is shut out");
    const foreign = await preflight("https://elsewhere.example");
    assert(foreign.status === 204 && !foreign.headers.has("access-control-allow-origin"), "a foreign page is let in");
    const media = await preflight("https://elsewhere.example", "/p/x/y/1/master.m3u8");
    assert(media.headers.get("access-control-allow-origin") === "*", "media is not open");
  });
  await checks.check("addresses without a version are answered as those with it", {}, async () => {
    for (const path of ["/stories", `/auctions/${demo.auctionId}/bids`, "/media/uploadSession"]) {
      const answer = await ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
      const problem = await answer.json();
      assert(problem.code === "AUTH_REQUIRED" && problem.instance === path, `${path}: ${JSON.stringify(problem)}`);
    }
    assert((await ask(`/media/${demo.assetId}/playback`)).ok, "no playback without a version");
    assert((await ask("/feed")).status === 404, "an address that was never published is answered");
  });
  await checks.check("answers tell browsers not to guess", {}, async () => {
    const headers = (await ask("/v1/feed")).headers;
    assert(headers.get("x-content-type-options") === "nosniff", "types may be guessed");
    assert(headers.get("content-security-policy")?.includes("frame-ancestors 'none'"), "answers may be framed");
  });
  await checks.check("bad input is refused by its code and names the field", {}, async () => {
    const token = await signIn(demo, edge, "buyer-13@client.example");
    const bid = async (body, headers = { "Idempotency-Key": crypto.randomUUID() }) => {
      const answer = await ask(`/v1/auctions/${demo.auctionId}/bids`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}`, ...headers },
        body,
      });
      const problem = await answer.json();
      return [problem.code, problem.fields?.[0]?.field ?? null].join(" ");
    };
    const money = (text) => `{"currency": "EUR", ${text}}`;
    for (const [body, wanted] of [
      [money('"amountMinor": 100.5'), "VALIDATION_FAILED amountMinor"],
      [money('"amountMinor": 1e4'), "VALIDATION_FAILED amountMinor"],
      [money('"amountMinor": "100"'), "VALIDATION_FAILED amountMinor"],
      [money('"amountMinor": 0'), "AMOUNT_OUT_OF_RANGE amountMinor"],
      [money('"amountMinor": -5'), "AMOUNT_OUT_OF_RANGE amountMinor"],
      [money('"amountMinor": 99999999999999999999'), "AMOUNT_OUT_OF_RANGE amountMinor"],
      [money('"amount": "1.005"'), "VALIDATION_FAILED amount"],
      [money('"amount": 100'), "VALIDATION_FAILED amount"],
      [money('"amount": "100.00", "amountMinor": 10000'), "VALIDATION_FAILED amount"],
      [money('"amountMinor": 10000, "tip": 1'), "VALIDATION_FAILED tip"],
      ['{"currency": "XXX", "amountMinor": 10000}', "VALIDATION_FAILED currency"],
      ['{"currency": "USD", "amountMinor": 10000}', "CURRENCY_MISMATCH "],
      ["{", "VALIDATION_FAILED "],
    ]) {
      const seen = await bid(body);
      assert(seen === wanted, `${body}: ${seen}, not ${wanted}`);
    }
    const nameless = await bid(money('"amountMinor": 10000'), {});
    assert(nameless === "IDEMPOTENCY_KEY_REQUIRED ", `without a key: ${nameless}`);
    const other = await ask("/v1/auctions/auc_00000000000000000000000000/bids?cursor=AAAA");
    assert((await other.json()).code === "CURSOR_EXPIRED", "a forged cursor is read");
  });
}

// What would end the sign-in of the run, or its account, or move the clock by a year.
const ENDING = ["signOut", "signOutEverywhere", "deleteAccount", "advanceClock"];

const ids = (rows, name) => (rows ?? []).map((row) => row[name]).filter(Boolean);

/** Ids of what there is, so that not every question is about nothing. */
async function known(demo, token) {
  const edge = demo.viewers[0];
  const mine = async (path, list) => (await getJson(`${edge}${path}`, token))[list];
  const feed = await mine("/v1/feed", "items");
  const locks = await mine("/v1/users/me/payments", "locks");
  const orders = await mine("/v1/orders", "orders");
  return {
    story: [...new Set([demo.storyId, ...ids(feed, "storyId")])],
    auction: [...new Set([demo.auctionId, ...ids(locks, "auctionId")])],
    asset: [demo.assetId, ...ids(feed, "primaryAssetId")],
    lock: ids(locks, "saleLockId"),
    payment: ids(locks, "saleLockId"),
    order: ids(orders, "orderId"),
  };
}

function verdict({ code, text }) {
  const lines = text.split("\n");
  const summary = lines.findIndex((line) => /= SUMMARY =/.test(line));
  console.log(lines.slice(summary < 0 ? -40 : summary).join("\n"));
  if (code !== 0) {
    const failures = lines.findIndex((line) => /= (FAILURES|ERRORS) =/.test(line));
    console.log(lines.slice(failures < 0 ? -120 : failures, failures < 0 ? undefined : failures + 200).join("\n"));
  }
  assert(code === 0, `schemathesis ended with ${code}`);
}

async function compare(demo) {
  const program = process.env.FAIRGROUND_SCHEMATHESIS;
  const names = ["every answer of the edge is in its document", "every answer of a member is in its document"];
  if (!program) {
    for (const name of names) checks.skip(name, "schemathesis is not installed");
    return;
  }
  const patience = { within: (seconds * 2 + 90) * 1000 };
  let there = { story: [demo.storyId], auction: [demo.auctionId] };
  await checks.check(names[0], patience, async () => {
    const url = demo.viewers[0];
    const token = await signIn(demo, url, "buyer-12@client.example");
    there = await known(demo, token);
    // Ending the sign-in would end the run's own.
    verdict(
      await contract({ program, url, token, exclude: ENDING, seconds, folder: join(generated, "edge"), known: there }),
    );
  });
  await checks.check(names[1], patience, async () => {
    const url = demo.console.replace(/\/$/, "");
    const token = await signIn(demo, url, demo.adminAddress);
    verdict(
      await contract({ program, url, token, exclude: ENDING, seconds, folder: join(generated, "member"), known: there }),
    );
  });
}

async function main() {
  const binary = process.env.FAIRGROUND_BIN;
  assert(binary, "FAIRGROUND_BIN is not set; `make test` sets it");
  const demo = await startDemo(binary, ["--bots", "1", "--bot-budget", "30", "--auction", "20s"]);
  try {
    if (only !== "contract") {
      await manners(demo);
      await client(demo);
    }
    if (only !== "client") await compare(demo);
  } finally {
    const { ended, files, said } = await demo.stop();
    await checks.check("the processes end and leave nothing behind", {}, async () => {
      assert(ended?.code === 0 && files.length === 0, `${JSON.stringify(ended)} ${files} ${said.slice(-5).join(" / ")}`);
    });
  }
}

try {
  await main();
} catch (error) {
  checks.fail("the run", error);
}
process.exitCode = checks.finish() ? 0 : 1;
