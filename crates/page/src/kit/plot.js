// A plot over time: lines, axes, and the values at a moment under the pointer or, with the arrow keys, without one.

import { fill, h, s } from "./element.js";
import { clock, date, short } from "./words.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [52, 10, 8, 20];

// Round steps: at most `most` of them up to `max`.
const steps = (max, most, whole) => {
  const raw = max / most;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * size).find((n) => n >= raw);
  return whole ? Math.max(1, step) : step;
};

const SPANS = [1, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800].map((n) => n * 1000);

// A line through places, and the area below it down to `ground`; both end where there is no place, and go on behind it.
const traced = (places, ground) => {
  let [path, area, begun, last] = ["", "", null, null];
  const close = () => { if (begun !== null) area += `L${last.toFixed(1)} ${ground}L${begun.toFixed(1)} ${ground}Z`; begun = null; };
  for (const [x, y] of places) {
    if (y === null) { close(); continue; }
    const move = `${begun === null ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    path += begun === null ? `${move}h0` : move; // alone it is a dot
    area += move;
    begun ??= x;
    last = x;
  }
  close();
  return { path, area, spots: places.filter(([, y]) => y !== null) };
};

// lines: [{name, kind}] with kind one of "one", "two", "three"; `say(value)` writes a value, `axis(value)` one on the axis.
export const plot = ({ label, lines, say, axis = short, height = 150, low = 0, dots = false, whole = false }) => {
  let [points, width, at] = [[], 0, null];
  const readout = h("div", { class: "readout" });
  const drawing = s("svg", { role: "img", tabindex: "0", height, "aria-label": label });
  const node = h("figure", { class: "plot" }, h("figcaption", null, label), readout, drawing);

  const tell = () => {
    const point = at === null ? points.at(-1) : points[at];
    fill(readout,
      lines.map((line, n) => h("span", { class: `key ${line.kind}` }, h("i"), `${line.name} `,
        h("b", null, point && point[n + 1] !== null && point[n + 1] !== undefined ? say(point[n + 1]) : "–"))),
      h("span", { class: "when" }, at !== null && point ? clock(point[0]) : ""));
    drawing.setAttribute("aria-label", `${label}: ${readout.textContent}`);
  };

  const draw = () => {
    width = Math.max(200, Math.floor(node.clientWidth) || 600);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("width", width);
    tell();
    if (points.length < 2 && !(dots && points.length)) {
      fill(drawing, s("text", { x: width / 2, y: height / 2, class: "none" }, "No values yet"));
      return;
    }
    const values = points.flatMap((point) => point.slice(1)).filter((v) => v !== null && v !== undefined);
    const [first, last] = [points[0][0], points.at(-1)[0]];
    const bottom = low === null ? Math.floor(Math.min(...values) - 1) : low;
    const top = low === null ? Math.ceil(Math.max(...values) + 1) : Math.max(...values, whole ? 4 : bottom + 1e-9, 1e-3);
    const step = steps(top - bottom, 4, whole);
    const base = Math.floor(bottom / step) * step;
    const roof = Math.ceil(top / step) * step;
    const x = (t) => LEFT + (last > first ? (t - first) / (last - first) : 0.5) * (width - LEFT - RIGHT);
    const y = (v) => TOP + (1 - (v - base) / (roof - base)) * (height - TOP - BOTTOM);
    const height_of = (v) => (v === null || v === undefined ? null : y(v));
    const grid = [];
    for (let v = base; v <= roof + step / 1e6; v += step) {
      grid.push(s("line", { x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }), s("text", { x: LEFT - 6, y: y(v) + 4, class: "y" }, axis(v)));
    }
    const span = SPANS.find((n) => (last - first) / n <= width / 90) ?? SPANS.at(-1);
    const zone = new Date(last).getTimezoneOffset() * 60000;
    for (let t = Math.ceil((first - zone) / span) * span + zone; t <= last; t += span) {
      if (x(t) < LEFT + 16 || x(t) > width - RIGHT - 20) continue;
      grid.push(s("text", { x: x(t), y: height - 4, class: "x" }, span >= 86400000 ? date(t).slice(5) : span >= 60000 ? clock(t).slice(0, 5) : clock(t)));
    }
    const drawn = lines.map((line, n) => {
      const { path, area, spots } = traced(points.map((point) => [x(point[0]), height_of(point[n + 1])]), y(base));
      return s("g", { class: `line ${line.kind}` }, n === 0 && !dots && s("path", { class: "area", d: area }), s("path", { d: path }),
        dots && spots.map(([cx, cy]) => s("circle", { cx, cy, r: 2.5 })));
    });
    const marks = [];
    if (at !== null && points[at]) {
      const px = x(points[at][0]);
      marks.push(s("line", { x1: px, x2: px, y1: TOP, y2: height - BOTTOM, class: "at" }));
      lines.forEach((line, n) => {
        const value = points[at][n + 1];
        if (value !== null && value !== undefined) marks.push(s("circle", { cx: px, cy: y(value), r: 3.5, class: `spot ${line.kind}` }));
      });
    }
    fill(drawing, s("g", { class: "grid" }, grid), drawn.reverse(), marks);
  };

  const nearest = (px) => {
    if (!points.length) return null;
    const [first, last] = [points[0][0], points.at(-1)[0]];
    const t = first + ((px - LEFT) / (width - LEFT - RIGHT)) * (last - first);
    let best = 0;
    for (let n = 1; n < points.length; n += 1) if (Math.abs(points[n][0] - t) < Math.abs(points[best][0] - t)) best = n;
    return best;
  };
  const look = (index) => { at = index; draw(); };
  drawing.addEventListener("pointermove", (event) => look(nearest(event.clientX - drawing.getBoundingClientRect().left)));
  drawing.addEventListener("pointerleave", () => look(null));
  drawing.addEventListener("blur", () => look(null));
  drawing.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") look(null);
    if (move === undefined || !points.length) return;
    event.preventDefault();
    look(Math.max(0, Math.min(points.length - 1, (at ?? points.length - 1) + move)));
  });
  new ResizeObserver(() => { if (Math.abs(node.clientWidth - width) > 1) draw(); }).observe(node);

  // points: [[at, value, …], …], oldest first; null where there is none.
  return { node, set: (all) => {
    const held = at === null ? null : points[at]?.[0];
    points = all;
    if (held !== null) { const same = points.findIndex((point) => point[0] === held); at = same < 0 ? null : same; }
    draw();
  } };
};
