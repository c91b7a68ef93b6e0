// What views are put together from.

import { fill, h, said } from "./element.js";
import { ago, clock, date } from "./words.js";

export const view = (title, ...children) => h("div", { class: "view" }, h("h1", null, title), children);

export const panel = (title, ...children) => h("section", { class: "panel" }, title && h("h2", null, title), children);

export const empty = (text) => h("p", { class: "empty" }, text);

export const trouble = (problem, again) => h("div", { class: "trouble", role: "alert" },
  h("p", null, h("strong", null, problem.title ? `${problem.title.replaceAll("_", " ")}: ` : ""), said(problem.message, { max: 400 })),
  again && h("button", { type: "button", onclick: again }, "Try again"));

// A word with a colour; the word alone says it too.
const KINDS = {
  good: ["attached", "delivered", "open", "enabled", "connected", "works", "yes"],
  busy: ["attaching", "registering", "being_sent", "waiting", "leased", "warn", "held", "retried", "resting"],
  bad: ["buried", "refused", "down", "page", "disabled", "refuses_many", "denied", "failed", "dropped"],
};
export const badge = (word, kind) => {
  const known = kind ?? Object.keys(KINDS).find((name) => KINDS[name].includes(word)) ?? "plain";
  return h("span", { class: `badge ${known}` }, String(word).replaceAll("_", " "));
};

// Names and values; what is not known is left out.
export const facts = (pairs) => h("dl", { class: "facts" },
  pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) =>
    h("div", null, h("dt", null, name), h("dd", null, value))));

// A time that goes on being right.
export const moment = (at, otherwise = "never") => at === null || at === undefined
  ? h("span", { class: "faint" }, otherwise)
  : h("time", { datetime: new Date(at).toISOString(), title: `${date(at)} ${clock(at)}`, "data-at": at }, ago(at));

setInterval(() => {
  for (const node of document.querySelectorAll("time[data-at]")) {
    const text = ago(Number(node.dataset.at));
    if (node.textContent !== text) node.textContent = text;
  }
}, 1000);

// Drawn anew, but not under somebody who is about to follow a link in it.
export const renew = (node, ...children) => {
  const held = document.activeElement;
  const isInside = node !== held && node.contains(held);
  if (isInside && !held.matches(".scroll")) return;
  fill(node, children);
  if (isInside) node.querySelector(".scroll")?.focus({ preventScroll: true });
};

export const button = (text, onclick, kind) => h("button", { type: "button", class: kind, onclick }, text);

export const field = (label, input, hint) => h("label", { class: "field" }, h("span", null, label), input, hint && h("small", null, hint));

export const choice = (options, chosen, attributes) => h("select", attributes,
  options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));

// Calls once nothing more has come for a moment.
export const settled = (call, ms = 220) => {
  let timer;
  return (...all) => { clearTimeout(timer); timer = setTimeout(() => call(...all), ms); };
};

// Calls now and then while the view is shown and seen.
export const every = (ms, call, signal) => {
  call();
  const timer = setInterval(() => { if (!document.hidden) call(); }, ms);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
};

// JSON with lines and steps, and everything else as it stands there: 1.50 stays 1.50.
const indented = (text) => {
  if (text.length > 100000) return text;
  try { JSON.parse(text); } catch { return text; } // none, or cut
  let [lines, depth] = ["", 0];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gu)) {
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    const opened = lines.endsWith("{") || lines.endsWith("[");
    if (lines && opened !== closes && (opened || closes)) lines += `\n${"  ".repeat(depth)}`;
    lines += token;
    if (token === "{" || token === "[") depth += 1;
    if (token === ",") lines += `\n${"  ".repeat(depth)}`;
    if (token === ":") lines += " ";
  }
  return lines;
};

// A body as text; JSON with its lines.
export const body = (text) => h("pre", { class: "body", tabindex: "0", role: "region", "aria-label": "body" }, said(indented(String(text)), { max: 20000, lines: true }));

// What `load` gives drawn into a node, and drawn anew when it is asked for again.
export const loaded = (load, draw, signal) => {
  const node = h("div", { "aria-busy": "true" }, h("p", { class: "faint" }, "Reading …"));
  const again = async () => {
    try {
      const found = await load();
      if (!signal.aborted) fill(node, draw(found, again));
    } catch (error) {
      if (error.name !== "AbortError" && !signal.aborted) node.replaceChildren(trouble(error, again));
    }
    node.removeAttribute("aria-busy");
  };
  again();
  return node;
};
