// The frame around the views: name, navigation, the state of the connection, the theme.

import { fill, h } from "./element.js";
import { here } from "./route.js";

const themes = { auto: "System", light: "Light", dark: "Dark" };

const kept = () => { try { return localStorage.getItem("theme") ?? "auto"; } catch { return "auto"; } };

const choose = (theme) => {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "auto") localStorage.removeItem("theme");
    else localStorage.setItem("theme", theme);
  } catch { /* for this time only */ }
  dispatchEvent(new Event("theme"));
};

const switcher = () => h("label", { class: "theme" }, h("span", { class: "aside" }, "Theme"),
  h("select", { onchange: (event) => choose(event.target.value) },
    Object.entries(themes).map(([value, text]) => h("option", { value, selected: value === kept() }, text))));

// views: [[path, label]]. Gives what `route` needs, and `state` to show how the connection is.
export const shell = ({ name, of, views }) => {
  document.documentElement.dataset.name = name;
  const links = views.map(([path, label]) => {
    const mark = h("span", { class: "mark" });
    return { path, mark, node: h("a", { href: `#/${path}` }, label, mark) };
  });
  const state = h("span", { class: "state", role: "status" }, "connecting …");
  const where = h("span", { class: "of" }, of);
  const main = h("main", { id: "main", tabindex: "-1" });
  fill(document.body,
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "To the content"),
    h("header", null, h("a", { class: "brand", href: "#/" }, name), where, state, switcher()),
    h("nav", { class: "views", "aria-label": "Views" }, h("ul", null, links.map((link) => h("li", null, link.node)))),
    main);
  const named = (parts) => {
    for (const { path, node } of links) {
      if (path === (parts[0] ?? "")) { node.setAttribute("aria-current", "page"); node.scrollIntoView({ block: "nearest", inline: "nearest" }); }
      else node.removeAttribute("aria-current");
    }
  };
  named(here().parts);
  return {
    main,
    named,
    of: (text) => { where.textContent = text; },
    state: (kind, text) => {
      if (state.textContent !== text) state.textContent = text;
      state.className = `state ${kind}`;
    },
    // A count beside a view's name; none for 0.
    mark: (path, text, kind = "") => {
      const link = links.find((link) => link.path === path);
      link.mark.textContent = text || "";
      link.mark.className = `mark ${kind}`;
    },
  };
};
