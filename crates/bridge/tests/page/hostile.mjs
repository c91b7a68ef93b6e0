// Names and payloads that somebody made up to do harm: they are shown, and do nothing.

import { assert, browser, get, go, open, post, told, until, uplink } from "./browser.mjs";

const NAMES = [
  "<script>window.__pwned=1</script>", "<img src=x onerror=\"window.__pwned=1\">", "\"><svg onload=window.__pwned=1>", "javascript:window.__pwned=1",
  "\u202Egnp.exe\u202C", "\u2066isolated\u2069", "a\u0007b\u001b[2J\u0000c\u200b", "line\nbreak\ttab", "__proto__", "constructor", "toString", "..", "%2e%2e%2f", "a/b?c#d&e=f", "x".repeat(1024), "\ud800half", "{{7*7}}${7*7}",
];
const { page, close } = await open({ expected: [/status of 404/] });

for (const [n, name] of NAMES.entries()) {
  const fields = { note: name, [name]: name, temperature: 20 };
  const named = await post(told.webhook, uplink(name, { decoded_payload: fields, f_cnt: n }));
  const inApplication = await post(told.webhook, uplink(`plain-${n}`, { decoded_payload: fields, f_cnt: n }, name));
  // An id that no identity may have is kept as well: only broken JSON is refused.
  for (const { status } of [named, inApplication]) assert.ok(status === 202, `${name}: ${status}`);
  assert.equal((await post(told.webhook, uplink(`body-${n}`, { decoded_payload: fields, f_cnt: n }))).status, 202);
}
assert.equal((await post(told.webhook, JSON.stringify(NAMES))).status, 202);
await until(async () => (await get(`${told.page}/api/v1/messages?limit=1000`)).messages.some((m) => m.device === `body-${NAMES.length - 1}` && m.state === "delivered"), "what could be sent is delivered", 40);
const { letters } = await get(`${told.page}/api/v1/dead-letters?limit=1000`);
assert.ok(letters.length > 5, "what cannot be sent stands in the dead letters");
const { messages } = await get(`${told.page}/api/v1/messages?limit=1000`);
const { devices } = await get(`${told.page}/api/v1/devices?limit=1000`);

const at = (...parts) => `#/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
const inert = async (where) => {
  assert.equal(await page.evaluate(() => window.__pwned), undefined, where);
  const strange = await page.evaluate(() => [...document.querySelectorAll("main img, main script, main iframe, main svg [onload], main [onerror], main [style]")].map((node) => node.outerHTML));
  assert.deepEqual(strange, [], where);
  assert.ok(!/\u202E|\u202C|\u2066|\u200b|\u0007|\u001b/u.test(await page.locator("main").textContent()), `${where}: a character that is not seen is in the text`);
};
const seen = async (base, hash, text) => {
  await go(page, base, hash);
  await inert(hash);
  if (text) assert.ok((await page.locator("main").textContent()).includes(text), `${hash} shows ${text}`);
};

for (const hash of ["", "#/devices", "#/messages", "#/targets", "#/map", "#/alarms", "#/configuration"]) await seen(told.page, hash);
await seen(told.page, "#/dead-letters", "\\u{202e}gnp.exe");
for (const letter of letters.slice(0, 20)) await seen(told.page, at("dead-letters", letter.seq));
const bodies = messages.filter((m) => m.device.startsWith("body-") && m.body?.includes("temperature"));
assert.ok(bodies.length > 5, "their bodies are remembered");
for (const message of bodies.slice(0, 5)) await seen(told.page, at("messages", message.message_id), "temperature");
for (const message of messages.slice(0, 10)) await seen(told.page, at("messages", String(message.seq)));
for (const one of devices.slice(0, 5)) await seen(told.page, at("devices", one.network, one.application, one.device), one.device);
// Addresses that somebody else wrote.
for (const [n, name] of NAMES.map((name) => name.replace("\ud800", "")).entries()) await seen(told.page, n % 2 ? at("devices", "ttn", name, "x") : at("messages", name));
for (const hash of ["#/%", "#/devices/%E0%A4%A", "#/__proto__", "#/constructor/x", "#/../../etc"]) await seen(told.page, hash);
for (const hash of ["", "#/devices", "#/telemetry"]) await seen(told.simulator, hash);
await close();
await browser.close();
console.log(`${NAMES.length} strings, inert`);
