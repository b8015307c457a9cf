// Named checks in sequence: each prints `ok NAME`, `not ok NAME REASON` or `skip NAME REASON`.

export class Checks {
  #results = new Map();
  #name;

  constructor(name = "browser") {
    this.#name = name;
  }

  /** Runs one check; it is skipped when one that it needs did not pass. */
  async check(name, { needs = [], within = 60_000 } = {}, action) {
    const broken = needs.find((need) => this.#results.get(need) !== "passed");
    if (broken) return this.skip(name, `needs ${broken}`);
    let timer;
    const deadline = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done in ${within} ms`)), within);
    });
    try {
      await Promise.race([action(), deadline]);
      this.#results.set(name, "passed");
      console.log(`ok ${name}`);
    } catch (error) {
      this.fail(name, error);
    } finally {
      clearTimeout(timer);
    }
    return undefined;
  }

  fail(name, error) {
    this.#results.set(name, "failed");
    console.log(`not ok ${name} ${String(error.message).split("\n").slice(0, 3).join(" / ")}`);
  }

  skip(name, reason) {
    this.#results.set(name, "skipped");
    console.log(`skip ${name} ${reason}`);
  }

  /** Prints the last line; true when nothing failed. */
  finish() {
    const count = (wanted) => [...this.#results.values()].filter((result) => result === wanted).length;
    console.log(`${this.#name}: ${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
    return count("failed") === 0;
  }
}

/** Asks until the answer is not null, undefined or false; the deadline is an error that names it. */
export async function until(what, ask, within = 30_000) {
  const ends = Date.now() + within;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== undefined && answer !== false) return answer;
    if (Date.now() > ends) throw new Error(`${what} did not happen in ${within} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export function assert(claim, text) {
  if (!claim) throw new Error(text);
}
