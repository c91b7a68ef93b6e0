// The browser, and what must never be heard of in it: errors, refusals by the policy, dialogs, scripts of others.

import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import { existsSync, readFileSync } from "node:fs";

const require = createRequire(import.meta.url);
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const told = JSON.parse(process.env.TOLD);
export const SCREENS = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

const executablePath = PATHS.find(existsSync);
if (!executablePath) throw new Error("NOT PROVED: no Chromium, install Debian's `chromium`");
// The sandbox needs rights that a root of a container has not.
export const browser = await chromium.launch({ executablePath, chromiumSandbox: false });

// A page whose faults are collected; `heard` must be empty in the end. `expected` are patterns of what is meant to be heard.
export const open = async ({ screen = "desktop", scheme = "light", expected = [], ...more } = {}) => {
  const context = await browser.newContext({ viewport: SCREENS[screen], colorScheme: scheme, reducedMotion: "reduce", timezoneId: "UTC", ...more });
  const page = await context.newPage();
  const heard = [];
  const hear = (text) => { if (!expected.some((pattern) => pattern.test(text))) heard.push(text); };
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) hear(`console: ${message.text()} ${message.location().url}`); });
  page.on("pageerror", (error) => hear(`error: ${error.stack}`));
  page.on("dialog", (dialog) => { hear(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => { if (!request.url().startsWith("http://127.0.0.1") && !request.url().startsWith("http://localhost")) hear(`request elsewhere: ${request.url()}`); });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  page.setDefaultTimeout(15000);
  return { page, heard, close: async () => { assert.deepEqual(heard, []); await context.close(); } };
};

// Once the view has what it asked for.
export const settled = async (page) => {
  await page.waitForSelector("main h1");
  await page.waitForFunction(() => !document.querySelector("main[aria-busy], main [aria-busy]"));
};

export const go = async (page, base, hash) => {
  await page.goto(`${base}/${hash}`);
  await settled(page);
};

// Faults that keep somebody out; run beside the page's own scripts, past its policy, as a browser's extension is.
export const axe = async (page, where) => {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const bad = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  assert.deepEqual(bad.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} (${node.failureSummary?.split("\n")[1]?.trim()})`).join(" | ")}`), [], where);
};

export const fits = async (page, where) => {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${where} is ${over} px wider than the screen`);
};

export const post = async (address, body) => {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body: text });
  return { status: response.status, body: await response.json().catch(() => null) };
};

export const get = async (address) => (await fetch(address)).json();

// Looks until it is there.
export const until = async (look, what, seconds = 20) => {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < end, `not within ${seconds} s: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
};

// An uplink as The Things Stack posts it.
export const uplink = (device, more = {}, application = "building") => ({
  end_device_ids: { device_id: device, application_ids: { application_id: application }, dev_eui: "70B3D57ED0000001" },
  received_at: new Date().toISOString(),
  uplink_message: { session_key_id: "AYfg8rhha5n+FWx0ZaAprA==", f_port: 2, f_cnt: 1, frm_payload: "AQIDBA==", received_at: new Date().toISOString(),
    rx_metadata: [{ gateway_ids: { gateway_id: "gw-1" }, rssi: -81, snr: 7.5, location: { latitude: 52.1, longitude: 5.1 } }],
    settings: { data_rate: { lora: { bandwidth: 125000, spreading_factor: 9 } } }, ...more },
});

export { assert };
