// What a buyer has won: pay, follow the parcel, confirm that it came.

import { get, post, signIn } from "./api.js";
import { at } from "./edges.js";
import { fill, formatInstant, formatMoney, formatSpan, h } from "./dom.js";
import { askToSignIn } from "./signin.js";
import { millisecondsUntil } from "./time.js";

const orderStates = {
  awaitingShipment: "paid, waiting for the maker to ship",
  inTransit: "on its way",
  delivered: "delivered",
  completed: "completed",
  cancelled: "cancelled",
};

function lockRow(lock) {
  const message = h("p.message", { role: "alert" });
  const pay = async (event) => {
    event.target.disabled = true;
    fill(message);
    try {
      // Back to an edge that is there.
      const returnUrl = at("/#/purchases");
      const answer = await post(`/v1/sale-locks/${lock.saleLockId}/checkout`, { returnUrl, cancelUrl: returnUrl });
      if (answer.url) location.assign(answer.url);
      else fill(message, "The payment page is being made; please try again in a moment.");
    } catch (problem) {
      if (problem.code === "SESSION_ACTIVE" && lock.checkoutUrl) location.assign(lock.checkoutUrl);
      else fill(message, problem.message);
    } finally {
      event.target.disabled = false;
    }
  };
  return h(
    "li.panel",
    h("h3", formatMoney(lock)),
    h("p", `Pay within ${formatSpan(millisecondsUntil(lock.expiresAt))}. `, h("a", { href: `#/story/${lock.storyId}` }, "The piece")),
    h("p.actions", h("button.primary.pay", { type: "button", onClick: pay }, "Pay")),
    message,
  );
}

function orderRow(order, again) {
  const message = h("p.message", { role: "alert" });
  const confirm = async () => {
    try {
      await post(`/v1/orders/${order.orderId}/confirm-delivery`);
      await again();
    } catch (problem) {
      fill(message, problem.message);
    }
  };
  const cancel = async () => {
    try {
      await post(`/v1/orders/${order.orderId}/cancel`);
      await again();
    } catch (problem) {
      fill(message, problem.message);
    }
  };
  const canConfirm = order.role === "buyer" && !order.onHold && ["inTransit", "delivered"].includes(order.state);
  const canCancel = order.role === "buyer" && order.mayCancel;
  return h(
    "li.panel.order",
    { "data-state": order.state },
    h("h3", `${order.number} · ${formatMoney(order)}`),
    h("p", orderStates[order.state] ?? order.state, order.tracking ? `, ${order.tracking.carrier} ${order.tracking.number}` : ""),
    h("p.quiet", `Paid ${formatInstant(order.paidAt)}`),
    order.overdue && order.state === "awaitingShipment" && h("p", "Not shipped in time."),
    order.onHold && h("p", "An issue is open; nothing is completed before it is settled."),
    canConfirm && h("p.actions", h("button", { type: "button", onClick: confirm }, order.state === "inTransit" ? "It has arrived" : "All is well")),
    canCancel && h("p.actions", h("button", { type: "button", onClick: cancel }, "Cancel, money back")),
    message,
  );
}

/** Shows the purchases in `place`; returns what ends it. */
export async function showPurchases(place) {
  document.title = "Purchases · Fairground";
  if (!signIn() && !(await askToSignIn())) {
    fill(place, h("h1", "Purchases"), h("p", "Sign in to see them."));
    return undefined;
  }
  const locksPart = h("section");
  const ordersPart = h("section");
  const load = async () => {
    const [{ locks }, { orders }] = await Promise.all([get("/v1/users/me/payments"), get("/v1/orders")]);
    const open = locks.filter((lock) => lock.state === "pending");
    fill(locksPart, open.length ? h("ul.rows", open.map(lockRow)) : h("p.quiet", "Nothing to pay."));
    fill(ordersPart, orders.length ? h("ul.rows", orders.map((order) => orderRow(order, load))) : h("p.quiet", "No orders yet."));
  };
  fill(place, h("h1", "Purchases"), h("h2", "To pay"), locksPart, h("h2", "Orders"), ordersPart);
  await load();
  const timer = setInterval(() => load().catch(() => null), 5000);
  return () => clearInterval(timer);
}
