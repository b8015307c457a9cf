// The viewer: which page is shown, who is signed in, which edge serves.

import { onSignIn } from "./api.js";
import { fill, h } from "./dom.js";
import { currentEdge, learn, onMove, watchEdges } from "./edges.js";
import { showFeed } from "./feed.js";
import { showPurchases } from "./purchases.js";
import { accountButton } from "./signin.js";
import { showStory } from "./story.js";
import { synchronise } from "./time.js";

const main = document.getElementById("main");
let leave = () => {};

async function route() {
  leave();
  leave = () => {};
  // Each visit has a place of its own: a former page that is late fills what is no longer shown.
  const place = h("div");
  fill(main, place);
  const [, page, id] = location.hash.split("?")[0].split("/");
  const pages = { story: showStory, purchases: showPurchases };
  const show = pages[page] ?? showFeed;
  try {
    const end = (await show(place, id)) ?? (() => {});
    if (place.isConnected) leave = end;
    else end();
  } catch (problem) {
    fill(place, h("h1", "That did not work"), h("p.message", problem.message), h("p", h("a", { href: "#/" }, "To the stories")));
  }
}

function showAccount() {
  fill(document.getElementById("account"), accountButton());
}

async function showEdge() {
  const edges = await learn();
  const own = edges.find((edge) => URL.canParse(edge.publicUrl) && new URL(edge.publicUrl).origin === currentEdge());
  const others = edges.length - (own ? 1 : 0);
  const name = own ? `Served by edge ${own.edge} (${own.region})` : "Served by an edge";
  fill(document.getElementById("edge"), `${name}${own && !own.takesBids ? ", takes no bids now" : ""}; ${others} more in the cluster.`);
}

onSignIn(() => {
  showAccount();
  route();
});
addEventListener("hashchange", async () => {
  await route();
  main.focus();
});
showAccount();
onMove(() => showEdge().catch(() => null));
watchEdges();
// Before anything is shown: whoever has no other edge to go to stays with a lost one.
await Promise.all([synchronise().catch(() => null), showEdge().catch(() => null)]);
await route();
