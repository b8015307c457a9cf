// Elements, numbers and instants for both pages. Text is always set as text, never parsed as HTML.

/** Makes an element: `h("a.button", { href }, "text", child)`; `on*` attributes are listeners. */
export function h(selector, ...rest) {
  const [tag, ...classes] = selector.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const part of rest.flat(Infinity)) {
    if (part === null || part === undefined || part === false) continue;
    if (part instanceof Node) element.append(part);
    else if (typeof part === "object") setAttributes(element, part);
    else element.append(String(part));
  }
  return element;
}

function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
}

/** Replaces everything inside `element`. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const exponents = { JPY: 0, KWD: 3 };

/** Digits after the decimal mark of a currency (ISO 4217). */
export function exponentOf(currency) {
  return exponents[currency] ?? 2;
}

/** An amount for people, in the reader's own notation. */
export function formatMoney(money) {
  if (!money) return "–";
  const digits = exponentOf(money.currency);
  return new Intl.NumberFormat(undefined, {
    style: "currency",
    currency: money.currency,
    minimumFractionDigits: digits,
  }).format(money.amountMinor / 10 ** digits);
}

/** Reads what a person typed as minor units, exactly; null when it is no amount. */
export function parseMinor(text, currency) {
  const digits = exponentOf(currency);
  const match = /^\s*(\d{1,9})(?:[.,](\d+))?\s*$/.exec(text);
  if (!match || (match[2] ?? "").length > digits) return null;
  return Number(match[1] + (match[2] ?? "").padEnd(digits, "0"));
}

/** Minor units as the text of an input field. */
export function toInput(minor, currency) {
  const digits = exponentOf(currency);
  const text = String(minor).padStart(digits + 1, "0");
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** A length of time for people: `2 d 3 h`, `4 min 05 s`. */
export function formatSpan(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  if (minutes > 0) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${seconds} s`;
}

/** An instant in the reader's zone. */
export function formatInstant(text) {
  return text ? new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(new Date(text)) : "–";
}
