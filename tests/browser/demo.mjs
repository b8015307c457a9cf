// Starts `fairground demo --json` as a child, reads where it listens, and ends it.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const READY_MS = 240_000;
const STOP_MS = 30_000;

/**
 * Starts the demo; resolves when it serves. `folderOf(NAME)` is where one of its daemons keeps everything,
 * `kill(NAME)` ends it as a power cut would, `stop()` resolves to what the demo left behind.
 */
export async function startDemo(binary, options) {
  const scratch = mkdtempSync(join(tmpdir(), "fairground-browser-"));
  const child = spawn(binary, ["demo", "--json", ...options], {
    env: { ...process.env, TMPDIR: scratch },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
  const said = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    said.push(line);
    if (said.length > 40) said.shift();
  });

  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) => {
      try {
        resolve(JSON.parse(line));
      } catch {
        reject(new Error(`the demo's first line is not JSON: ${line}`));
      }
    });
    child.once("error", (error) => reject(new Error(`cannot start ${binary}: ${error.message}`)));
    exit.then(({ code, signal }) => reject(new Error(`the demo ended early (${code ?? signal}):\n${said.join("\n")}`)));
    setTimeout(() => reject(new Error(`the demo did not serve in ${READY_MS} ms:\n${said.join("\n")}`)), READY_MS).unref();
  });

  async function stop() {
    child.kill("SIGINT");
    const late = new Promise((resolve) => setTimeout(() => resolve(null), STOP_MS).unref());
    const ended = await Promise.race([exit, late]);
    if (ended === null) child.kill("SIGKILL");
    const files = readdirSync(scratch);
    rmSync(scratch, { recursive: true, force: true });
    return { ended, files, said };
  }

  function folderOf(name) {
    const [folder] = readdirSync(scratch).filter((entry) => entry.startsWith("fairground-demo-"));
    return join(scratch, folder, name);
  }

  function kill(name) {
    const { pid } = JSON.parse(readFileSync(join(folderOf(name), "ready.json"), "utf8"));
    process.kill(pid, "SIGKILL");
  }

  try {
    return { ...(await ready), folderOf, kill, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
