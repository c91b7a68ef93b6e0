// What could not be sent, why, and what becomes of it. Nothing happens to a letter that was not counted and named before.

import { get, post } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { confirm, done, tell } from "/kit/dialog.js";
import { badge, button, choice, field, moment, panel, settled, view } from "/kit/parts.js";
import { amend, to } from "/kit/route.js";
import { pages, table } from "/kit/table.js";
import { count, plural } from "/kit/words.js";
import { deviceLink } from "./names.js";

const ROWS = 50;
// Letters that are moved by one request, and that one filter may take at once from here; `longhaul dead-letters` has no such end.
export const MOVED_MAX = 200;
const TAKEN_MAX = 20000;
const READ_ROWS = 1000;
const CLASSES = [["", "any"], ...["message", "configuration", "azure", "disk", "bridge"].map((s) => [s, s])];

// Moves these, some at a time. `progress(n)` is told how far it is.
export const move = async (what, seqs, progress = () => {}) => {
  const sum = { done: 0, missing: 0, damaged: 0 };
  for (let n = 0; n < seqs.length; n += MOVED_MAX) {
    const moved = await post(`/api/v1/dead-letters/${what}`, { seqs: seqs.slice(n, n + MOVED_MAX) });
    for (const key of Object.keys(sum)) sum[key] += moved[key].length;
    progress(Math.min(n + MOVED_MAX, seqs.length));
  }
  return sum;
};

export const outcome = (what, { done: n, missing, damaged }) => [
  `${plural(n, "letter")} ${what === "replay" ? "replayed: back in their lanes" : "dropped"}`,
  missing && `${count(missing)} not there any more`, damaged && `${count(damaged)} damaged and left`,
].filter(Boolean).join("; ");

// What would be done, by reason: the dry run.
const summary = (letters, isCut) => {
  const groups = new Map();
  for (const letter of letters) {
    const group = groups.get(letter.reason) ?? { ...letter, n: 0, whole: 0 };
    group.n += 1;
    group.whole += letter.is_whole ? 1 : 0;
    groups.set(letter.reason, group);
  }
  return h("div", null,
    table("What the filter takes", [
      { name: "letters", kind: "number", cell: (g) => count(g.n) },
      { name: "reason", cell: (g) => g.reason.replaceAll("_", " ") },
      { name: "what to do first", cell: (g) => h("span", { class: "small" }, g.mend) },
    ], [...groups.values()].sort((a, b) => b.n - a.n), "None."),
    letters.some((letter) => !letter.is_whole) && h("p", { class: "small faint" }, "Damaged letters are not replayed."),
    isCut && h("p", { class: "small faint" }, `Only the oldest ${count(TAKEN_MAX)} are taken at once.`));
};

const taken = async (filter, signal, progress) => {
  const letters = [];
  let next;
  do {
    const page = await get("/api/v1/dead-letters", { ...filter, after: next, limit: READ_ROWS }, signal);
    letters.push(...page.letters);
    next = page.next;
    progress(letters.length);
  } while (next !== null && letters.length < TAKEN_MAX);
  return { letters, isCut: next !== null };
};

export const ask = (what, n, body) => confirm(what === "replay"
  ? { title: `Replay ${plural(n, "letter")}?`, action: `Replay ${count(n)}`, body: h("div", null, body, h("p", { class: "small faint" }, "Each goes back to its old place in its device's lane, with its id and time. Nothing has happened yet.")) }
  : { title: `Drop ${plural(n, "letter")}?`, action: `Drop ${count(n)} for good`, danger: true, body: h("div", null, body, h("p", null, "They are gone then, and nobody can bring them back. `longhaul dead-letters export` keeps a copy.")) });

export const show = ({ query, signal }) => {
  const filter = { reason: query.reason ?? "", class: query.class ?? "", application: query.application ?? "", device: query.device ?? "", network: query.network ?? "" };
  const chosen = new Set();
  const far = h("span", { class: "faint small", "aria-live": "polite" });
  const [replayThese, dropThese] = ["replay", "drop"].map((what) => button(what === "replay" ? "Replay chosen" : "Drop chosen", async (event) => {
    const seqs = [...chosen];
    if (await ask(what, seqs.length, null)) await act(event.target, what, seqs);
  }, what === "drop" ? "danger" : null));
  const counted = () => { for (const b of [replayThese, dropThese]) b.disabled = !chosen.size; far.textContent = chosen.size ? `${count(chosen.size)} chosen` : ""; };
  const act = (of, what, seqs) => done(of, async () => {
    const sum = await move(what, seqs, (n) => { far.textContent = `${count(n)} of ${count(seqs.length)}`; });
    chosen.clear();
    await list.begin();
    counted();
    return `${outcome(what, sum)}.`;
  }).then(counted);
  const draw = (rows) => {
    chosen.clear();
    counted();
    const boxes = rows.map((letter) => h("input", { type: "checkbox", "aria-label": `choose letter ${letter.seq}`, onchange: (event) => {
      if (event.target.checked) chosen.add(letter.seq); else chosen.delete(letter.seq);
      counted();
    } }));
    const all = h("label", { class: "small faint" }, h("input", { type: "checkbox", onchange: (event) => {
      for (const [n, box] of boxes.entries()) { box.checked = event.target.checked; if (box.checked) chosen.add(rows[n].seq); else chosen.delete(rows[n].seq); }
      counted();
    } }), " all on this page");
    return h("div", null, rows.length > 1 && all, table("Dead letters", [
      { name: "", label: "choose", cell: (letter) => boxes[rows.indexOf(letter)] },
      { name: "letter", cell: (letter) => h("a", { href: to(["dead-letters", String(letter.seq)]) }, `#${letter.seq}`) },
      { name: "reason", cell: (letter) => [badge(letter.reason, "bad"), h("div", { class: "small faint told-of" }, said(letter.detail, { max: 160 }))] },
      { name: "device", cell: (letter) => deviceLink(letter) },
      { name: "application", cell: (letter) => letter.application ? said(letter.application, { max: 40 }) : "–", wide: true },
      { name: "buried", cell: (letter) => moment(letter.buried_at) },
      { name: "attempts", kind: "number", cell: (letter) => count(letter.attempts), wide: true },
    ], rows, "No dead letter. What cannot be sent waits here, with its reason, until somebody replays or drops it."));
  };
  const load = async (after) => {
    let [rows, next] = [[], after];
    do { // a filter looks at so many letters a request
      const page = await get("/api/v1/dead-letters", { ...filter, after: next, limit: ROWS - rows.length }, signal);
      rows = rows.concat(page.letters);
      next = page.next;
    } while (rows.length < ROWS && next !== null);
    return { rows, next };
  };
  const list = pages({ load, draw, signal, what: "dead letters" });
  const all = (what) => button(what === "replay" ? "Replay all of the filter …" : "Drop all of the filter …", async (event) => {
    event.target.disabled = true;
    try {
      const { letters, isCut } = await taken(filter, signal, (n) => { far.textContent = `${count(n)} read`; });
      far.textContent = "";
      event.target.disabled = false;
      if (!letters.length) { tell("The filter takes no letter."); return; }
      const usable = what === "replay" ? letters.filter((letter) => letter.is_whole) : letters;
      if (await ask(what, usable.length, summary(letters, isCut))) await act(event.target, what, usable.map((letter) => letter.seq));
    } catch (error) { if (error.name !== "AbortError") tell(error.message, "bad"); } finally { event.target.disabled = false; }
  }, what === "drop" ? "danger" : null);
  const changed = settled(() => { amend(filter); list.begin(); });
  const set = (name) => (event) => { filter[name] = event.target.value.trim(); changed(); };
  const input = (name) => h("input", { type: "search", value: filter[name], oninput: set(name), autocomplete: "off", spellcheck: "false" });
  list.begin();
  counted();
  return view("Dead letters",
    h("form", { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() },
      field("Reason", input("reason")), field("Whose turn", choice(CLASSES, filter.class, { onchange: set("class") })),
      field("Application", input("application")), field("Device", input("device")), field("Network", input("network"))),
    panel(null, h("div", { class: "bar" }, replayThese, dropThese, far, h("span", { class: "end bar" }, all("replay"), all("drop"))), list.node));
};
