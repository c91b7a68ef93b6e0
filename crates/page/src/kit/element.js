// Elements from names, attributes and children. Text only ever becomes text nodes.

const SVG = "http://www.w3.org/2000/svg";

const dress = (node, attributes) => {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value); // onclick, oninput, …
    else node.setAttribute(name, value === true ? "" : value);
  }
  return node;
};

const filled = (node, children) => {
  node.append(...children.flat(3).filter((child) => child !== undefined && child !== null && child !== false));
  return node;
};

// h("a", {href: "#/"}, "text", h("b", null, "more"))
export const h = (name, attributes, ...children) => filled(dress(document.createElement(name), attributes), children);

// The same for drawings.
export const s = (name, attributes, ...children) => filled(dress(document.createElementNS(SVG, name), attributes), children);

export const fill = (node, ...children) => {
  node.replaceChildren();
  return filled(node, children);
};

// Characters that are not seen, or that move others: controls, directions, joiners, fillers, halves of pairs.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/u;
const SHOWN_MAX = 120;

const escaped = (character) => `\\u{${character.codePointAt(0).toString(16)}}`;

// As one line of plain characters; for attributes and titles.
export const plain = (text, max = 300) => {
  const all = [...String(text)];
  const shown = all.slice(0, max).map((c) => (UNSEEN.test(c) ? escaped(c) : c)).join("");
  return all.length > max ? `${shown}…` : shown;
};

// A string that somebody else made up: apart from the text around it in its direction, with what cannot be seen made visible, and cut.
export const said = (text, { max = SHOWN_MAX, lines = false } = {}) => {
  const node = h("bdi", { class: "said" });
  const all = [...String(text)];
  let run = "";
  for (const character of all.slice(0, max)) {
    if (UNSEEN.test(character) && !(lines && (character === "\n" || character === "\t"))) {
      node.append(run, h("span", { class: "escape" }, escaped(character)));
      run = "";
    } else {
      run += character;
    }
  }
  node.append(run);
  if (all.length > max) node.append(h("span", { class: "escape" }, `… ${all.length} characters`));
  return node;
};
