// The page while time passes: ratings that come in, a display that is paused, a node that falls
// behind, dies and comes back.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  LOST, NOT_OURS, addressOf, cell, eventually, filled, isLive, node, number, open, rowOf, someManager,
} from "./page.mjs";

const countOf = async (row) => number(await cell(row, "n").innerText());

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

/**
 * Opens a screen with somebody between it and the node: `said(message, answer)` gives what the node
 * hears, `frame(frame)` what the page gets; nothing where it is null.
 */
function openBetween(t, at, { said = (message) => message, frame = (frame) => frame }) {
  return open(t, at, {
    before: (page) => page.routeWebSocket(/v1\/live/, (socket) => {
      const server = socket.connectToServer();
      socket.onMessage((text) => {
        const message = said(JSON.parse(text), (frame) => socket.send(JSON.stringify(frame)));
        if (message) server.send(JSON.stringify(message));
      });
      server.onMessage((text) => {
        const passed = frame(JSON.parse(text));
        if (passed) socket.send(JSON.stringify(passed));
      });
    }),
  });
}

test("a view that fails is named, and taken up again", async (t) => {
  let isFailing = true;
  let refused = 0;
  const page = await openBetween(t, "agencies", {
    said: (message, answer) => {
      if (!isFailing || message.view !== "agencies") return message;
      refused += 1;
      answer({ name: message.name, event: "error", data: { status: 503 } });
      return null;
    },
  });
  const notice = page.locator('.notice[data-kind="error"]');
  await notice.waitFor();
  assert.match(await notice.innerText(), /agencies/);
  const before = refused;
  await notice.getByRole("button").click();
  await eventually(async () => refused > before, 5000, "it is asked for again");
  isFailing = false;
  await filled(page);
  await isLive(page);
  assert.equal(await notice.count(), 0);
});

test("a frame that is missed is noticed, and the rows are read anew", async (t) => {
  const manager = await someManager();
  const names = new Set();
  let isLosing = false;
  let lost = 0;
  const page = await openBetween(t, "managers", {
    said: (message) => {
      if (message.view === "manager_periods") names.add(message.name);
      return message;
    },
    frame: (frame) => {
      if (!isLosing || frame.event !== "changes" || !names.has(frame.name)) return frame;
      lost += 1;
      isLosing = false;
      return null;
    },
  });
  await filled(page);
  await isLive(page);
  assert.equal(names.size, 1);
  const row = rowOf(page, manager);
  const before = await countOf(row);
  isLosing = true;
  await node.rate(manager, 5);
  await eventually(async () => lost === 1, 10_000, "a frame that is lost");
  await eventually(async () => (await countOf(row)) >= before + 5, 20_000, "what was lost");
  assert.equal(names.size, 2, "it was subscribed to anew");
  await isLive(page);
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
