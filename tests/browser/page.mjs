// The page in a browser: how a test opens it, what it looks at, and what it waits for.

import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { Node } from "./node.mjs";

export const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
export const WIDE = { width: 1440, height: 900 };
export const NARROW = { width: 390, height: 844 };
/** Every screen, under conditions that open all its parts; `{agency}` and others are filled in. */
export const SCREENS = {
  overview: "overview",
  territories: "territories?region={region}",
  agencies: "agencies?agency={agency}",
  managers: "managers?show=criteria,channels",
  figure: "managers/{tenure}/{period}",
  data: "data",
  surveys: "surveys",
};

export const node = new Node();
export const NOT_OURS = !node.isOwn && "only for a node of the test's own";
/** What a browser says of a node that does not answer. */
export const LOST = /Failed to load resource|ERR_|EventSource|WebSocket/;
let browser;

export async function start() {
  await node.start();
  const userData = mkdtempSync(join(process.env.OTKLIK_WORK, "chromium-"));
  browser = await chromium.launchPersistentContext(userData, {
    executablePath: "/usr/bin/chromium",
    args: FLAGS,
  });
}

export async function stop() {
  await browser?.close();
  if (node.isOwn) await node.kill();
}

/**
 * Opens a screen anew, as a reader who was never here: `{ page, context }`; `before(page)` is called
 * before it is there, `of` is another node than the one of all tests.
 */
export async function look(at, options = {}) {
  const { viewport = WIDE, locale = "en-GB", colorScheme = "light", before, of = node } = options;
  const context = await browser.browser().newContext({ viewport, locale, colorScheme });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  await before?.(page);
  await page.goto(`${of.url}/#/${at}`);
  return { page, context };
}

/**
 * The same for a test, which fails where the page complained or asked another host. `expects` are
 * complaints that the test provokes.
 */
export async function open(t, at = "", options = {}) {
  const { before, expects, of = node } = options;
  const complaints = [];
  const hosts = new Set();
  const listen = async (page) => {
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.stack));
    page.on("request", (request) => hosts.add(new URL(request.url()).host));
    await before?.(page);
  };
  const { page, context } = await look(at, { ...options, before: listen });
  t.after(async () => {
    await context.close();
    const unexpected = complaints.filter((text) => !expects?.test(text));
    assert.deepEqual(unexpected, [], "the page complained");
    assert.deepEqual([...hosts], [new URL(of.url).host], "the page asked another host");
  });
  return page;
}

/** Goes to another address of the page that is open. */
export async function visit(page, at) {
  await page.evaluate((at) => (location.hash = `#/${at}`), at);
}

export const rowsOf = (page) => page.locator(".figures tbody tr");
export const rowOf = (page, { tenure, period }) =>
  page.locator(`tr[data-key="${tenure}\\a ${period}"]`);
export const cell = (row, column) => row.locator(`[data-column="${column}"]`);
export const filled = (page) => rowsOf(page).first().waitFor();
export const isLive = (page) =>
  page.locator('.standing[data-state="live"]').waitFor({ timeout: 60_000 });
export const number = (text) => Number(text.replace(/[^\d.-]/g, ""));
/** As the page writes them in English. */
export const percentText = (value) => (value === null ? "–" : `${value.toFixed(2)}%`);
export const integerText = (value) => value.toLocaleString("en-GB");

/** Waits until `check` holds: where ratings come in meanwhile, both sides of it move. */
export async function eventually(check, ms, what) {
  const until = Date.now() + ms;
  while (!(await check())) {
    assert.ok(Date.now() < until, `not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** Waits until what `shown` gives equals what `wanted` gives. */
export async function agree(shown, wanted, what) {
  let last;
  const check = async () => {
    last = [await shown(), await wanted()];
    return JSON.stringify(last[0]) === JSON.stringify(last[1]);
  };
  await eventually(check, 20_000, what).catch(() => assert.deepEqual(last[0], last[1], what));
}

/**
 * A running period of a manager of an agency, as the API has it: with the most ratings, so that it
 * keeps its place in the table when it gets others; the only one in office, so that they are his.
 */
export async function someManager() {
  const all = await node.rows("manager_periods", { status: "in_progress" });
  const alone = (unit) => all.filter((other) => other.unit === unit).length === 1;
  const rated = all.filter(({ agency, unit }) => agency !== null && alone(unit));
  return rated.reduce((most, other) => (other.n > most.n ? other : most));
}

/** The address of a screen of `SCREENS`. */
export function addressOf(screen, { agency, region, tenure, period }) {
  const parts = { agency, region, tenure, period };
  return SCREENS[screen].replace(/\{(\w+)\}/g, (_, name) => parts[name]);
}
