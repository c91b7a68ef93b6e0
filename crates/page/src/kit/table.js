// Tables, and lists that are turned page by page.

import { h } from "./element.js";
import { empty, trouble } from "./parts.js";

// columns: [{name, cell(row), kind: "number" | undefined, wide: true}]; `wide` ones are left out where there is no room.
export const table = (label, columns, rows, nothing) => {
  if (!rows.length) return empty(nothing);
  const kind = (column) => [column.kind, column.wide && "wide"].filter(Boolean).join(" ") || null;
  const head = h("tr", null, columns.map((column) => h("th", { scope: "col", class: kind(column) },
    column.name || h("span", { class: "aside" }, column.label ?? "choose"))));
  const line = (row) => h("tr", null, columns.map((column) => h("td", { class: kind(column) }, column.cell(row))));
  return h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    h("table", null, h("thead", null, head), h("tbody", null, rows.map(line))));
};

// Pages of a list that has cursors: `load(after, signal)` gives {rows, next}, `draw(rows)` a node.
export const pages = ({ load, draw, signal, what }) => {
  const body = h("div", { class: "pages", "aria-busy": "true" }, h("p", { class: "faint" }, "Reading …"));
  const before = []; // cursors of the pages before this one
  let [after, next, turn] = [undefined, null, 0];
  const back = h("button", { type: "button", onclick: () => go(before.pop()) }, "Back");
  const forth = h("button", { type: "button", onclick: () => { before.push(after); go(next); } }, "Next");
  const place = h("span", { class: "faint", "aria-live": "polite" });
  const foot = h("nav", { class: "pager", "aria-label": `Pages of ${what}`, hidden: true }, back, place, forth);
  const go = async (to) => {
    const mine = (turn += 1);
    after = to;
    body.setAttribute("aria-busy", "true");
    try {
      const page = await load(after, signal);
      if (mine !== turn || signal.aborted) return;
      next = page.next;
      body.replaceChildren(draw(page.rows));
      place.textContent = `page ${before.length + 1}`;
      [back.disabled, forth.disabled] = [!before.length, next === null || next === undefined];
      foot.hidden = back.disabled && forth.disabled;
    } catch (error) {
      if (error.name === "AbortError" || mine !== turn) return;
      body.replaceChildren(trouble(error, () => go(after)));
    } finally {
      if (mine === turn) body.removeAttribute("aria-busy");
    }
  };
  const begin = () => { before.length = 0; return go(undefined); };
  return { node: h("div", null, body, foot), begin, again: () => go(after) };
};
