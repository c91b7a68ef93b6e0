// What devices send, as it comes.

import { get } from "/kit/api.js";
import { fill, h, said } from "/kit/element.js";
import { every, field, panel, renew, trouble, view } from "/kit/parts.js";
import { to } from "/kit/route.js";
import { table } from "/kit/table.js";
import { clock, plural } from "/kit/words.js";

const READ_MS = 1000;
const KEPT = 100;

// Newest first, again whenever there is more. `missed` came and went between two looks.
export const telemetry = (tell, signal, failed = () => {}) => {
  let [position, messages, missed, isFirst] = [undefined, [], 0, true];
  every(READ_MS, async () => {
    try {
      const found = await get("/api/telemetry", { after: position }, signal);
      if (position !== undefined && found.position < position) [messages, missed] = [[], 0]; // it began anew
      position = found.position;
      if (!found.messages.length && !isFirst) return;
      isFirst = false;
      missed += found.missed;
      messages = [...found.messages.reverse(), ...messages].slice(0, KEPT);
      tell(messages, missed);
    } catch (error) { if (error.name !== "AbortError") failed(error); }
  }, signal);
};

export const lines = (messages) => table("Telemetry", [
  { name: "at", cell: (m) => h("span", { title: m.enqueued_at, class: "n" }, clock(Date.parse(m.enqueued_at))) },
  { name: "device", cell: (m) => h("a", { href: to(["devices", m.hub, m.device_id]) }, said(m.device_id, { max: 48 })) },
  { name: "message id", cell: (m) => h("span", { class: "mono small" }, said(m.message_id ?? "–", { max: 40 })), wide: true },
  { name: "body", cell: (m) => h("div", { class: "payload" }, said(m.body ?? m.body_base64, { max: 240 })) },
], messages, "Nothing has come yet.");

export const show = ({ query, signal }) => {
  const [list, problem, note] = [h("div"), h("div"), h("span", { class: "faint small" })];
  let [all, lost, still, part] = [[], 0, false, query.device ?? ""];
  const draw = () => {
    const shown = all.filter((m) => m.device_id.toLowerCase().includes(part.toLowerCase()));
    renew(list, lines(shown));
    note.textContent = [`the last ${plural(all.length, "message")}`, lost && `${plural(lost, "more", "more")} came too fast to be shown`].filter(Boolean).join("; ");
    fill(problem);
  };
  telemetry((messages, missed) => { [all, lost] = [messages, missed]; if (!still) draw(); }, signal, (error) => fill(problem, trouble(error)));
  const hold = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    still = !still;
    hold.setAttribute("aria-pressed", String(still));
    hold.textContent = still ? "Go on" : "Hold still";
    if (!still) draw();
  } }, "Hold still");
  return view("Telemetry", problem,
    h("form", { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "grow" }, field("Device", h("input", { type: "search", value: part, autocomplete: "off", spellcheck: "false", placeholder: "part of an id", oninput: (event) => { part = event.target.value.trim(); draw(); } }))), hold),
    panel(null, note, list));
};
