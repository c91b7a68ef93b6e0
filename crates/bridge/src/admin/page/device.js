// One device: where it lives, how it is heard, what it sent last.

import { below, get, post } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { done } from "/kit/dialog.js";
import { badge, button, empty, every, facts, loaded, moment, panel, renew, view } from "/kit/parts.js";
import { plot } from "/kit/plot.js";
import { to } from "/kit/route.js";
import { table } from "/kit/table.js";
import { clock, count, date, decimal, duration } from "/kit/words.js";
import { hubName, messageLink, mono, signal as shownSignal } from "./names.js";

const MESSAGES = 20;

const where = (device) => device.names.length ? device.names.map((name) => h("div", { class: "hub" },
  h("div", { class: "head" }, h("h3", null, mono(name.registration_id)),
    name.refused ? badge(name.refused.class, "bad") : name.registering ? badge("registering") : badge(name.link && name.link !== "none" ? name.link : name.hub ? "assigned" : "unassigned")),
  facts([
    ["hub", name.hub && mono(name.hub)], ["device id there", name.device_id && mono(name.device_id)], ["link", name.link],
    ["scope", mono(name.scope)], ["targets", name.targets.join(", ")], ["assigned", name.assigned_at && moment(name.assigned_at)],
    ["group key", name.group_key], ["asked again", name.refused && moment(name.refused.until)], ["refused", name.refused && `${name.refused.times} times`],
    ["cause", name.refused && said(name.refused.cause, { max: 400 })],
  ]))) : empty("It has no name in Azure yet.");

const radio = (heard) => {
  const receptions = heard.receptions;
  if (!receptions.length) return empty("Nothing was heard since this process started.");
  const dbm = plot({ label: "Signal (RSSI), dBm", low: null, whole: true, dots: true, height: 130, say: (v) => `${v} dBm`, lines: [{ name: "RSSI", kind: "one" }] });
  const snr = plot({ label: "Signal to noise, dB", low: null, whole: true, dots: true, height: 130, say: (v) => `${decimal(v)} dB`, lines: [{ name: "SNR", kind: "two" }] });
  const first = [...receptions].sort((a, b) => a.at - b.at);
  dbm.set(first.map((r) => [r.at, r.rssi_dbm]));
  snr.set(first.map((r) => [r.at, r.snr_db]));
  const rows = [...first].reverse();
  return [h("div", { class: "columns" }, dbm.node, snr.node),
    table("Last receptions", [
      { name: "heard", cell: (r) => h("span", { title: date(r.at) }, clock(r.at)) },
      { name: "signal", cell: shownSignal },
      { name: "SNR, dB", kind: "number", cell: (r) => decimal(r.snr_db) },
      { name: "SF", kind: "number", cell: (r) => count(r.spreading_factor) },
      { name: "gateways", kind: "number", cell: (r) => count(r.gateways), wide: true },
      { name: "counter", kind: "number", cell: (r) => count(r.f_cnt) },
    ], rows, "")];
};

const sent = (messages) => table("Its last messages", [
  { name: "message", cell: (m) => messageLink(m.message_id ?? m.seq, m.message_id ?? `#${m.seq}`) },
  { name: "kind", cell: (m) => said(m.kind), wide: true },
  { name: "state", cell: (m) => badge(m.state) },
  { name: "hub", cell: (m) => hubName(m.hub), wide: true },
  { name: "attempts", kind: "number", cell: (m) => count(m.attempts), wide: true },
  { name: "took", kind: "number", cell: (m) => duration(m.took_ms) },
], messages, "None that is remembered.");

export const show = ({ parts: [, network, application, device], signal }) => {
  const of = { network, application, device };
  const at = below("/api/v1/devices", network, application, device);
  const retry = button("Retry now", (event) => done(event.target, async () => {
    const { woken } = await post(`${at}/retry`);
    return woken ? "Its wait is over: it is tried again." : "It did not wait for anything.";
  }));
  const standing = loaded(() => get(at, {}, signal), (found) => [
    panel(null, h("div", { class: "head" }, h("h2", null, "How it stands"), retry), facts([
      ["state", badge(found.state)], ["network", said(network)], ["application", h("a", { href: to(["devices"], { application }) }, said(application))],
      ["last uplink", moment(found.last_uplink_at)], ["waiting since", found.waiting_since && moment(found.waiting_since)],
      ["tried again", found.retry_at && moment(found.retry_at)], ["attempts", found.tried && count(found.tried.attempts)],
      ["last cause", found.tried?.last_cause && said(found.tried.last_cause, { max: 400 })],
      ["usual interval", found.radio?.usual_interval_ms && duration(found.radio.usual_interval_ms)], ["frames missed", found.radio && count(found.radio.missed)],
    ])), panel("Where it lives in Azure", where(found))], signal);
  const air = panel("Radio", loaded(() => get(`${at}/radio`, {}, signal), (heard) => [radio(heard), heard.location && h("p", { class: "small" },
    `Last known at ${decimal(heard.location.latitude, 5)}, ${decimal(heard.location.longitude, 5)}. `, h("a", { href: to(["map"], { at: `${heard.location.latitude},${heard.location.longitude}` }) }, "On the map"))], signal));
  const log = h("div");
  every(5000, async () => {
    try { renew(log, sent((await get("/api/v1/messages", { ...of, limit: MESSAGES }, signal)).messages)); } catch { /* the panels above say it */ }
  }, signal);
  return h("div", { class: "view" }, h("p", { class: "small" }, h("a", { href: "#/devices" }, "Devices")), h("h1", null, said(device)), standing, air, panel("Last messages", log));
};
