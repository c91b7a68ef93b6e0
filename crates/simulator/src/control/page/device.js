// One device, and all that its owner can do with it: a message, a method, its twin.

import { address, below, get, post } from "/kit/api.js";
import { fill, h, said } from "/kit/element.js";
import { confirm, done, tell } from "/kit/dialog.js";
import { badge, body, button, choice, facts, field, loaded, moment, panel, renew } from "/kit/parts.js";
import { count } from "/kit/words.js";
import { lines, telemetry } from "./telemetry.js";

const DESIRED = '{\n  "interval_s": 300\n}';
const WORDS = { autocomplete: "off", spellcheck: "false" };

// A form that does one thing, and says below what came of it.
const form = (action, fields, act) => {
  const answer = h("div", { class: "answer", "aria-live": "polite" });
  const go = h("button", { class: "primary" }, action);
  const node = h("form", { class: "stack", onsubmit: (event) => {
    event.preventDefault();
    done(go, async () => {
      fill(answer);
      try { fill(answer, await act()); } catch (error) {
        fill(answer, h("p", { class: "trouble", role: "alert" }, h("strong", null, error.title || "not done"), ": ", said(error.message, { max: 400 })));
      }
    });
  } }, fields, go, answer);
  return node;
};

const parsed = (text, what) => {
  if (!text.trim()) return undefined;
  try { return JSON.parse(text); } catch (error) { throw new Error(`${what} is not JSON: ${error.message}`); }
};

// Lines of `name: value`.
const properties = (text) => Object.fromEntries(text.split("\n").filter((line) => line.trim()).map((line) => {
  const at = line.indexOf(":");
  if (at < 1) throw new Error(`Properties are lines of \`name: value\`; this is none: ${line}`);
  return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}));

const sender = (path, hub) => {
  const text = h("textarea", { ...WORDS, rows: 4 }, '{"valve":"open"}');
  const type = h("input", { ...WORDS, value: "application/json" });
  const ack = choice([["none", "none"], ["positive", "positive"], ["negative", "negative"], ["full", "full"]], "full");
  const expires = h("input", { type: "number", min: "1", placeholder: "the hub's default" });
  const [id, correlation] = [h("input", { ...WORDS, placeholder: "made up" }), h("input", WORDS)];
  const props = h("textarea", { ...WORDS, rows: 2, placeholder: "f_port: 15\nconfirmed: true" });
  return form("Send", [
    field("Body", text), h("div", { class: "pair" }, field("Content type", type), field("Feedback (ack)", ack)), h("div", { class: "pair" }, field("Message id", id), field("Correlation id", correlation)),
    field("Expires in, seconds", expires), field("Properties", props, "a line each: name: value"),
  ], async () => {
    const optional = (input) => input.value.trim() || undefined;
    const sent = await post(address(`${path}/messages`, { hub }), {
      body: text.value, content_type: optional(type), ack: ack.value, message_id: optional(id), correlation_id: optional(correlation),
      expires_in_s: expires.value ? Number(expires.value) : undefined, properties: properties(props.value) });
    return h("p", null, badge("taken", "good"), " ", h("span", { class: "mono" }, said(sent.message_id)), ` · ${count(sent.waiting)} waiting for the device or held by it`);
  });
};

const caller = (path, hub) => {
  const name = h("input", { ...WORDS, value: "reboot", required: true });
  const payload = h("textarea", { ...WORDS, rows: 3 }, "{}");
  const [answer, connect] = [h("input", { type: "number", min: "5", max: "300", value: "10" }), h("input", { type: "number", min: "0", max: "300", value: "0" })];
  return form("Call", [
    field("Method", name), field("Payload, JSON", payload),
    h("div", { class: "pair" }, field("Answer within, seconds", answer, "5 to 300"), field("Connect within, seconds", connect, "0: it has to be there")),
  ], async () => {
    const said_back = await post(address(`${path}/methods`, { hub }), { methodName: name.value, payload: parsed(payload.value, "The payload") ?? null, responseTimeoutInSeconds: Number(answer.value), connectTimeoutInSeconds: Number(connect.value) });
    return [h("p", null, badge(`status ${said_back.status}`, said_back.status < 400 ? "good" : "bad")), body(JSON.stringify(said_back.payload))];
  });
};

const twinOf = (path, hub, signal) => {
  const shown = h("div");
  const draw = (twin) => {
    const { tags, properties: { desired, reported }, ...rest } = twin;
    fill(shown, facts([
      ["status", badge(rest.status)], ["connection", badge(rest.connectionState.toLowerCase(), rest.connectionState === "Connected" ? "good" : "plain")], ["version", count(rest.version)],
      ["last activity", Date.parse(rest.lastActivityTime) > 0 ? moment(Date.parse(rest.lastActivityTime)) : "never"], ["messages waiting", count(rest.cloudToDeviceMessageCount)], ["model", rest.modelId && said(rest.modelId)],
    ]), h("h3", null, "Desired"), body(JSON.stringify(desired)), h("h3", null, "Reported"), body(JSON.stringify(reported)), tags && Object.keys(tags).length ? [h("h3", null, "Tags"), body(JSON.stringify(tags))] : null);
  };
  const read = async () => { const twin = await get(`${path}/twin`, { hub }, signal); draw(twin); return twin; };
  const patch = h("textarea", { ...WORDS, rows: 4 }, DESIRED);
  const what = choice([["desired", "desired properties"], ["tags", "tags"]], "desired");
  return [
    loaded(read, () => shown, signal),
    h("h3", null, "Patch"),
    form("Patch the twin", [field("What", what), field("Merge patch, JSON", patch, "null takes a member away")], async () => {
      const wish = parsed(patch.value, "The patch") ?? {};
      const twin = await post(address(`${path}/twin`, { hub }), what.value === "tags" ? { tags: wish } : { properties: { desired: wish } });
      draw(twin);
      return h("p", null, badge("patched", "good"), ` desired version ${twin.properties.desired.$version}`);
    }),
    button("Read the twin again", (event) => done(event.target, async () => { await read(); }), "quiet"),
  ];
};

export const show = ({ parts: [, hub, device], signal }) => {
  const path = below("/api/devices", device);
  const turn = (action, text) => button(text, (event) => done(event.target, async () => {
    if (action === "delete" && !await confirm({ title: "Delete the device?", action: "Delete", danger: true, body: h("p", null, "It is gone from its hub; its registration stays.") })) return;
    await post(address(`${path}/${action}`, { hub }));
    if (action === "delete") location.hash = "#/devices";
    tell(`${text}d.`);
  }), action === "delete" ? "danger" : null);
  const last = h("div");
  telemetry((messages) => renew(last, lines(messages.filter((m) => m.device_id === device && m.hub === hub).slice(0, 10))), signal);
  return h("div", { class: "view" }, h("p", { class: "small" }, h("a", { href: "#/devices" }, "Devices")), h("h1", null, said(device)),
    h("div", { class: "bar" }, h("span", { class: "faint" }, "at ", h("span", { class: "mono" }, said(hub))), h("span", { class: "end bar" }, turn("enable", "Enable"), turn("disable", "Disable"), turn("delete", "Delete"))),
    h("div", { class: "columns" }, panel("Twin", twinOf(path, hub, signal)), h("div", null, panel("Send it a message", sender(path, hub)), panel("Call a method", caller(path, hub)))),
    panel("Its telemetry among the last messages", last));
};
