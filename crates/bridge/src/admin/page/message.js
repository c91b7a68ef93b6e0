// The walk of one message: each step, when it was, and how long it took to get there.

import { below, get } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { badge, body, button, facts, loaded, panel } from "/kit/parts.js";
import { to } from "/kit/route.js";
import { clock, count, date, duration } from "/kit/words.js";
import { deviceLink, mono } from "./names.js";

const KIND = { delivered: "good", buried: "bad", dropped: "bad", retried: "busy" };
const SAYS = {
  accepted: "committed to the queue; the network was answered 202", leased: "its turn had come", registered: "its device got its place in Azure", sent: "on the wire to the hub",
  delivered: "IoT Hub has it", retried: "could not be sent; it waits and is tried again", buried: "among the dead letters", kept: "of no use to Azure, set aside",
  duplicate: "a copy of a message that was there before, not sent", dropped: "left out by a route", replayed: "back from the dead letters",
};

const walk = (steps) => h("ol", { class: "walk" }, steps.map((step, n) => h("li", { class: KIND[step.step] },
  h("strong", null, step.step.replaceAll("_", " ")), " ", h("span", { class: "after" }, n ? `+${duration(step.at - steps[n - 1].at)}, ` : "", h("time", { datetime: new Date(step.at).toISOString() }, `${date(step.at)} ${clock(step.at)}`)),
  h("div", { class: "small faint" }, SAYS[step.step] ?? "", step.detail && [SAYS[step.step] && ": ", said(step.detail, { max: 400 })]))));

const drawn = (journey) => panel(null, h("div", { class: "head" }, h("h2", null, "Message ", mono(journey.message_id ?? `#${journey.seq}`)), badge(journey.state)),
  h("div", { class: "columns" },
    h("div", null, walk(journey.steps)),
    h("div", null, facts([
      ["device", deviceLink(journey)], ["application", journey.application && said(journey.application)], ["network", journey.network && said(journey.network)], ["kind", said(journey.kind)],
      ["position in the queue", count(journey.seq)], ["target", journey.target], ["hub", journey.hub && mono(journey.hub)], ["device id there", journey.device_id && mono(journey.device_id)],
      ["attempts", count(journey.attempts)], ["took", journey.took_ms !== null && journey.took_ms !== undefined ? duration(journey.took_ms) : null], ["last cause", journey.last_cause && said(journey.last_cause, { max: 400 })],
    ]),
    journey.state === "buried" && h("p", null, h("a", { href: to(["dead-letters", String(journey.seq)]) }, "Its dead letter")),
    journey.body ? [h("h3", null, "Body"), body(journey.body)] : journey.state === "delivered" && h("p", { class: "small faint" }, "Its body is not shown: only the last of them are remembered."))));

export const show = ({ parts: [, id], signal }) => h("div", { class: "view" },
  h("p", { class: "small" }, h("a", { href: "#/messages" }, "Messages")), h("h1", null, "A message's walk"),
  loaded(() => get(below("/api/v1/messages", id), {}, signal), (found, again) => [
    found.found.map(drawn), found.found.some((j) => ["waiting", "held", "being_sent"].includes(j.state)) && button("Look again", again)], signal));
