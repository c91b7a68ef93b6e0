// Which devices does a hub know?

import { get } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { badge, field, moment, panel, settled, view } from "/kit/parts.js";
import { amend, to } from "/kit/route.js";
import { pages, table } from "/kit/table.js";
import { count } from "/kit/words.js";

const ROWS = 50;
// A look with a search goes through 20 000 devices; so many fill a page.
const REQUESTS_MAX = 60;

const draw = (rows) => table("Devices", [
  { name: "device", cell: (d) => h("a", { href: to(["devices", d.hub, d.device_id]) }, said(d.device_id, { max: 60 })) },
  { name: "hub", cell: (d) => h("span", { class: "mono small" }, said(d.hub, { max: 60 })), wide: true },
  { name: "state", cell: (d) => d.status === "disabled" ? badge("disabled") : badge(d.connected ? "connected" : "not connected", d.connected ? "good" : "plain") },
  { name: "messages", kind: "number", cell: (d) => count(d.messages) },
  { name: "waiting for it", kind: "number", cell: (d) => count(d.c2d_waiting), wide: true },
  { name: "last activity", cell: (d) => moment(d.last_activity_at) },
], rows, "No device here. One is made by its registration, or by `POST /api/devices`.");

export const show = ({ query, signal }) => {
  const filter = { search: query.search ?? "", hub: query.hub ?? "" };
  const load = async (after) => {
    let [rows, next] = [[], after];
    for (let n = 0; n < REQUESTS_MAX; n += 1) {
      const page = await get("/api/devices", { ...filter, after: next, limit: ROWS - rows.length }, signal);
      rows = rows.concat(page.devices);
      next = page.next;
      if (rows.length >= ROWS || next === null) break;
    }
    return { rows, next };
  };
  const list = pages({ load, draw, signal, what: "devices" });
  const changed = settled(() => { amend(filter); list.begin(); });
  list.begin();
  return view("Devices",
    h("form", { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "grow" }, field("Search", h("input", { type: "search", value: filter.search, placeholder: "part of an id", autocomplete: "off", spellcheck: "false", oninput: (event) => { filter.search = event.target.value.trim(); changed(); } }))),
      filter.hub && h("p", { class: "small" }, "of ", h("span", { class: "mono" }, said(filter.hub)), " ", h("a", { href: "#/devices" }, "all hubs"))),
    panel(null, list.node));
};
