// A process that only takes messages, behind a token: what it knows is shown, what it cannot know says who does.

import { assert, browser, go, open, post, settled, told, uplink } from "./browser.mjs";

assert.equal((await fetch(told.page)).status, 401, "no page without the token");
const httpCredentials = { username: "anything", password: "page-token" };
const { page, close } = await open({ httpCredentials, expected: [/503/, /404.*radio/] });
assert.equal((await post(`${told.webhook}/tts`, uplink("waits-here"))).status, 202);
await go(page, told.page, "");
await page.waitForSelector(".state.live");
await page.waitForFunction(() => document.querySelectorAll(".station .big")[1]?.textContent === "1");
assert.match(await page.locator(".of").textContent(), /webhook/);
for (const hash of ["#/devices", "#/devices/ttn/building/x"]) {
  await page.goto(`${told.page}/${hash}`);
  await settled(page);
  await page.getByText("this process only takes messages").first().waitFor();
}
for (const hash of ["#/messages", "#/dead-letters", "#/targets", "#/map", "#/alarms", "#/configuration"]) await go(page, told.page, hash);
await close();
await browser.close();
console.log("a door has its page");
