// The process behind the page goes and comes back: the page says so, and goes on by itself.

import { writeFileSync } from "node:fs";
import { assert, browser, go, open, told } from "./browser.mjs";

const { page, close } = await open({ expected: [/ERR_CONNECTION|Failed to load resource|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE/] });
const say = (word) => writeFileSync(`${told.words}/${word}`, "");
await go(page, told.page, "");
await page.waitForSelector(".state.live");
say("listening");
await page.waitForSelector(".state.lost");
assert.match(await page.locator(".state").textContent(), /no connection/);
say("lost");
await page.waitForSelector(".state.live", { timeout: 40000 });
await page.waitForFunction(() => !document.querySelector(".trouble"), undefined, { timeout: 15000 });
await close();
await browser.close();
console.log("lost, shown, back");
