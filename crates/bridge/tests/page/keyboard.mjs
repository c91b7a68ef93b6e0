// Without a mouse: everything is reached, the place is always seen, and what opens can be left.

import { assert, browser, go, open, settled, told, until } from "./browser.mjs";

const { page, close } = await open();
const focused = () => page.evaluate(() => { const node = document.activeElement; return { name: node.localName, text: node.textContent.trim().slice(0, 60), label: node.getAttribute("aria-label") ?? "", outline: getComputedStyle(node).outlineStyle }; });
const tabTo = async (wanted, most = 60) => {
  for (let n = 0; n < most; n += 1) {
    await page.keyboard.press("Tab");
    const at = await focused();
    if (wanted(at)) { assert.notEqual(at.outline, "none", `the focus on ${at.text} is seen`); return at; }
  }
  assert.fail("Tab does not get there");
};

await go(page, told.page, "");
await page.keyboard.press("Tab");
assert.equal((await focused()).text, "To the content", "the first stop leads past the navigation");
await page.keyboard.press("Enter");
assert.equal((await focused()).name, "main");

// The plots: values at a moment with the arrow keys.
await page.waitForSelector(".state.live");
await until(() => page.locator(".plot path").first().isVisible().catch(() => false), "a line is drawn");
await tabTo((at) => at.name === "svg" && at.label.startsWith("Throughput"));
await page.keyboard.press("ArrowLeft");
assert.match(await page.locator(".plot .when").first().textContent(), /^\d\d:\d\d:\d\d$/);
await page.keyboard.press("Escape");
assert.equal(await page.locator(".plot .when").first().textContent(), "");

// Another view: the focus is on its title.
await go(page, told.page, "");
await tabTo((at) => at.name === "a" && at.text === "Devices");
await page.keyboard.press("Enter");
await until(async () => (await focused()).name === "h1", "the title has the focus");
await settled(page);
await tabTo((at) => at.name === "input");
await page.keyboard.type("dev");
await page.waitForURL(/search=dev/);
await settled(page);
await tabTo((at) => at.name === "a" && at.text.length > 3);
await page.keyboard.press("Enter");
await page.waitForURL(/#\/devices\/./);
await settled(page);
await page.goBack();
await page.waitForURL(/#\/devices(\?|$)/);
await settled(page);

// A question: Escape leaves it, and the focus is where it was.
await tabTo((at) => at.text === "Retry held devices");
await page.keyboard.press("Enter");
await page.getByRole("dialog").waitFor();
for (let n = 0; n < 5; n += 1) await page.keyboard.press("Tab");
await page.keyboard.press("Escape");
await until(async () => (await focused()).text === "Retry held devices", "the focus is back");

// The map.
await go(page, told.page, "#/map");
await tabTo((at) => at.name === "canvas");
for (const key of ["ArrowLeft", "ArrowDown", "+", "-", "0"]) await page.keyboard.press(key);

// The theme, which is kept.
await go(page, told.page, "");
await tabTo((at) => at.name === "select");
await page.keyboard.press("End");
await until(() => page.evaluate(() => document.documentElement.dataset.theme === "dark"), "it is dark");
await page.reload();
assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(16, 20, 19)");
await close();
await browser.close();
console.log("reached without a mouse");
