// Where are the devices, and how are they heard there? Drawn here, from positions alone: no map is fetched from anywhere.

import { get } from "/kit/api.js";
import { fill, h, said } from "/kit/element.js";
import { every, panel, trouble, view } from "/kit/parts.js";
import { count, decimal, ago } from "/kit/words.js";
import { deviceLink, SIGNAL_STEPS, signalStep } from "./names.js";

const READ_MS = 15000;
const LISTED = 12;
const NEAR_PX = 14;
const RADIUS = 6378137;
const LATITUDE_MAX = 85.0511;
const ZOOM = [1 / 200000, 4]; // pixels a metre at the equator: the whole earth; a quarter of a metre

const rad = (degrees) => (degrees * Math.PI) / 180;
const deg = (radians) => (radians * 180) / Math.PI;
// Web Mercator, metres at the equator.
const eastOf = (longitude) => RADIUS * rad(longitude);
const northOf = (latitude) => RADIUS * Math.log(Math.tan(Math.PI / 4 + rad(Math.max(-LATITUDE_MAX, Math.min(LATITUDE_MAX, latitude))) / 2));
const longitudeOf = (east) => deg(east / RADIUS);
const latitudeOf = (north) => deg(2 * Math.atan(Math.exp(north / RADIUS)) - Math.PI / 2);

const GRID = [30, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001];
const ROUND = [1, 2, 5].flatMap((n) => [1, 10, 100, 1000, 10000, 100000, 1000000].map((m) => n * m)).sort((a, b) => a - b);

export const show = ({ query, signal }) => {
  const canvas = h("canvas", { tabindex: "0", role: "img", "aria-label": "Map of located devices. Arrow keys move it, plus and minus zoom, 0 shows all, n and p go from device to device." });
  const legend = h("ul", { class: "legend", "aria-label": "Colours" }, h("li", null, "signal, dBm"), SIGNAL_STEPS.map((text, n) => h("li", { class: `r${n}` }, h("i"), text)), h("li", { class: "rx" }, h("i"), "not known"));
  const [found, list, standing, problem] = [h("p", { class: "found small", "aria-live": "polite" }), h("ul", { class: "inside" }), h("span", { class: "faint small" }), h("div")];
  let [devices, chosen, drawn, colours] = [[], null, false, null];
  const look = { east: 0, north: 0, scale: ZOOM[0] }; // the middle, and pixels a metre

  const size = () => [canvas.clientWidth, canvas.clientHeight];
  const at = (device) => { const [w, t] = size(); return [w / 2 + (device.east - look.east) * look.scale, t / 2 - (device.north - look.north) * look.scale]; };
  const paints = () => {
    const swatches = [...legend.querySelectorAll("i")].map((node) => getComputedStyle(node).color);
    const style = getComputedStyle(canvas);
    return { swatches, text: style.color, line: style.borderTopColor, ink: getComputedStyle(document.body).color };
  };

  const graticule = (pen, w, t) => {
    const [west, east] = [longitudeOf(look.east - w / 2 / look.scale), longitudeOf(look.east + w / 2 / look.scale)];
    const [south, north] = [latitudeOf(look.north - t / 2 / look.scale), latitudeOf(look.north + t / 2 / look.scale)];
    const step = GRID.findLast((n) => (east - west) / n <= Math.max(3, w / 110)) ?? GRID[0];
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    pen.strokeStyle = colours.line;
    pen.fillStyle = colours.text;
    pen.lineWidth = 1;
    pen.font = "11px system-ui, sans-serif";
    pen.beginPath();
    for (let n = Math.ceil(Math.max(west, -180) / step); n * step <= Math.min(east, 180); n += 1) {
      const x = Math.round(at({ east: eastOf(n * step), north: look.north })[0]) + 0.5;
      pen.moveTo(x, 0); pen.lineTo(x, t);
      const degrees = n * step;
      pen.fillText(`${Math.abs(degrees).toFixed(digits)}°${degrees < 0 ? "W" : degrees > 0 ? "E" : ""}`, x + 4, t - 6);
    }
    for (let n = Math.ceil(Math.max(south, -85) / step); n * step <= Math.min(north, 85); n += 1) {
      const y = Math.round(at({ east: look.east, north: northOf(n * step) })[1]) + 0.5;
      pen.moveTo(0, y); pen.lineTo(w, y);
      const degrees = n * step;
      if (y > 14 && y < t - 22) pen.fillText(`${Math.abs(degrees).toFixed(digits)}°${degrees < 0 ? "S" : degrees > 0 ? "N" : ""}`, 6, y - 4);
    }
    pen.stroke();
  };

  // How long a round number of metres is, at the latitude in the middle.
  const bar = (pen, w, t) => {
    const real = look.scale / Math.cos(rad(latitudeOf(look.north)));
    const metres = ROUND.findLast((n) => n * real <= 130) ?? ROUND[0];
    const length = metres * real;
    const [x, y] = [w - length - 16, t - 26];
    pen.strokeStyle = pen.fillStyle = colours.ink;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(x, y - 4); pen.lineTo(x, y); pen.lineTo(x + length, y); pen.lineTo(x + length, y - 4);
    pen.stroke();
    pen.textAlign = "right";
    pen.fillText(metres >= 1000 ? `${count(metres / 1000)} km` : `${metres} m`, x + length, y - 7);
    pen.textAlign = "left";
  };

  const draw = () => {
    drawn = false;
    const [w, t] = size();
    if (!w) return;
    const ratio = devicePixelRatio || 1;
    if (canvas.width !== Math.round(w * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(t * ratio); }
    colours ??= paints();
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, w, t);
    graticule(pen, w, t);
    const dot = devices.length > 5000 ? 2 : devices.length > 500 ? 3 : 4.5;
    let inside = 0;
    const shown = [];
    for (const device of devices) {
      const [x, y] = at(device);
      if (x < -5 || y < -5 || x > w + 5 || y > t + 5) continue;
      inside += 1;
      if (shown.length < LISTED) shown.push(device);
      pen.fillStyle = colours.swatches[device.step ?? 5];
      pen.beginPath();
      pen.arc(x, y, dot, 0, 2 * Math.PI);
      pen.fill();
    }
    if (chosen) {
      const [x, y] = at(chosen);
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(x, y, dot + 4, 0, 2 * Math.PI);
      pen.stroke();
    }
    bar(pen, w, t);
    fill(list, shown.map((device) => h("li", null, deviceLink(device))), inside > shown.length && h("li", { class: "faint" }, `and ${count(inside - shown.length)} more in view`));
  };
  const redraw = () => { if (!drawn) { drawn = true; requestAnimationFrame(draw); } };

  const zoom = (by, x, y) => {
    const [w, t] = size();
    const [px, py] = [x ?? w / 2, y ?? t / 2];
    const scale = Math.max(ZOOM[0], Math.min(ZOOM[1], look.scale * by));
    look.east += (px - w / 2) * (1 / look.scale - 1 / scale);
    look.north -= (py - t / 2) * (1 / look.scale - 1 / scale);
    look.scale = scale;
    redraw();
  };
  const pan = (dx, dy) => { look.east -= dx / look.scale; look.north += dy / look.scale; redraw(); };
  const all = () => {
    const [w, t] = size();
    if (!devices.length || !w) return redraw();
    const [easts, norths] = [devices.map((d) => d.east), devices.map((d) => d.north)];
    const ends = (list) => list.reduce(([low, high], n) => [Math.min(low, n), Math.max(high, n)], [Infinity, -Infinity]);
    const [[west, east], [south, north]] = [ends(easts), ends(norths)];
    Object.assign(look, { east: (west + east) / 2, north: (south + north) / 2 });
    look.scale = Math.max(ZOOM[0], Math.min(0.2, (0.86 * w) / Math.max(1, east - west), (0.8 * t) / Math.max(1, north - south)));
    redraw();
  };
  const choose = (device) => {
    chosen = device;
    fill(found, device ? [deviceLink(device), " of ", said(device.application), ": ", device.rssi === null ? "signal not known" : `${device.rssi} dBm`, `, ${decimal(device.latitude, 4)}, ${decimal(device.longitude, 4)}, last uplink `, device.last ? ago(device.last) : "not known"] : "");
    redraw();
  };
  const nearest = (x, y) => {
    let [best, least] = [null, NEAR_PX ** 2];
    for (const device of devices) {
      const [dx, dy] = at(device).map((n, axis) => n - (axis ? y : x));
      if (dx * dx + dy * dy < least) [best, least] = [device, dx * dx + dy * dy];
    }
    return best;
  };
  const step = (by) => {
    if (!devices.length) return;
    const now = chosen ? devices.indexOf(chosen) : by > 0 ? -1 : 0;
    choose(devices[(now + by + devices.length) % devices.length]);
    Object.assign(look, { east: chosen.east, north: chosen.north });
  };

  const fingers = new Map();
  const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const spread = () => { const [[ax, ay], [bx, by]] = [...fingers.values()]; return [Math.hypot(ax - bx, ay - by), (ax + bx) / 2, (ay + by) / 2]; };
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); fingers.set(event.pointerId, place(event)); moved = 0; });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event);
    if (!fingers.has(event.pointerId)) { if (event.pointerType === "mouse") { const near = nearest(...now); if (near && near !== chosen) choose(near); } return; }
    const before = fingers.size === 2 ? spread() : null;
    const was = fingers.get(event.pointerId);
    fingers.set(event.pointerId, now);
    moved += Math.abs(now[0] - was[0]) + Math.abs(now[1] - was[1]);
    if (fingers.size === 1) pan(now[0] - was[0], now[1] - was[1]);
    if (before) { const after = spread(); pan(after[1] - before[1], after[2] - before[2]); zoom(after[0] / Math.max(1, before[0]), after[1], after[2]); }
  });
  const lift = (event) => { fingers.delete(event.pointerId); if (moved < 4) choose(nearest(...place(event))); };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0015), ...place(event)); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const act = {
      ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
      "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: all, n: () => step(1), p: () => step(-1), Escape: () => choose(null),
      Enter: () => { const link = found.querySelector("a"); if (link) location.hash = link.getAttribute("href"); },
    }[event.key];
    if (act && !event.ctrlKey && !event.metaKey) { event.preventDefault(); act(); }
  });
  const watch = new ResizeObserver(redraw);
  watch.observe(canvas);
  const repaint = () => { colours = null; redraw(); };
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  addEventListener("theme", repaint);
  scheme.addEventListener("change", repaint);
  signal.addEventListener("abort", () => { watch.disconnect(); removeEventListener("theme", repaint); scheme.removeEventListener("change", repaint); }, { once: true });

  let isFirst = true;
  every(READ_MS, async () => {
    try {
      const answer = await get("/api/v1/map", {}, signal);
      const key = chosen && [chosen.network, chosen.application, chosen.device].join("/");
      devices = answer.devices.map(([network, application, device, latitude, longitude, rssi, last]) => ({
        network, application, device, latitude, longitude, rssi, last, step: signalStep(rssi), east: eastOf(longitude), north: northOf(latitude) }));
      chosen = key ? devices.find((d) => [d.network, d.application, d.device].join("/") === key) ?? null : null;
      standing.textContent = answer.total > answer.shown ? `the ${count(answer.shown)} heard last of ${count(answer.total)}` : `${count(answer.total)} located`;
      fill(problem, !devices.length && h("p", { class: "empty" }, "No device has said where it is. Locations come from uplinks (`locations`), or from decoded latitude and longitude."));
      if (isFirst) {
        isFirst = false;
        const [latitude, longitude] = (query.at ?? "").split(",").map(Number);
        if (query.at && Number.isFinite(latitude) && Number.isFinite(longitude)) { Object.assign(look, { east: eastOf(longitude), north: northOf(latitude), scale: 0.05 }); redraw(); } else all();
      }
      redraw();
    } catch (error) { if (error.name !== "AbortError") fill(problem, trouble(error)); }
  }, signal);

  const key = (text, label, act) => h("button", { type: "button", "aria-label": label, onclick: act }, text);
  return view("Map", problem, panel(null,
    h("div", { class: "map" }, canvas, h("div", { class: "zoom" }, key("+", "Zoom in", () => zoom(1.5)), key("−", "Zoom out", () => zoom(1 / 1.5)), key("◎", "Show all", all))),
    legend, found), panel(null, h("div", { class: "head" }, h("h2", null, "In view"), standing), list));
};
