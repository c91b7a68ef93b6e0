// How does it go, and where do messages stand?

import { get } from "/kit/api.js";
import { fill, h, said } from "/kit/element.js";
import { badge, empty, every, moment, panel, renew, trouble, view } from "/kit/parts.js";
import { plot } from "/kit/plot.js";
import { table } from "/kit/table.js";
import { count, duration, plural } from "/kit/words.js";
import { path } from "./path.js";
import { deviceLink, messageLink } from "./names.js";
import { standing, ticks } from "./pulse.js";

const SPANS = { "5min": ["5 minutes", 300], hour: ["1 hour", 360], day: ["1 day", 288] };
const SNAPSHOT_MS = 3000;
const SHOWN = 8;
// A disk that fills later than that is nobody's business today.
const SOON_S = 7 * 86400;

// One sentence for whoever has one second.
const verdict = (snapshot, tick) => {
  const { queue, hubs } = snapshot;
  const down = hubs.filter((hub) => !hub.open).length;
  const alarms = tick?.alarms_active ?? snapshot.alarms?.active ?? 0;
  const writable = tick?.writable ?? queue.writable;
  const parts = [];
  if (!writable) parts.push(["bad", `Cannot keep messages: ${queue.trouble ?? "the queue is shut"}`]);
  else parts.push(["good", "Takes messages"]);
  if (down) parts.push(["bad", `${plural(down, "hub")} of ${hubs.length} down; messages wait`]);
  if (alarms) parts.push(["bad", plural(alarms, "alarm")]);
  if (queue.outlook?.seconds_left && queue.outlook.seconds_left < SOON_S) parts.push(["busy", `disk full in ${duration(queue.outlook.seconds_left * 1000)}`]);
  if (snapshot.provisioning.some((scope) => scope.denies_many)) parts.push(["bad", "a provisioning service denies many devices"]);
  return parts.map(([kind, text]) => badge(text, kind));
};

const plots = () => {
  const rate = plot({ label: "Throughput, messages a second", say: (v) => v.toFixed(1), lines: [{ name: "accepted", kind: "one" }, { name: "delivered", kind: "two" }] });
  const wait = plot({ label: "Latency, door to hub", say: duration, axis: duration, lines: [{ name: "p50", kind: "one" }, { name: "p99", kind: "two" }] });
  const depth = plot({ label: "Queue, messages waiting", say: count, whole: true, lines: [{ name: "waiting", kind: "one" }] });
  const age = plot({ label: "Age of the oldest message", say: duration, axis: duration, lines: [{ name: "oldest", kind: "three" }] });
  return {
    node: h("div", { class: "columns" }, [rate, wait, depth, age].map((one) => panel(null, one.node))),
    set: (points, seconds) => {
      const pick = (...names) => points.map((p) => [p.at, ...names.map((name) => p[name] ?? null)]);
      const each = (n) => (n === null || n === undefined ? null : n / seconds);
      rate.set(points.map((p) => [p.at, each(p.accepted), each(p.delivered)]));
      // Where nothing was delivered, nothing took any time.
      wait.set(points.map((p) => [p.at, p.delivered ? p.p50_ms : null, p.delivered ? p.p99_ms : null]));
      depth.set(pick("waiting"));
      age.set(pick("oldest_age_ms"));
    },
  };
};

const recent = (messages) => table("Last messages", [
  { name: "device", cell: (m) => deviceLink(m) },
  { name: "message", cell: (m) => messageLink(m.message_id ?? m.seq, m.message_id ?? `#${m.seq}`), wide: true },
  { name: "state", cell: (m) => badge(m.state) },
  { name: "took", kind: "number", cell: (m) => duration(m.took_ms) },
], messages, "No message yet. Post an uplink to the webhook, or run `longhaul send`.");

const raised = (alarms) => alarms.length
  ? h("ul", { class: "alarms" }, alarms.slice(0, 5).map((alarm) => h("li", null, badge(alarm.severity), " ",
    h("strong", null, alarm.alarm.replaceAll("_", " ")), " ", said(alarm.subject), h("div", { class: "small faint" }, said(alarm.text, { max: 300 }), " · ", moment(alarm.since)))))
  : empty("Nothing to act on.");

export const show = ({ signal }) => {
  const [state, drawing, charts] = [h("div", { class: "verdict", "aria-live": "polite" }), path(), plots()];
  const [messages, alarms, problem] = [h("div"), h("div"), h("div")];
  let [span, points, seconds, snapshot, tick] = ["5min", [], 1, null, null];

  const redraw = () => {
    if (!snapshot) return;
    fill(state, verdict(snapshot, tick));
    drawing.set(snapshot, tick);
  };
  const read = async () => {
    const wanted = span;
    const series = await get("/api/v1/series", { span }, signal);
    if (wanted !== span) return;
    const columns = series.columns;
    points = series.points.map((row) => Object.fromEntries(columns.map((name, n) => [name, row[columns[0] === "at" ? n : n + 1]]).concat([["at", row[0]]])));
    seconds = series.step_seconds;
    charts.set(points, seconds);
  };
  const failed = (error) => { if (error.name !== "AbortError") fill(problem, trouble(error)); };
  const buttons = Object.entries(SPANS).map(([value, [text]]) => h("button", { type: "button", "aria-pressed": String(value === span), onclick: () => {
    span = value;
    buttons.forEach((b, n) => b.setAttribute("aria-pressed", String(Object.keys(SPANS)[n] === span)));
    read().catch(failed);
  } }, text));

  every(SNAPSHOT_MS, async () => {
    const answers = await Promise.allSettled([
      get("/api/v1/snapshot", {}, signal).then((found) => { snapshot = found; redraw(); }),
      get("/api/v1/messages", { limit: SHOWN }, signal).then((found) => renew(messages, recent(found.messages))),
      get("/api/v1/alarms", {}, signal).then((found) => renew(alarms, raised(found.active))),
    ]);
    const refused = answers.find(({ status }) => status === "rejected");
    if (refused) failed(refused.reason); else fill(problem);
  }, signal);
  // Coarser spans are read anew; the finest grows by ticks.
  every(10000, () => { if (span !== "5min" || standing().state !== "live") read().catch(failed); }, signal);
  let begun = false;
  const begin = () => { if (!begun) { begun = true; read().catch(failed); } };
  begin();
  ticks((now) => {
    tick = now;
    redraw();
    if (span === "5min" && points.length && now.at > points.at(-1).at) {
      points = [...points.slice(-299), now];
      charts.set(points, seconds);
    }
  }, signal, () => read().catch(failed));

  return view("Overview", problem, state, panel("Where messages stand", drawing.node),
    h("div", { class: "head" }, h("h2", null, "The recent past"), h("div", { class: "choices", role: "group", "aria-label": "Span of the plots" }, buttons)),
    charts.node,
    h("div", { class: "columns lean" }, panel("Last messages", messages), panel("Alarms", alarms)));
};
