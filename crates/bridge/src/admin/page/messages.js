// What came last, and where is the message with this id?

import { get } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { badge, choice, field, moment, panel, renew, settled, trouble, view } from "/kit/parts.js";
import { amend, to } from "/kit/route.js";
import { table } from "/kit/table.js";
import { count, duration } from "/kit/words.js";
import { deviceLink, hubName, messageLink } from "./names.js";

const ROWS = 100;
const READ_MS = 3000;
const STATES = [["", "any state"], ...["waiting", "held", "being_sent", "delivered", "buried", "kept", "duplicate", "dropped"].map((s) => [s, s.replace("_", " ")])];

export const show = ({ query, signal }) => {
  const filter = { network: query.network ?? "", application: query.application ?? "", device: query.device ?? "", state: query.state ?? "" };
  const body = h("div", { "aria-busy": "true" });
  let still = false;
  const read = async () => {
    if (still) return;
    try {
      const { network, application, device, state } = filter;
      const { messages } = await get("/api/v1/messages", { network, application, device, limit: ROWS }, signal);
      const rows = messages.filter((m) => !state || m.state === state);
      renew(body, table("Messages", [
        { name: "accepted", cell: (m) => moment(m.steps[0]?.at, "–") },
        { name: "message", cell: (m) => messageLink(m.message_id ?? m.seq, m.message_id ?? `#${m.seq}`) },
        { name: "device", cell: deviceLink },
        { name: "kind", cell: (m) => said(m.kind, { max: 40 }), wide: true },
        { name: "state", cell: (m) => badge(m.state) },
        { name: "hub", cell: (m) => hubName(m.hub), wide: true },
        { name: "attempts", kind: "number", cell: (m) => count(m.attempts), wide: true },
        { name: "took", kind: "number", cell: (m) => duration(m.took_ms) },
      ], rows, "None that is remembered takes this filter."));
    } catch (error) {
      if (error.name !== "AbortError") body.replaceChildren(trouble(error, read));
    }
    body.removeAttribute("aria-busy");
  };
  const changed = settled(() => { amend(filter); read(); });
  const set = (name) => (event) => { filter[name] = event.target.value.trim(); changed(); };
  read();
  const timer = setInterval(() => { if (!document.hidden) read(); }, READ_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  const id = h("input", { type: "search", name: "id", placeholder: "message id, position or correlation id", autocomplete: "off", spellcheck: "false" });
  const hold = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    still = !still;
    hold.setAttribute("aria-pressed", String(still));
    hold.textContent = still ? "Go on" : "Hold still";
    if (!still) read();
  } }, "Hold still");
  return view("Messages",
    h("form", { class: "bar", role: "search", onsubmit: (event) => { event.preventDefault(); if (id.value.trim()) location.hash = to(["messages", id.value.trim()]); } },
      h("div", { class: "grow" }, field("Follow a message", id)), h("button", { class: "primary" }, "Follow")),
    panel(null, h("div", { class: "bar" },
      field("Device", h("input", { type: "search", value: filter.device, oninput: set("device"), autocomplete: "off", spellcheck: "false" })),
      field("Application", h("input", { type: "search", value: filter.application, oninput: set("application"), autocomplete: "off", spellcheck: "false" })),
      field("State", choice(STATES, filter.state, { onchange: set("state") })), hold), body));
};
