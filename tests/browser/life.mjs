// The page while time passes: ratings that come in, a display that is paused, a node that falls
// behind, dies and comes back.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  NOT_OURS, addressOf, cell, eventually, filled, isLive, node, number, open, rowOf, someManager,
} from "./page.mjs";

const countOf = async (row) => number(await cell(row, "n").innerText());
/** What a browser says of a node that does not answer. */
const LOST = /Failed to load resource|ERR_|EventSource|WebSocket/;

test("a rating sent changes the figure shown within two seconds", async (t) => {
  const manager = await someManager();
  const page = await open(t, "managers");
  await filled(page);
  await isLive(page);
  const row = rowOf(page, manager);
  await page.evaluate(() => (window.isSamePage = true));
  const before = await countOf(row);
  const sent = Date.now();
  await node.rate(manager, 1);
  await eventually(async () => (await countOf(row)) >= before + 5, 20_000, "N");
  t.diagnostic(`shown ${Date.now() - sent} ms after it was sent`);
  assert.match(await cell(row, "change").innerText(), /−\d/);
  assert.ok(await page.evaluate(() => window.isSamePage), "without a reload");
});

test("the card of a figure is live", async (t) => {
  const manager = await someManager();
  const page = await open(t, addressOf("figure", manager));
  await isLive(page);
  const counts = page.locator('[data-value="figure"] .value-counts');
  const all = async () => number((await counts.innerText()).split("of")[1]);
  await counts.waitFor();
  const before = await all();
  await node.rate(manager, 5);
  await eventually(async () => (await all()) >= before + 5, 20_000, "N");
});

test("stands still on demand, and catches up", async (t) => {
  const manager = await someManager();
  const page = await open(t, "managers");
  await filled(page);
  await isLive(page);
  const row = rowOf(page, manager);
  await page.locator("#pause").click();
  await page.locator('.standing[data-state="paused"]').waitFor();
  const before = await countOf(row);
  await node.rate(manager, 5);
  await eventually(async () => {
    const { tenure, period } = manager;
    return (await node.rows("manager_periods", { tenure, period }))[0].n >= before + 5;
  }, 10_000, "the node's figure");
  await page.waitForResponse(/status/);
  assert.equal(await countOf(row), before);
  await page.locator("#pause").click();
  await eventually(async () => (await countOf(row)) >= before + 5, 20_000, "N");
});

test("a view that fails is named, and taken up again", async (t) => {
  const pattern = /views\/agencies/;
  const page = await open(t, "agencies", {
    before: (page) => page.route(pattern, (route) => route.fulfill({ status: 503 })),
    expects: LOST,
  });
  const notice = page.locator('.notice[data-kind="error"]');
  await notice.waitFor();
  assert.match(await notice.innerText(), /agencies/);
  const again = page.waitForRequest(pattern);
  await notice.getByRole("button").click();
  await again;
  await page.unroute(pattern);
  await filled(page);
  await isLive(page);
  assert.equal(await notice.count(), 0);
});

test("lets its connections go while nobody sees it", { skip: NOT_OURS }, async (t) => {
  const page = await open(t, "managers", { before: (page) => page.clock.install() });
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

test("figures that grow old are said to be stale, loudly", { skip: NOT_OURS }, async (t) => {
  const page = await open(t, "overview");
  await isLive(page);
  const { worker } = await (await fetch(`${node.url}/v1/status`)).json();
  process.kill(worker.pid, "SIGSTOP");
  t.after(() => process.kill(worker.pid, "SIGCONT"));
  await page.locator('.standing[data-state="stale"]').waitFor();
  const notice = page.locator(".notice");
  assert.match(await notice.innerText(), /Figures are \d+ s old/);
  process.kill(worker.pid, "SIGCONT");
  await isLive(page);
  assert.equal(await notice.count(), 0);
});

test("survives the death of the node", { skip: NOT_OURS }, async (t) => {
  const manager = await someManager();
  const page = await open(t, "managers", { expects: LOST });
  await filled(page);
  await isLive(page);
  const row = rowOf(page, manager);
  const before = await countOf(row);
  await node.kill();
  await page.locator('.standing[data-state="lost"]').waitFor();
  await page.locator('.notice[data-kind="error"]').waitFor();
  assert.equal(await countOf(row), before, "figures stay, with their age");
  await node.run();
  await isLive(page);
  await node.rate(manager, 5);
  await eventually(async () => (await countOf(row)) >= before + 5, 20_000, "N");
});
