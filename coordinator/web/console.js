// The console: cluster, stories that wait for approval, auctions, orders, transcode jobs.

import { get, onSignIn, post, signIn } from "./api.js";
import { fill, formatInstant, formatMoney, formatSpan, h } from "./dom.js";
import { accountButton, askToSignIn } from "./signin.js";

const main = document.getElementById("main");
let timer = null;
// Counts the pages opened: what a former one was still fetching is not shown over the next.
let visit = 0;

function table(caption, heads, rows, empty) {
  if (!rows.length) return h("p.quiet", empty);
  return h(
    "div.scroll",
    h(
      "table",
      h("caption", caption),
      h("thead", h("tr", heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", rows.map((cells) => h("tr", cells.map((cell) => h("td", cell))))),
    ),
  );
}

function cluster(status) {
  const members = status.members.map((row) => [
    `m${row.member}${row.member === status.leader ? " (leader)" : ""}`,
    row.address,
    row.reachable ? h("span.good", "reachable") : h("span.bad", "silent"),
    row.appliedIndex ?? "–",
    h("code", (row.digest ?? "").slice(0, 12)),
  ]);
  const edges = status.edges.map((row) => [
    row.edge,
    row.region,
    h("a", { href: row.publicUrl }, row.publicUrl),
    row.takesBids ? h("span.good", "takes bids") : h("span.bad", "takes no bids"),
    row.inIntake ? "in intake" : "outside",
    `${row.feedLagEntries ?? "–"} entries`,
  ]);
  const outbox = Object.entries(status.outbox ?? {});
  return [
    h("h1", "Cluster"),
    h("p", `Log index ${status.appliedIndex}, term ${status.term}, ${status.openAuctions} open ${status.openAuctions === 1 ? "auction" : "auctions"}.`),
    table("Members", ["Member", "Address", "State", "Applied", "Digest"], members, "No members."),
    table("Edges", ["Edge", "Region", "Address", "Bids", "Closes", "Behind"], edges, "No edge has joined."),
    h("h2", "Outbox"),
    outbox.length ? h("ul", outbox.map(([kind, count]) => h("li", `${kind}: ${count}`))) : h("p.quiet", "Empty."),
  ];
}

function reviewRow(story) {
  const message = h("p.message", { role: "alert" });
  const notes = h("input", { id: `notes-${story.storyId}`, maxlength: 1000 });
  const decide = (path, body) => async () => {
    try {
      await post(`/v1/admin/stories/${story.storyId}/${path}`, body());
      await route();
    } catch (problem) {
      fill(message, problem.message);
    }
  };
  return h(
    "li.panel",
    { "data-story": story.storyId },
    h("h2", story.draft.title),
    h("p", story.draft.shortDescription),
    h("p.quiet", `${story.makerHandle ?? "a maker"} · from ${formatMoney(story.draft.minimumOffer)} · ${story.draft.clips.length} clip(s)`),
    h("p", story.draft.overview),
    h("p", h("label", { for: `notes-${story.storyId}` }, "Notes (a rejection needs them)"), notes),
    h(
      "p.actions",
      h("button.primary.approve", { type: "button", onClick: decide("approve", () => ({})) }, "Approve"),
      h("button.reject", { type: "button", onClick: decide("reject", () => ({ notes: notes.value })) }, "Reject"),
    ),
    message,
  );
}

async function clusterPage() {
  return cluster(await get("/v1/admin/status"));
}

async function storiesPage() {
  const { stories } = await get("/v1/admin/stories?state=submitted");
  return [h("h1", "Stories to review"), stories.length ? h("ul.rows", stories.map(reviewRow)) : h("p.quiet", "Nothing waits.")];
}

async function auctionsPage() {
  const { auctions } = await get("/v1/admin/auctions?limit=100");
  const rows = auctions.map((row) => [
    h("code", row.auctionId),
    row.status,
    formatMoney(row.highest),
    row.bidCount,
    row.status === "open" ? `${formatSpan(new Date(row.closesAt) - Date.now())} left` : formatInstant(row.closesAt),
    row.unheardEdges?.join(", ") || "all",
  ]);
  return [h("h1", "Auctions"), table("Auctions", ["Auction", "State", "Highest", "Bids", "Closes", "Edges heard"], rows, "No auction yet.")];
}

async function ordersPage() {
  const { orders } = await get("/v1/admin/orders?limit=100");
  const rows = orders.map((row) => [row.number, row.state, formatMoney(row), formatInstant(row.paidAt), row.overdue ? h("span.bad", "overdue") : ""]);
  return [h("h1", "Orders"), table("Orders", ["Number", "State", "Amount", "Paid", ""], rows, "No order yet.")];
}

const jobStates = { queued: "waits", leased: "being made", failed: "failed", done: "done" };
// The page is built anew while it is read: jobs whose tool's words are shown, and what the last request
// to do one again came to.
const unfolded = new Set();
let requeued = null;

function jobProgress({ progress }) {
  if (!progress) return "–";
  const { stage, doneFrames, totalFrames, fpsMilli, etaMs } = progress;
  const percent = Math.floor((100 * doneFrames) / Math.max(totalFrames, 1));
  const pace = fpsMilli ? `, ${(fpsMilli / 1000).toFixed(1)} frames/s` : "";
  const left = etaMs === undefined ? "" : `, ${formatSpan(etaMs)} left`;
  return [
    h("progress", { value: doneFrames, max: Math.max(totalFrames, 1), "aria-label": `${stage} of this clip` }),
    h("span.quiet", ` ${stage} ${percent} %${pace}${left}`),
  ];
}

function jobReason(job) {
  const why = job.reason ?? "";
  if (!job.detail) return why;
  const onToggle = ({ target }) => (target.open ? unfolded.add(job.assetId) : unfolded.delete(job.assetId));
  return h("details", { open: unfolded.has(job.assetId), onToggle }, h("summary", why), h("pre", job.detail));
}

function requeueButton(job) {
  if (job.state !== "failed") return "";
  const again = async () => {
    try {
      await post(`/v1/admin/jobs/${job.assetId}/requeue`, { reason: "from the console" });
      requeued = { asset: job.assetId, text: "is done again" };
    } catch (problem) {
      requeued = { asset: job.assetId, text: problem.message };
    }
    await route();
  };
  return h("button.requeue", { type: "button", "aria-label": `Do ${job.assetId} again`, onClick: again }, "Do again");
}

async function jobsPage() {
  const { jobs } = await get("/v1/admin/jobs");
  const rows = jobs.map((job) => [
    h("code", job.assetId),
    job.state === "failed" ? h("span.bad", jobStates.failed) : jobStates[job.state],
    job.edge ?? job.failedWorkers.join(", "),
    jobProgress(job),
    job.attempts,
    jobReason(job),
    requeueButton(job),
  ]);
  return [
    h("h1", "Jobs"),
    h("p.message", { role: "status" }, requeued && `${requeued.asset} ${requeued.text}`),
    table("Clips in the making", ["Clip", "State", "Worker", "Progress", "Attempts", "Why it failed", "Again"], rows, "Nothing is being made, and nothing has failed."),
  ];
}

// Each page by its address: what builds its content, and the milliseconds after which it is built anew.
const pages = { stories: [storiesPage, 0], auctions: [auctionsPage, 2000], orders: [ordersPage, 5000], jobs: [jobsPage, 2000], "": [clusterPage, 2000] };

function failure(problem) {
  return [h("h1", "Console"), h("p.message", problem.message), !signIn() && h("p", h("button.primary", { type: "button", onClick: askToSignIn }, "Sign in as an admin"))];
}

async function route() {
  clearInterval(timer);
  const [page, period] = pages[location.hash.split("/")[1] ?? ""] ?? pages[""];
  const current = ++visit;
  const show = async () => {
    const content = await page().catch(failure);
    if (current === visit) fill(main, content);
  };
  await show();
  if (period && current === visit) timer = setInterval(show, period);
}

function showAccount() {
  fill(document.getElementById("account"), accountButton());
}

onSignIn(() => {
  showAccount();
  route();
});
addEventListener("hashchange", route);
showAccount();
route();
