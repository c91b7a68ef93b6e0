// A crowd of devices: the first paint does not wait for them, a page of them comes at once, and a search finds one.

import { assert, browser, get, open, told, until } from "./browser.mjs";

const { page, close } = await open();
const assigned = await until(async () => { const { devices_assigned: n } = await get(`${told.page}/api/v1/snapshot`); return n >= told.crowd && n; }, "all are assigned", 480);
const paint = async (hash) => {
  await page.goto("about:blank");
  await page.goto(`${told.page}/${hash}`);
  const first = await until(() => page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime), "a paint");
  await page.waitForFunction(() => document.querySelector("main tbody tr, main .station"));
  return { first: Math.round(first), content: Math.round(await page.evaluate(() => performance.now())) };
};
const figures = { overview: await paint(""), devices: await paint("#/devices") };
const begun = Date.now();
await page.getByRole("searchbox", { name: "Search" }).fill((await get(`${told.page}/api/v1/devices?limit=1&search=99`)).devices[0].device);
await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1, undefined, { timeout: 30000 });
figures.search_ms = Date.now() - begun;
const map = await paint("#/map").catch(() => null);
console.log(JSON.stringify({ assigned, ...figures, map }));
assert.ok(figures.overview.first < 1000 && figures.devices.first < 1000, "the first paint is within a second");
await close();
await browser.close();
