// Who can use the page: in either language, by keyboard alone, with a screen reader, in the dark,
// on a phone, with large type, on paper.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  NARROW, SCREENS, WIDE, addressOf, cell, eventually, filled, isLive, node, open, rowsOf,
  someManager, visit,
} from "./page.mjs";

const AXE = readFileSync(join(process.env.OTKLIK_WORK, "node_modules/axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** Opens every screen in turn and calls `look(page, screen)` when it is filled. */
async function tour(t, options, look) {
  const manager = await someManager();
  const page = await open(t, "overview", options);
  for (const screen of Object.keys(SCREENS)) {
    await visit(page, addressOf(screen, manager));
    await page.locator(`main[data-screen="${screen}"] h1`).waitFor({ state: "attached" });
    await isLive(page);
    await look(page, screen);
  }
}

const large = (page) => page.addInitScript(() => localStorage.setItem("otklik.type", "large"));

for (const [name, options] of [
  ["light and wide", { colorScheme: "light", viewport: WIDE, locale: "ru-RU" }],
  ["dark and wide, in large type", { colorScheme: "dark", viewport: WIDE, before: large }],
  ["dark and narrow", { colorScheme: "dark", viewport: NARROW, locale: "en-GB" }],
]) {
  test(`axe finds nothing on any screen, ${name}`, async (t) => {
    await tour(t, options, async (page, screen) => {
      await page.evaluate(`${AXE};0`);
      const found = await page.evaluate((runOnly) => axe.run(document, { runOnly }), RULES);
      const violations = found.violations.map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
      assert.deepEqual(violations, [], screen);
      assert.ok(found.passes.length > 10, "it has looked");
    });
  });
}

test("fits a phone, also with large type", async (t) => {
  await tour(t, { viewport: NARROW, locale: "ru-RU", before: large }, async (page, screen) => {
    const [main, width] = await page.evaluate(() => {
      return [document.querySelector("main").scrollWidth, document.documentElement.clientWidth];
    });
    assert.ok(main <= width, `${screen} is ${main} wide, and there are ${width}`);
  });
});

for (const [name, options] of [
  ["on a laptop", { viewport: WIDE }],
  ["on a laptop in large type", { viewport: WIDE, before: large }],
  ["on a phone", { viewport: NARROW }],
  ["on a tablet", { viewport: { width: 820, height: 1180 } }],
  ["on a wall", { viewport: { width: 3840, height: 2160 } }],
]) {
  test(`no figure and no name is cut off, ${name}`, async (t) => {
    await tour(t, { ...options, locale: "ru-RU" }, async (page, screen) => {
      // Parts that come later, as explanations do, have to find their room too.
      await eventually(async () => (await page.locator(".skeleton").count()) === 0, 20_000, screen);
      assert.deepEqual(await page.evaluate(cutOff), [], screen);
    });
  });
}

/**
 * Texts that reach beyond a box that hides what is too much, or beyond their card. Names end in an
 * ellipsis and have the whole as a title; on a phone a status is its icon.
 */
function cutOff() {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text !== null; text = walker.nextNode()) {
    const own = text.parentElement;
    if (own.closest(".unseen, .skip, .status, option, script, noscript")) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    const { left, right, bottom, width } = range.getBoundingClientRect();
    if (width === 0) continue;
    for (let box = own; box !== document.body; box = box.parentElement) {
      const { overflowX, overflowY, textOverflow, webkitLineClamp } = getComputedStyle(box);
      const isNamed = textOverflow === "ellipsis" || webkitLineClamp !== "none";
      if (isNamed && own.closest("[title]") !== null) break;
      if (overflowX === "auto" || overflowY === "auto") break; // scrolls
      if (overflowX === "visible" && !box.matches(".card")) continue;
      const around = box.getBoundingClientRect();
      if (left < around.left - 1 || right > around.right + 1 || bottom > around.bottom + 2) {
        found.push(`${text.data.trim()} in ${box.className || box.tagName}`);
        break;
      }
    }
  }
  return found;
}

test("speaks the reader's language and remembers another", async (t) => {
  const page = await open(t, "managers", { locale: "ru-RU" });
  await filled(page);
  assert.equal(await page.locator("html").getAttribute("lang"), "ru");
  assert.match(await cell(rowsOf(page).first(), "value").innerText(), /^\d+,\d\d\s%/);
  await page.locator("#language").click();
  assert.equal(await page.title(), "Managers · Otklik");
  assert.match(await cell(rowsOf(page).first(), "value").innerText(), /^\d+\.\d\d%/);
  await page.reload();
  await filled(page);
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
});

test("no screen says anything in the other language", async (t) => {
  await tour(t, { locale: "en-GB" }, async (page, screen) => {
    // Names are data: they are as the agencies gave them, also where they are headings.
    const own = ":is(h1, h2, thead, dt, .about, legend, nav):not(.figure-head *, .detail-head > h2)";
    const texts = await page.locator(own).allInnerTexts();
    assert.ok(texts.length > 2);
    assert.deepEqual(texts.filter((text) => /[а-яё]/i.test(text)), [], screen);
  });
});

test("follows the system's colours and remembers others", async (t) => {
  const page = await open(t, "overview", { colorScheme: "dark" });
  const theme = () => page.locator("html").getAttribute("data-theme");
  assert.equal(await theme(), "dark");
  await page.emulateMedia({ colorScheme: "light" });
  await eventually(async () => (await theme()) === "light", 2000, "the system's change");
  await page.locator("#theme").click();
  assert.equal(await theme(), "dark");
  await page.reload();
  assert.equal(await theme(), "dark");
});

test("large type is larger and remembered", async (t) => {
  const page = await open(t, "managers");
  await filled(page);
  const size = () => rowsOf(page).first().evaluate((row) => {
    return [parseFloat(getComputedStyle(row).fontSize), row.getBoundingClientRect().height];
  });
  const [type, height] = await size();
  await page.locator("#type").click();
  await eventually(async () => {
    const [nextType, nextHeight] = await size();
    return nextType > type * 1.2 && nextHeight > height * 1.2;
  }, 2000, "larger rows");
  await page.reload();
  await filled(page);
  assert.ok((await size())[0] > type * 1.2);
});

test("everything can be done by keyboard alone", async (t) => {
  const page = await open(t, "overview");
  await isLive(page);
  const focused = () => page.evaluate(() => {
    return document.activeElement.getAttribute("href") ?? document.activeElement.id;
  });
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "#main");
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "main");

  await page.locator('.menu a[href*="territories"]').focus();
  await page.keyboard.press("Enter");
  const tile = page.locator(".tile[tabindex='0']");
  await tile.focus();
  const first = await tile.getAttribute("data-okato");
  await page.keyboard.press("ArrowDown");
  const next = await page.evaluate(() => document.activeElement.dataset.okato);
  assert.notEqual(next, first);
  await page.keyboard.press("Enter");
  await page.locator(`.tile[data-okato="${next}"][aria-pressed="true"]`).waitFor();
  await page.locator(".detail").waitFor();

  await page.locator('.menu a[href*="managers"]').focus();
  await page.keyboard.press("Enter");
  await filled(page);
  const heading = page.locator('th[data-column="value"]');
  await heading.getByRole("button").press("Enter");
  const isSorted = async () => (await heading.getAttribute("aria-sort")) === "descending";
  await eventually(isSorted, 5000, "the order asked for");
  await page.locator('tr[aria-rowindex="2"] a').focus();
  await page.keyboard.press("ArrowDown");
  const wanted = await page.locator('tr[aria-rowindex="3"] a').getAttribute("href");
  assert.equal(await focused(), wanted);
  await page.keyboard.press("Enter");
  await page.locator(".formula").waitFor();
});

test("is a table to who cannot see it", async (t) => {
  const page = await open(t, "managers");
  await filled(page);
  const table = page.getByRole("table", { name: "Managers" });
  const headings = await table.getByRole("columnheader").count();
  assert.ok(headings >= 9);
  assert.equal(await table.getByRole("row").nth(1).getByRole("cell").count(), headings);
  const state = page.getByRole("status");
  assert.match(await state.innerText(), /\w/);
});

test("is printed without menu and filters, row after row", async (t) => {
  const page = await open(t, "managers");
  await filled(page);
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  await page.emulateMedia({ media: "print" });
  assert.ok(!(await page.locator(".menu").isVisible()));
  assert.ok(!(await page.locator(".filters").isVisible()));
  await eventually(async () => (await rowsOf(page).count()) > 100, 5000, "all rows");
  const [first, second] = await Promise.all([2, 3].map((at) => {
    return page.locator(`tr[aria-rowindex="${at}"]`).boundingBox();
  }));
  assert.ok(second.y >= first.y + first.height - 1, "rows stand below one another");
});

test("is printed black on white, also out of the dark", async (t) => {
  const page = await open(t, "overview", { colorScheme: "dark" });
  await isLive(page);
  const theme = () => page.locator("html").getAttribute("data-theme");
  assert.equal(await theme(), "dark");
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  assert.equal(await theme(), "light");
  await page.evaluate(() => dispatchEvent(new Event("afterprint")));
  assert.equal(await theme(), "dark");
  await page.reload();
  assert.equal(await theme(), "dark");
});

test("the interface for programs can be read, and tried out, under its own policy", async (t) => {
  const page = await open(t, "data");
  await page.getByRole("link", { name: "API" }).click();
  await page.waitForURL(`${node.url}/docs`);
  await page.locator(".opblock").first().waitFor();
  const described = await (await fetch(`${node.url}/openapi.json`)).json();
  const operations = Object.values(described.paths).flatMap((methods) => Object.keys(methods));
  assert.equal(await page.locator(".opblock").count(), operations.length);
  await page.locator(".opblock", { hasText: "/healthz" }).locator("button").first().click();
  await page.getByRole("button", { name: "Try it out" }).click();
  await page.getByRole("button", { name: "Execute" }).click();
  await page.locator(".live-responses-table", { hasText: "ok" }).waitFor();
});
