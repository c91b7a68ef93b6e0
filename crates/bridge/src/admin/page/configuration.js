// What is in force, and where does it come from?

import { get } from "/kit/api.js";
import { h, said } from "/kit/element.js";
import { badge, choice, field, loaded, moment, panel, view } from "/kit/parts.js";
import { table } from "/kit/table.js";

const FROM = [["", "anywhere"], ["file", "file"], ["environment", "environment"], ["default", "default"]];

export const show = ({ signal }) => view("Configuration", loaded(() => get("/api/v1/configuration", {}, signal), (found) => {
  let [part, from] = ["", ""];
  const list = h("div");
  const draw = () => {
    const keys = found.keys.filter((k) => k.key.toLowerCase().includes(part) && (!from || k.from === from));
    list.replaceChildren(table("Configuration in force", [
      { name: "key", cell: (k) => h("span", { class: "mono" }, said(k.key, { max: 100 })) },
      { name: "value", cell: (k) => k.secret ? badge("hidden", "plain") : h("span", { class: "mono whole" }, said(typeof k.value === "string" ? k.value : JSON.stringify(k.value), { max: 300 })) },
      { name: "from", cell: (k) => k.from === "default" ? h("span", { class: "faint" }, "default") : badge(k.from, "plain") },
    ], keys, "No key has this in its name."));
  };
  draw();
  return [
    h("form", { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "grow" }, field("Key", h("input", { type: "search", placeholder: "part of a key", autocomplete: "off", spellcheck: "false", oninput: (event) => { part = event.target.value.trim().toLowerCase(); draw(); } }))),
      field("From", choice(FROM, "", { onchange: (event) => { from = event.target.value; draw(); } }))),
    panel(null, h("p", { class: "small faint" }, "Read ", found.file && ["from ", h("span", { class: "mono" }, said(found.file)), ", "], moment(found.loaded_at, "at the start"), ". Secrets are never shown."), list),
  ];
}, signal));
