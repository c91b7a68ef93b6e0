// Who is there, and how do they stand?

import { get, post } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { confirm, done } from "/kit/dialog.js";
import { badge, button, choice, field, moment, panel, settled, view } from "/kit/parts.js";
import { amend } from "/kit/route.js";
import { pages, table } from "/kit/table.js";
import { count, plural } from "/kit/words.js";
import { deviceLink, hubName, signal as shownSignal } from "./names.js";

const ROWS = 50;
// A request with a filter looks at some ten thousand devices; so many requests fill one page.
const REQUESTS_MAX = 12;
const STATES = [["", "any state"], ...["held", "registering", "attached", "attaching", "assigned", "unassigned"].map((s) => [s, s])];

const draw = (rows) => table("Devices", [
  { name: "device", cell: deviceLink },
  { name: "application", cell: (d) => said(d.application, { max: 40 }), wide: true },
  { name: "state", cell: (d) => badge(d.state) },
  { name: "last uplink", cell: (d) => moment(d.last_uplink_at) },
  { name: "signal", cell: (d) => shownSignal(d.radio), wide: true },
  { name: "missed", kind: "number", cell: (d) => count(d.radio?.missed), wide: true },
  { name: "hub", cell: (d) => hubName(d.names.find((name) => name.hub)?.hub), wide: true },
], rows, "No device here. A device is listed once an uplink of it had a route and a name.");

export const show = ({ query, signal }) => {
  const filter = { search: query.search ?? "", state: query.state ?? "", application: query.application ?? "", network: query.network ?? "" };
  const load = async (after) => {
    const rows = [];
    let next = after;
    for (let n = 0; n < REQUESTS_MAX; n += 1) {
      const page = await get("/api/v1/devices", { ...filter, after: next, limit: ROWS - rows.length }, signal);
      rows.push(...page.devices);
      next = page.next;
      if (rows.length >= ROWS || next === null) break;
    }
    return { rows, next };
  };
  const list = pages({ load, draw, signal, what: "devices" });
  const changed = settled(() => { amend(filter); list.begin(); });
  const set = (name) => (event) => { filter[name] = event.target.value.trim(); changed(); };
  const wake = button("Retry held devices", async (event) => {
    const { search, application, network } = filter;
    const all = !search && !application && !network;
    const which = all ? "all held devices" : "the held devices that the filter takes (whatever state is chosen)";
    const body = h("p", null, `Ends the wait of ${which}: what was refused is asked for again at once. Mend the cause first.`);
    if (!await confirm({ title: "Retry held devices?", body, action: "Retry" })) return;
    await done(event.target, async () => {
      const wanted = all ? { all } : Object.fromEntries(Object.entries({ search, application, network }).filter(([, v]) => v));
      const { woken } = await post("/api/v1/devices/retry", wanted);
      list.again();
      return `${plural(woken, "device")} woken.`;
    });
  });
  list.begin();
  return view("Devices",
    h("form", { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "grow" }, field("Search", h("input", { type: "search", value: filter.search, placeholder: "part of an id, here or in Azure", oninput: set("search"), autocomplete: "off", spellcheck: "false" }))),
      field("Application", h("input", { type: "search", value: filter.application, oninput: set("application"), autocomplete: "off", spellcheck: "false" })),
      field("State", choice(STATES, filter.state, { onchange: set("state") })), wake),
    panel(null, list.node));
};
