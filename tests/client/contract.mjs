// Asks a daemon what its document allows and what it forbids, and compares each answer with the
// document: schemathesis, with state, in a bounded time. A 503 that the document names is an answer;
// any other fault is not.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HOOKS = join(dirname(fileURLToPath(import.meta.url)), "hooks.py");
// What a random text almost never is: real ids of the market that is running.
const PROBABILITY = 0.7;

function quoted(values) {
  return `[${values.map((value) => JSON.stringify(value)).join(", ")}]`;
}

/** The configuration; `known` maps names of parameters in paths to real ids. */
function configuration({ token, known, seconds }) {
  const names = Object.entries(known).filter(([, values]) => values.length > 0);
  const dictionaries = names.map(([name, values]) => `[dictionaries.${name}]\nvalues = ${quoted(values)}`);
  const bindings = names.map(([name]) => `"path.${name}" = { dictionary = "${name}", probability = ${PROBABILITY} }`);
  return `max-time = ${seconds}
continue-on-failure = true
request-timeout = 30
hooks = ${JSON.stringify(HOOKS)}
# The live stream has no end.
max-stream-events = 1
warnings = false
seed = 20260

[auth.openapi.bearer]
bearer = ${JSON.stringify(token)}

[generation]
max-examples = 15
allow-x00 = false
no-shrink = true

[checks]
# What is well formed may still be refused: the rules of the market are in no schema.
positive_data_acceptance.enabled = false
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
# A refusal is a refusal, whichever comes first.
negative_data_rejection.expected-statuses = ["4xx", "503"]
missing_required_header.expected-statuses = ["4xx", "503"]

${dictionaries.join("\n\n")}

[parameters]
${bindings.join("\n")}
`;
}

/** Runs it; resolves to its exit code and what it said. */
export function contract({ program, url, folder, exclude, ...rest }) {
  mkdirSync(folder, { recursive: true });
  const config = join(folder, "schemathesis.toml");
  writeFileSync(config, configuration(rest));
  const excluded = exclude.flatMap((name) => ["--exclude-operation-id", name]);
  const child = spawn(program, ["--config-file", config, "run", `${url}/openapi.json`, "--url", url, ...excluded], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1", PYTHONUNBUFFERED: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece) => said.push(piece));
  // Twice the budget and a little: then something hangs.
  const late = setTimeout(() => child.kill("SIGKILL"), (rest.seconds * 2 + 60) * 1000);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(late);
      const text = Buffer.concat(said).toString();
      writeFileSync(join(folder, "said.txt"), text);
      resolve({ code, text });
    });
  });
}
