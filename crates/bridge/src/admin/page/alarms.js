// What must a person know, and what can be done about it?

import { get } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { badge, every, moment, panel, renew, trouble, view } from "/kit/parts.js";
import { table } from "/kit/table.js";
import { duration } from "/kit/words.js";

const READ_MS = 3000;

const columns = (isOver) => [
  { name: "alarm", cell: (a) => [h("strong", null, a.alarm.replaceAll("_", " ")), " ", badge(a.severity)] },
  { name: "of", cell: (a) => said(a.subject, { max: 80 }) },
  { name: "what, and what to do", cell: (a) => h("div", { class: "told-of" }, said(a.text, { max: 400 }), a.mend && h("div", { class: "small faint" }, said(a.mend, { max: 400 }))) },
  { name: "since", cell: (a) => moment(a.since) },
  isOver ? { name: "lasted", cell: (a) => duration(a.ended_at - a.since), wide: true } : { name: "told", cell: (a) => moment(a.told_at, "not told"), wide: true },
];

export const show = ({ signal }) => {
  const body = h("div", { "aria-busy": "true" });
  every(READ_MS, async () => {
    try {
      const { active, recent } = await get("/api/v1/alarms", {}, signal);
      renew(body,
        panel("Active", table("Active alarms", columns(false), active, "Nothing to act on.")),
        panel("Over", table("Alarms that are over", columns(true), recent.filter((a) => a.ended_at), "None since this process started.")));
    } catch (error) { if (error.name !== "AbortError") body.replaceChildren(trouble(error)); }
    body.removeAttribute("aria-busy");
  }, signal);
  return view("Alarms", body);
};
