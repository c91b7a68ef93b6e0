// Which hubs are there, who is connected, what is refused?

import { get } from "/kit/api.js";
import { fill, h, said } from "/kit/element.js";
import { empty, every, panel, renew, trouble, view } from "/kit/parts.js";
import { plot } from "/kit/plot.js";
import { to } from "/kit/route.js";
import { table } from "/kit/table.js";
import { count } from "/kit/words.js";
import { lines, telemetry } from "./telemetry.js";

const READ_MS = 2000;
const POINTS_MAX = 150; // five minutes
const SHOWN = 8;

const sum = (counts) => Object.values(counts).reduce((all, n) => all + n, 0);
const number = (value, label) => h("li", null, h("span", { class: "value" }, count(value)), h("span", { class: "label" }, label));
const tally = (label, counts, nothing) => {
  const rows = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  return rows.length ? table(label, [{ name: "what", cell: ([what]) => said(what, { max: 60 }) }, { name: "times", kind: "number", cell: ([, n]) => count(n) }], rows, nothing) : empty(nothing);
};

export const show = ({ signal }) => {
  const [numbers, hubs, refused, c2d, problem] = [h("ul", { class: "numbers" }), h("div"), h("div"), h("div"), h("div")];
  const rate = plot({ label: "Telemetry, messages a second", say: (v) => v.toFixed(1), lines: [{ name: "accepted", kind: "one" }] });
  let [points, before] = [[], null];
  every(READ_MS, async () => {
    try {
      const found = await get("/api/overview", {}, signal);
      fill(problem);
      fill(numbers, number(found.messages_total, "messages accepted"), number(found.hubs.reduce((n, hub) => n + hub.devices, 0), "devices"), number(found.hubs.reduce((n, hub) => n + hub.connected, 0), "connected"),
        number(found.registrations, "registered here"), number(found.amqp.now, "AMQP connections"), number(found.mqtt.now, "MQTT connections"), number(sum(found.hub_refused) + sum(found.dps_refused), "calls refused"));
      renew(hubs, table("Hubs", [
        { name: "hub", cell: (hub) => h("a", { class: "mono", href: to(["devices"], { hub: hub.hub }) }, said(hub.hub)) },
        { name: "devices", kind: "number", cell: (hub) => count(hub.devices) }, { name: "connected", kind: "number", cell: (hub) => count(hub.connected) },
      ], found.hubs, "No hub."));
      fill(refused, tally("Refused calls", { ...found.hub_refused, ...Object.fromEntries(Object.entries(found.dps_refused).map(([code, n]) => [`DPS ${code}`, n])) }, "Nothing was refused."));
      fill(c2d, tally("Messages to devices", found.c2d, "None was sent. Choose a device, and send it one."));
      if (before && found.now_ms > before.now_ms) points = [...points.slice(1 - POINTS_MAX), [found.now_ms, ((found.messages_total - before.messages_total) * 1000) / (found.now_ms - before.now_ms)]];
      before = found;
      rate.set(points);
    } catch (error) { if (error.name !== "AbortError") fill(problem, trouble(error)); }
  }, signal);
  const last = h("div");
  telemetry((messages) => renew(last, lines(messages.slice(0, SHOWN))), signal);
  return view("Overview", problem, numbers, panel(null, rate.node), h("div", { class: "columns three" }, panel("Hubs", hubs), panel("Refused calls", refused), panel("Messages to devices", c2d)), panel("Last telemetry", last));
};
