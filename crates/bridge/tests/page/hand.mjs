// The simulator's page: a message, a method and a patch in one hand, telemetry as it comes.

import { assert, browser, get, go, open, settled, told, until } from "./browser.mjs";

// A device that hears no methods is said to be away: the browser notes each answer of that kind.
const { page, close } = await open({ expected: [/404/] });
const { devices: [{ hub, device_id: device }] } = await until(async () => { const found = await get(`${told.simulator}/api/devices`); return found.devices.length && found; }, "a device registers");
const twin = () => get(`${told.simulator}/api/devices/${device}/twin`);

await go(page, told.simulator, "#/devices");
await page.getByRole("searchbox", { name: "Search" }).fill(device.toUpperCase());
await page.getByRole("link", { name: device }).click();
await settled(page);
assert.ok(page.url().includes(hub));

await page.getByRole("textbox", { name: "Body" }).fill('{"valve": "open", "at": 1.50}');
await page.getByLabel(/^Properties/).fill("f_port: 15\nconfirmed: true");
await page.getByRole("button", { name: "Send" }).click();
await page.getByText("1 waiting for the device").waitFor();
assert.equal((await twin()).cloudToDeviceMessageCount, 1);
await page.getByLabel(/^Properties/).fill("nothing");
await page.getByRole("button", { name: "Send" }).click();
await page.getByText("this is none").waitFor();

await page.getByRole("textbox", { name: "Method" }).fill("reboot");
await page.getByRole("button", { name: "Call" }).click();
await page.getByText("DeviceNotOnline").waitFor();

await page.getByLabel("Merge patch, JSON").fill('{"interval_s": 60, "name": "<b>x</b>"}');
await page.getByRole("button", { name: "Patch the twin" }).click();
await page.getByText("desired version 2").waitFor();
assert.deepEqual((await twin()).properties.desired.interval_s, 60);
assert.match(await page.locator("pre.body").first().textContent(), /"interval_s": 60/);

await page.getByRole("button", { name: "Disable" }).click();
await until(async () => (await twin()).status === "disabled", "it is switched off");
await page.getByRole("button", { name: "Enable" }).click();
await until(async () => (await twin()).status === "enabled", "it is switched on");

await go(page, told.simulator, "#/telemetry");
const newest = async () => page.locator("tbody tr").first().textContent();
const before = await newest();
await until(async () => (await newest()) !== before, "telemetry comes by itself");
await page.getByRole("button", { name: "Hold still" }).click();
const held = await newest();
await page.waitForTimeout(2500);
assert.equal(await newest(), held, "it holds still");
await close();
await browser.close();
console.log("sent, called, patched, seen");
