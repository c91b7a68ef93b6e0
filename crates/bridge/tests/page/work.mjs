// An operator's work: a device is found, a message followed, dead letters replayed and dropped, each after a look at what would happen.

import { assert, browser, get, go, open, post, settled, told, until, uplink } from "./browser.mjs";

const { page, close } = await open();
const letters = async (query = "") => (await get(`${told.page}/api/v1/dead-letters?${query}`)).letters;
const refuse = (ids) => post(`${told.simulator}/api/faults`, ids.length ? { hub: { refuse: [{ ids, answer: { status: { status: 400, error_code: 400004, name: "ArgumentInvalid" } } }] } } : {});

// A device, by part of its name.
const first = await until(async () => (await get(`${told.page}/api/v1/devices?limit=5&state=attached`)).devices[0], "a device is attached", 40);
await go(page, told.page, "#/devices");
assert.ok(await page.locator("tbody tr").count() <= 100, "never all devices at once");
await page.getByRole("searchbox", { name: "Search" }).fill(first.device.toUpperCase());
await until(async () => (await page.locator("tbody tr").count()) === 1, "one device is left");
assert.ok(page.url().includes("search="), "the address says what is looked for");
await page.locator("tbody a").first().click();
await settled(page);
assert.equal(await page.locator("h1").textContent(), first.device);
assert.match(await page.locator("main").textContent(), /attached/);
await page.getByRole("img", { name: /RSSI/ }).waitFor();

// A message of it, by a link and by its id.
const link = page.getByRole("region", { name: "Its last messages" }).locator("a").first();
await link.click();
await settled(page);
await page.getByText("IoT Hub has it").waitFor();
const walk = await page.locator(".walk strong").allTextContents();
assert.equal(walk[0], "accepted");
assert.equal(walk.at(-1), "delivered");
const { messages } = await get(`${told.page}/api/v1/messages?limit=50`);
const { message_id: id, device } = messages.find((m) => m.state === "delivered" && m.message_id);
await go(page, told.page, "#/messages");
await page.getByRole("searchbox", { name: "Follow a message" }).fill(id);
await page.keyboard.press("Enter");
await page.waitForURL(/#\/messages\/./);
await settled(page);
await page.getByRole("link", { name: device, exact: false }).first().waitFor();

// One letter: refused for good, mended, replayed, delivered.
await refuse(["letter-1", "letter-2", "letter-3"]);
for (const name of ["letter-1", "letter-2", "letter-3"]) assert.equal((await post(told.webhook, uplink(name, {}, "post"))).status, 202);
await until(async () => (await letters("application=post")).length === 3, "three letters");
await refuse([]);
await go(page, told.page, "#/dead-letters?device=letter-1");
await until(async () => (await page.locator("tbody tr").count()) === 1, "one letter");
await page.locator("tbody").getByRole("link", { name: /^#/ }).click();
await settled(page);
await page.getByText("What to do:").waitFor();
await page.getByRole("button", { name: "Replay" }).click();
await page.getByRole("dialog").getByRole("button", { name: "Replay 1" }).click();
await page.waitForURL(/#\/messages\//);
await until(async () => { await page.getByRole("button", { name: "Look again" }).click({ timeout: 500 }).catch(() => {}); return page.getByText("IoT Hub has it").isVisible(); }, "the replayed message is delivered");
assert.equal((await letters("application=post")).length, 2);

// The rest by a filter: first a dry run that changes nothing.
await go(page, told.page, "#/dead-letters?application=post");
const all = page.getByRole("button", { name: "Replay all of the filter" });
await all.click();
const dialog = page.getByRole("dialog");
assert.match(await dialog.textContent(), /Replay 2 letters\?.*rejected/s);
await dialog.getByRole("button", { name: "Cancel" }).click();
assert.equal((await letters("application=post")).length, 2, "nothing has happened yet");
await all.click();
await dialog.getByRole("button", { name: "Replay 2" }).click();
await page.getByText("2 letters replayed").waitFor();
await until(async () => !(await letters("application=post")).length, "both are gone");
const sent = async (device_id) => (await get(`${told.page}/api/v1/messages?device=${device_id}`)).messages.some((m) => m.state === "delivered");
for (const name of ["letter-2", "letter-3"]) await until(() => sent(name), `${name} is delivered`);

// Dropped only when it was confirmed; the focus is on the way out.
assert.equal((await post(told.webhook, "[1]")).status, 202);
await until(async () => (await letters("reason=not_understood")).length === 1, "a letter that nobody understands");
await go(page, told.page, "#/dead-letters?reason=not_understood");
await page.getByRole("checkbox", { name: /^choose letter/ }).check();
await page.getByRole("button", { name: "Drop chosen" }).click();
assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel");
await page.keyboard.press("Enter");
assert.equal((await letters("reason=not_understood")).length, 1);
await page.getByRole("button", { name: "Drop chosen" }).click();
await dialog.getByRole("button", { name: "Drop 1 for good" }).click();
await until(async () => !(await letters("reason=not_understood")).length, "it is gone");
await close();
await browser.close();
console.log("found, followed, replayed, dropped");
