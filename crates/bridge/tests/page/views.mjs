// Every view of both pages: light and dark, desktop and phone (each with each in the long form); nothing is heard, axe finds nothing that keeps somebody out, nothing is too wide.

import { mkdirSync } from "node:fs";
import { assert, axe, browser, fits, get, go, open, post, told, until, uplink } from "./browser.mjs";

const pictures = process.env.LONGHAUL_SCREENSHOTS;
// Those that docs/page.md shows.
const PICTURES = new Set(["overview", "overview-dark", "overview-phone", "devices", "device", "device-phone", "message", "dead-letters", "targets", "map", "simulator-overview", "simulator-device"]);
if (pictures) mkdirSync(pictures, { recursive: true });

// Something of each kind to see.
for (const text of ["[1, 2, 3]", '{"end_device_ids": {}}']) assert.equal((await post(told.webhook, text)).status, 202);
for (let n = 1; n < 40; n += 1) {
  const place = { latitude: 52 + 0.4 * Math.sin(n * 1.7), longitude: 5 + 0.7 * Math.cos(n * 2.3), altitude: 12, source: "SOURCE_REGISTRY" };
  const more = { f_cnt: n, rx_metadata: [{ gateway_ids: { gateway_id: "gw-1" }, rssi: -70 - ((n * 13) % 52), snr: 4 }], locations: { user: place } };
  assert.equal((await post(told.webhook, uplink(`field-${n}`, more))).status, 202);
}
for (let n = 0; n < 16; n += 1) {
  if (pictures) await new Promise((done) => setTimeout(done, 250 + 60 * (n % 5))); // a plot to look at
  const rx_metadata = [{ gateway_ids: { gateway_id: "gw-1" }, rssi: -93 - ((n * 7) % 12), snr: 6 - ((n * 5) % 9) }, ...(n % 3 ? [{ gateway_ids: { gateway_id: "gw-2" }, rssi: -110, snr: -2 }] : [])];
  assert.equal((await post(told.webhook, uplink("field-0", { f_cnt: 100 + n, rx_metadata }))).status, 202);
}
const messages = async () => (await get(`${told.page}/api/v1/messages?limit=100`)).messages;
const { network, application, device, message_id: id } = await until(async () => (await messages()).find((m) => m.state === "delivered" && m.device === "field-0"), "a message is delivered");
const letters = await until(async () => { const { letters: all } = await get(`${told.page}/api/v1/dead-letters`); return all.length >= 2 && all; }, "dead letters");
const [hubDevice] = (await get(`${told.simulator}/api/devices?limit=1`)).devices;
const at = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

const VIEWS = {
  bridge: [told.page, { overview: "", devices: "#/devices", device: at("devices", network, application, device), messages: "#/messages", message: at("messages", id),
    "dead-letters": "#/dead-letters", "dead-letter": at("dead-letters", String(letters[0].seq)), targets: "#/targets", map: "#/map", alarms: "#/alarms", configuration: "#/configuration" }],
  simulator: [told.simulator, { overview: "", devices: "#/devices", device: at("devices", hubDevice.hub, hubDevice.device_id), telemetry: "#/telemetry" }],
};

const TWO = [["desktop", "light"], ["phone", "dark"]];
const WAYS = pictures || process.env.LONGHAUL_TEST_LONG ? [...TWO, ["desktop", "dark"], ["phone", "light"]] : TWO;
for (const [screen, scheme] of WAYS) {
  const { page, close } = await open({ screen, scheme });
  for (const [whose, [base, views]] of Object.entries(VIEWS)) {
    for (const [name, hash] of Object.entries(views)) {
      const where = `${whose} ${name}, ${screen}, ${scheme}`;
      await go(page, base, hash);
      assert.equal(await page.locator(".trouble").count(), 0, `${where}: ${await page.locator(".trouble").allTextContents()}`);
      if (name === "overview") await page.waitForSelector(".state.live");
      await fits(page, where);
      await axe(page, where);
      const picture = `${whose === "bridge" ? "" : "simulator-"}${name}${screen === "phone" ? "-phone" : ""}${scheme === "dark" ? "-dark" : ""}`;
      if (pictures && PICTURES.has(picture)) {
        if (name === "overview") await page.waitForTimeout(screen === "desktop" ? 20000 : 2000); // a line to look at
        await page.screenshot({ path: `${pictures}/${picture}.png` });
      }
    }
  }
  await close();
}
await browser.close();
console.log(`every view, ${WAYS.length} ways`);
