// Where messages go and where they come from: health, pace, and the day's allowance.

import { get } from "/kit/api.js";
import { h, s, said } from "/kit/element.js";
import { badge, empty, every, facts, moment, panel, renew, trouble, view } from "/kit/parts.js";
import { to } from "/kit/route.js";
import { table } from "/kit/table.js";
import { clock, count, decimal, duration } from "/kit/words.js";
import { mono } from "./names.js";

const READ_MS = 3000;

// Used so far, and by midnight if it goes on like this, against what the hub allows.
const meter = (units) => {
  const of = Math.max(units.allowance, units.forecast_end_of_day ?? 0, 1);
  const part = (n) => (100 * Math.min(n, of)) / of;
  const [used, end] = [part(units.used), part(units.forecast_end_of_day ?? units.used)];
  const over = part(units.allowance);
  return h("div", { class: "meter" }, s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "more", width: end, height: 8 }), s("rect", { width: used, height: 8 }), over < 100 && s("rect", { class: "over", x: over, width: 100 - over, height: 8 })));
};

const quota = (units) => {
  if (!units) return null;
  const used = `${count(units.used)} units of 4 KB on ${units.day} (UTC)${units.counted_since ? `, counted since ${clock(units.counted_since)}` : ""}`;
  const end = units.forecast_end_of_day !== null && units.forecast_end_of_day !== undefined ? `; about ${count(units.forecast_end_of_day)} by midnight` : "";
  if (!units.allowance) return h("p", { class: "small faint" }, `${used}${end}. No allowance is configured (daily_units).`);
  const share = (100 * units.used) / units.allowance;
  return h("div", null, meter(units), h("p", { class: "small" }, `${used} of ${count(units.allowance)} (${decimal(share)} %)${end}. `,
    units.runs_out_at ? badge(`runs out at ${clock(units.runs_out_at).slice(0, 5)}`, "bad") : badge("enough for today", "good")));
};

const known = (n) => (n === null || n === undefined ? null : count(n));

const hub = (one) => h("div", { class: "hub" },
  h("div", { class: "head" }, h("h3", null, mono(one.hub)), h("span", null, badge(one.open ? "open" : "down"), " ", one.refuses_many && badge("refuses many", "bad"))),
  facts([
    ["transport", one.transport], ["connections", known(one.connections)], ["devices attached", known(one.attached)],
    ["opening", one.opening ? count(one.opening) : null], ["not yet answered", known(one.unsettled)], ["resting", count(one.resting)],
    ["pace", one.pace_per_second ? `${count(one.pace_per_second)} a second` : "unlimited"],
  ]), quota(one.units));

const line = (progress) => progress && facts([
  ["registering", `${count(progress.under_way)} of ${count(progress.under_way + progress.waiting + progress.waiting_ahead)} in line`],
  ["done", count(progress.done)], ["pace", progress.per_minute ? `${count(progress.per_minute)} a minute` : "unlimited"],
  ["left", progress.seconds_left !== null && progress.seconds_left !== undefined ? duration(progress.seconds_left * 1000) : null],
  ["service", progress.denies_many ? badge("denies many", "bad") : badge(progress.works ? "works" : "down")],
]);

const target = (one) => panel(null,
  h("div", { class: "head" }, h("h2", null, said(one.name)), h("span", { class: "faint small" }, one.kind)),
  facts([["endpoint", one.endpoint && mono(one.endpoint)], ["id scope", one.id_scope && mono(one.id_scope)], ["routes", one.routes.length ? one.routes.map((r) => typeof r === "string" ? r : JSON.stringify(r)).join("; ") : "none leads here"], ["devices assigned", count(one.assigned)]]),
  one.provisioning && [h("h3", null, "New devices"), line(one.provisioning)],
  one.hubs.length ? one.hubs.map(hub) : empty("No hub yet: the first device that is assigned names one."));

const networks = (rows) => panel("Networks and applications", table("Networks", [
  { name: "application", cell: (n) => h("a", { href: to(["devices"], { network: n.network, application: n.application }) }, said(n.application ?? "–", { max: 60 })) },
  { name: "network", cell: (n) => said(n.network, { max: 60 }) },
  { name: "a minute", kind: "number", cell: (n) => decimal(n.per_minute) },
  { name: "accepted", kind: "number", cell: (n) => count(n.accepted), wide: true },
  { name: "devices", kind: "number", cell: (n) => count(n.devices) },
  { name: "frames missed", kind: "number", cell: (n) => count(n.missed), wide: true },
  { name: "last", cell: (n) => moment(n.last_at) },
], rows, "Nothing has come in since this process started."));

export const show = ({ signal }) => {
  const body = h("div", { "aria-busy": "true" });
  every(READ_MS, async () => {
    try {
      const found = await get("/api/v1/targets", {}, signal);
      renew(body, found.targets.length ? found.targets.map(target) : empty("No target is configured."), networks(found.networks));
    } catch (error) { if (error.name !== "AbortError") body.replaceChildren(trouble(error)); }
    body.removeAttribute("aria-busy");
  }, signal);
  return view("Targets and networks", body);
};
