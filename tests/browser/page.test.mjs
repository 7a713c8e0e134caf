// The page of a node in a real browser.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { Node } from "./node.mjs";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const WIDE = { width: 1440, height: 900 };
const NARROW = { width: 390, height: 844 };
const { OTKLIK_PICTURES, OTKLIK_ROOT, OTKLIK_WORK } = process.env;

const node = new Node();
const NOT_OURS = !node.isOwn && "only for a node of the test's own";
const NO_PICTURES = !OTKLIK_PICTURES && "OTKLIK_PICTURES is not set";
let browser;

before(async () => {
  await node.start();
  const userData = mkdtempSync(join(OTKLIK_WORK, "chromium-"));
  browser = await chromium.launchPersistentContext(userData, {
    executablePath: "/usr/bin/chromium",
    args: FLAGS,
  });
});

after(async () => {
  await browser?.close();
  if (node.isOwn) await node.kill();
});

/** Opens the page anew, as a reader who was never here; closes it after the test. */
async function open(t, { viewport = WIDE, locale = "en-GB", colorScheme = "light", before } = {}) {
  const context = await browser.browser().newContext({ viewport, locale, colorScheme });
  t.after(() => context.close());
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(error.message));
  page.hosts = new Set();
  page.on("request", (request) => page.hosts.add(new URL(request.url()).origin));
  await before?.(page);
  await page.goto(node.url);
  return page;
}

const rowsOf = (page) => page.locator(".figures tbody tr:not(.skeleton)");
const filled = (page) => rowsOf(page).first().waitFor();
const isLive = (page) => page.locator('.standing[data-state="live"]').waitFor({ timeout: 30_000 });
const cell = (row, column) => row.locator(`[data-column="${column}"]`);
const number = (text) => Number(text.replace(/[^\d.-]/g, ""));

/** Waits until `check` holds. */
async function eventually(check, ms, what) {
  const until = Date.now() + ms;
  while (!(await check())) {
    assert.ok(Date.now() < until, `not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A running period of a manager of an agency, as the API has it, and its row on the page. */
async function someManager(page) {
  const all = await node.rows("manager_periods", { status: "in_progress" });
  const keys = await rowsOf(page).evaluateAll((rows) => rows.map((row) => row.dataset.key));
  // Of two who are in office at once, a rating belongs to one only; and one with many ratings keeps
  // its place among the rows shown when it gets another.
  const alone = (unit) => all.filter((other) => other.unit === unit).length === 1;
  const shown = all.filter(({ agency, unit, tenure, period }) => {
    return agency !== null && alone(unit) && keys.includes(`${tenure}\n${period}`);
  });
  const data = shown.reduce((most, other) => (other.n > most.n ? other : most));
  return { data, row: page.locator(`tr[data-key="${data.tenure}\\a ${data.period}"]`) };
}

test("loads without complaint and asks no other host", async (t) => {
  const page = await open(t);
  await filled(page);
  await isLive(page);
  assert.deepEqual(page.complaints, []);
  assert.deepEqual([...page.hosts], [node.url]);
});

test("shows the figures of the API, row by row", async (t) => {
  const page = await open(t);
  await filled(page);
  const keys = await rowsOf(page).evaluateAll((rows) => {
    return rows.slice(0, 20).map((row) => row.dataset.key);
  });
  assert.equal(keys.length, 20);
  for (const key of keys) {
    const [tenure, period] = key.split("\n");
    const row = page.locator(`tr[data-key="${tenure}\\a ${period}"]`);
    // Where ratings come in meanwhile, both sides move: they are compared until they meet.
    await eventually(async () => {
      const [{ k, n, percent }] = await node.rows("manager_periods", { tenure, period });
      const shown = await row.evaluate((tr) => {
        return ["value", "k", "n"].map((id) => tr.querySelector(`[data-column="${id}"]`).innerText);
      });
      const wanted = [`${percent.toFixed(2)}%`, k.toLocaleString("en"), n.toLocaleString("en")];
      return shown.every((text, at) => text.trim() === wanted[at]);
    }, 5000, `figures of ${tenure}, period ${period}`);
  }
});

test("counts what there is, and the totals add up", async (t) => {
  const page = await open(t);
  await filled(page);
  await isLive(page);
  for (const [tab, view, conditions] of [
    ["managers", "manager_periods", { status: "in_progress" }],
    ["agencies", "agencies", {}],
    ["territories", "territories", { agency: "" }],
  ]) {
    await page.locator(`#tab-${tab}`).click();
    await eventually(async () => {
      const shown = number(await page.locator(`#tab-${tab} .number`).textContent());
      return shown === (await node.rows(view, conditions)).length;
    }, 5000, `number of ${tab}`);
  }
  await eventually(async () => {
    const [{ accepted }] = await node.rows("conservation");
    return number(await page.locator('[data-total="accepted"]').innerText()) === accepted;
  }, 5000, "accepted ratings");
  assert.equal(await page.locator("[data-balanced]").getAttribute("data-balanced"), "true");
});

test("a rating sent changes the figure shown within two seconds", async (t) => {
  const page = await open(t);
  await filled(page);
  await isLive(page);
  const { data, row } = await someManager(page);
  await page.evaluate(() => (window.isSamePage = true));
  const before = number(await cell(row, "n").innerText());
  const sent = Date.now();
  await node.rate(data, 1);
  await eventually(async () => number(await cell(row, "n").innerText()) >= before + 5, 20000, "N");
  t.diagnostic(`shown ${Date.now() - sent} ms after it was sent`);
  assert.match(await cell(row, "change").innerText(), /−\d/);
  await page.locator(".changes li").first().waitFor();
  assert.ok(await page.evaluate(() => window.isSamePage), "without a reload");
});

test("stands still on demand, and catches up", async (t) => {
  const page = await open(t);
  await filled(page);
  await isLive(page);
  const { data, row } = await someManager(page);
  await page.locator("#pause").click();
  await page.locator('.standing[data-state="paused"]').waitFor();
  const before = number(await cell(row, "n").innerText());
  await node.rate(data, 5);
  await eventually(async () => {
    const { tenure, period } = data;
    return (await node.rows("manager_periods", { tenure, period }))[0].n >= before + 5;
  }, 5000, "the node's figure");
  await page.waitForResponse(/status/);
  assert.equal(number(await cell(row, "n").innerText()), before);
  await page.locator("#pause").click();
  await eventually(async () => number(await cell(row, "n").innerText()) >= before + 5, 20000, "N");
});

test("speaks the reader's language and remembers another", async (t) => {
  const page = await open(t, { locale: "ru-RU" });
  await filled(page);
  assert.equal(await page.locator("html").getAttribute("lang"), "ru");
  assert.match(await cell(rowsOf(page).first(), "value").innerText(), /^\d+,\d\d\s%/);
  await page.locator("#language").click();
  assert.equal(await page.title(), "Otklik");
  assert.match(await cell(rowsOf(page).first(), "value").innerText(), /^\d+\.\d\d%/);
  await page.reload();
  await filled(page);
  assert.equal(await page.locator("html").getAttribute("lang"), "en");
});

test("follows the system's colours and remembers others", async (t) => {
  const page = await open(t, { colorScheme: "dark" });
  const theme = () => page.locator("html").getAttribute("data-theme");
  assert.equal(await theme(), "dark");
  await page.emulateMedia({ colorScheme: "light" });
  await eventually(async () => (await theme()) === "light", 2000, "the system's change");
  await page.locator("#theme").click();
  assert.equal(await theme(), "dark");
  await page.reload();
  assert.equal(await theme(), "dark");
});

test("its texts can be read: contrast is 4.5 at least", async (t) => {
  for (const colorScheme of ["light", "dark"]) {
    const page = await open(t, { colorScheme });
    const poor = await page.evaluate(() => {
      const context = document.createElement("canvas").getContext("2d");
      const luminance = (name) => {
        context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
        const parts = context.fillStyle.match(/[0-9a-f]{2}/g).map((hex) => parseInt(hex, 16) / 255);
        const linear = parts.map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
      };
      const grounds = ["--ground", "--card", "--raised", "--same-soft"];
      const pairs = ["--ink", "--muted"].flatMap((ink) => grounds.map((ground) => [ink, ground]));
      for (const name of ["good", "bad", "warn", "accent"]) {
        pairs.push([`--${name}`, `--${name}-soft`], [`--${name}`, "--card"]);
      }
      pairs.push(["--ink", "--good-soft"], ["--ink", "--bad-soft"], ["--muted", "--good-soft"]);
      pairs.push(["--muted", "--bad-soft"]);
      return pairs.filter(([ink, ground]) => {
        const [dark, light] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
        return (light + 0.05) / (dark + 0.05) < 4.5;
      });
    });
    assert.deepEqual(poor, [], colorScheme);
  }
});

test("sorts, filters and changes tabs by keyboard", async (t) => {
  const page = await open(t);
  await filled(page);
  const heading = page.locator('th[data-column="value"]');
  await heading.locator("button").press("Enter");
  assert.equal(await heading.getAttribute("aria-sort"), "descending");
  await heading.locator("button").press("Enter");
  assert.equal(await heading.getAttribute("aria-sort"), "ascending");
  const values = await rowsOf(page).evaluateAll((rows) => {
    return rows.map((row) => parseFloat(row.querySelector('[data-column="value"] b').textContent));
  });
  assert.ok(values.every((value, at) => at === 0 || values[at - 1] <= value), `${values}`);

  const { data } = await someManager(page);
  await page.locator("#search").fill(data.tenure);
  const isOne = async () => (await rowsOf(page).count()) === 1;
  await eventually(isOne, 2000, "the one row that matches");
  await page.locator("#search").fill("no such name");
  await page.locator(".empty").first().waitFor();

  await page.locator("#tab-managers").focus();
  await page.keyboard.press("ArrowRight");
  await page.locator('[data-table="agencies"] tbody tr').first().waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "tab-agencies");
});

test("is a table to who cannot see it", async (t) => {
  const page = await open(t);
  await filled(page);
  const table = page.getByRole("table", { name: "Managers" });
  assert.equal(await table.getByRole("columnheader").count(), 8);
  assert.equal(await table.getByRole("row").nth(1).getByRole("cell").count(), 8);
});

test("fits a phone", async (t) => {
  const page = await open(t, { viewport: NARROW, locale: "ru-RU" });
  await filled(page);
  for (const tab of ["managers", "agencies", "territories", "activity"]) {
    await page.locator(`#tab-${tab}`).click();
    const widths = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.equal(widths[0], widths[1], tab);
  }
});

test("a stream that fails is named, and taken up again", async (t) => {
  const pattern = /views\/agencies\/live/;
  const page = await open(t, {
    before: (page) => page.route(pattern, (route) => route.fulfill({ status: 503 })),
  });
  await filled(page);
  await page.locator("#tab-agencies").click();
  const notice = page.locator('.notice[data-kind="error"]');
  await notice.waitFor();
  assert.match(await notice.innerText(), /agencies/);
  await page.unroute(pattern);
  await notice.getByRole("button").click();
  await isLive(page);
  assert.equal(await notice.count(), 0);
});

test("lets its connections go while nobody sees it", { skip: NOT_OURS }, async (t) => {
  const page = await open(t, { before: (page) => page.clock.install() });
  await filled(page);
  await isLive(page);
  const hide = (isHidden) => page.evaluate((isHidden) => {
    Object.defineProperty(document, "hidden", { get: () => isHidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
  const subscribers = async () => (await (await fetch(`${node.url}/v1/status`)).json()).subscribers;
  assert.ok((await subscribers()) > 0);
  await hide(true);
  await page.clock.fastForward(31_000);
  await eventually(async () => (await subscribers()) === 0, 5000, "all streams closed");
  await hide(false);
  await isLive(page);
  assert.ok((await subscribers()) > 0);
});

test("survives the death of the node", { skip: NOT_OURS }, async (t) => {
  const page = await open(t);
  await filled(page);
  await isLive(page);
  const { data, row } = await someManager(page);
  const before = number(await cell(row, "n").innerText());
  await node.kill();
  await page.locator('.standing[data-state="lost"]').waitFor();
  assert.equal(number(await cell(row, "n").innerText()), before, "figures stay, with their age");
  await node.run();
  await isLive(page);
  await node.rate(data, 5);
  await eventually(async () => number(await cell(row, "n").innerText()) >= before + 5, 20000, "N");
});

test("both languages have the same words", async () => {
  const words = async (language) => {
    const path = join(OTKLIK_ROOT, `src/dashboard/page/words/${language}.js`);
    const text = (await import("node:fs")).readFileSync(path, "utf8");
    return (await import(`data:text/javascript,${encodeURIComponent(text)}`)).default;
  };
  const keys = (object) => Object.entries(object).flatMap(([key, value]) => {
    return typeof value === "object" ? keys(value).map((inner) => `${key}.${inner}`) : [key];
  });
  const [russian, english] = [await words("ru"), await words("en")];
  assert.deepEqual(keys(russian), keys(english));
});

test("has its picture taken", { skip: NO_PICTURES }, async (t) => {
  for (const [name, viewport] of [["wide", WIDE], ["narrow", NARROW]]) {
    for (const colorScheme of ["light", "dark"]) {
      const locale = colorScheme === "light" ? "ru-RU" : "en-GB";
      const page = await open(t, { viewport, colorScheme, locale });
      await filled(page);
      await isLive(page);
      const rows = await node.rows("manager_periods", { status: "in_progress" });
      const rated = rows.filter(({ agency }) => agency !== null).sort((a, b) => b.n - a.n);
      for (const [at, data] of rated.slice(0, 9).entries()) {
        await node.rate(data, at % 3 === 1 ? 2 : 5);
        if (viewport === WIDE) await page.locator(".changes li").nth(at).waitFor();
      }
      await page.locator(".figures [data-mark]").first().waitFor();
      await page.screenshot({ path: join(OTKLIK_PICTURES, `page-${name}-${colorScheme}.png`) });
    }
  }
});
