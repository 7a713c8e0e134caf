// What the page costs, on a node that runs already and has data: time to first figures, main
// thread and frames per second at several rates of row updates, heap over time, bytes shipped. For
// benches/RESULTS.md.
//
//   OTKLIK_MEASURE=1 [RUNS=7] [SECONDS=20] [SCREEN=managers] scripts/browser-test http://HOST:PORT
//
// With MINUTES only the heap, minute by minute, at RATE events a second (300).

import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { Node } from "./node.mjs";
import { FLAGS, WIDE } from "./page.mjs";

const RATES = (process.env.RATES ?? "100,1000,10000").split(",").filter(Boolean).map(Number);
const RUNS = Number(process.env.RUNS ?? 7);
const SECONDS = Number(process.env.SECONDS ?? 20);
const SCREEN = process.env.SCREEN ?? "managers";
const MINUTES = Number(process.env.MINUTES ?? 0);
const RATE = Number(process.env.RATE ?? 300);
const TICKS = 10; // batches a second

const node = new Node();
await node.start();
const userData = mkdtempSync(join(process.env.OTKLIK_WORK, "chromium-"));
const executablePath = "/usr/bin/chromium";
const browser = await chromium.launchPersistentContext(userData, { executablePath, args: FLAGS });

/** Opens a screen, and says when its first figures and rows were there. */
async function opened(screen) {
  const context = await browser.browser().newContext({ viewport: WIDE, locale: "en-GB" });
  const page = await context.newPage();
  await page.addInitScript(() => {
    window.firstAt = {};
    const look = () => {
      const { firstAt } = window;
      const figure = document.querySelector(".value-figure")?.textContent;
      if (/\d/.test(figure ?? "")) firstAt.figure ??= performance.now();
      if (document.querySelector(".figures tbody tr")) firstAt.row ??= performance.now();
      // What is measured later shall not pay for this.
      if (Object.keys(firstAt).length === 0) requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  const session = await context.newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.goto(`${node.url}/#/${screen}`);
  return { page, session, context, bytes: () => bytes };
}

async function metrics(session) {
  const { metrics } = await session.send("Performance.getMetrics");
  return Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
}

/** Counts row updates of the managers as any subscriber sees them, until it is stopped. */
async function counter() {
  const stop = new AbortController();
  const url = `${node.url}/v1/views/manager_periods/live`;
  const response = await fetch(url, { signal: stop.signal });
  const counted = { updates: 0, stop: () => stop.abort() };
  (async () => {
    const decoder = new TextDecoder();
    for await (const bytes of response.body) {
      counted.updates += decoder.decode(bytes, { stream: true }).split('"op":"').length - 1;
    }
  })().catch(() => {});
  return counted;
}

/** Sends `rate` kiosk ratings a second to units by turns, for some seconds. */
async function send(rate, seconds) {
  const heads = await node.rows("manager_periods", { status: "in_progress" });
  const listed = await node.rows("directory", { of: "service", listed: true });
  const serviceOf = new Map(listed.map(({ agency, id }) => [agency, id]));
  const units = heads.filter(({ agency }) => serviceOf.has(agency));
  const day = new Date().toISOString().slice(0, 10);
  let record = Date.now() * 1000;
  const start = Date.now();
  for (let tick = 0; tick < seconds * TICKS; tick += 1) {
    const lines = Array.from({ length: rate / TICKS }, () => {
      const { unit, agency } = units[record % units.length];
      const score = record % 16 === 0 ? 2 : 5;
      const scores = { 1: score, 2: score, 3: score, 4: score, 5: score };
      const service = serviceOf.get(agency);
      record += 1;
      const received_at = new Date().toISOString();
      const event = { type: "kiosk", record, unit, service, provided_on: day, scores, received_at };
      return JSON.stringify(event);
    });
    await node.post(`${lines.join("\n")}\n`);
    const wait = start + ((tick + 1) * 1000) / TICKS - Date.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

/** Heap after garbage collection, and how much there is in the page, minute by minute. */
async function heap() {
  const { page, session } = await opened(SCREEN);
  await page.locator('.standing[data-state="live"]').waitFor({ timeout: 60_000 });
  const counted = await counter();
  for (let minute = 0; minute <= MINUTES; minute += 1) {
    await session.send("HeapProfiler.collectGarbage");
    const { JSHeapUsedSize, Nodes, JSEventListeners } = await metrics(session);
    console.log(
      `${SCREEN}, minute ${minute}: ${(JSHeapUsedSize / 2 ** 20).toFixed(1)} MiB, ` +
      `${Nodes} nodes, ${JSEventListeners} listeners, ${counted.updates} row updates so far`,
    );
    if (minute < MINUTES) await send(RATE, 60);
  }
  await browser.close();
  process.exit();
}

if (MINUTES > 0) await heap();

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const written = (values) => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${Math.round(median(values))} ms (${Math.round(least)} to ${Math.round(most)})`;
};

for (const screen of ["overview", "managers?period=all"]) {
  const what = screen === "overview" ? "figure" : "row";
  const [times, busy, shipped] = [[], [], []];
  for (let run = 0; run < RUNS; run += 1) {
    const { page, session, context, bytes } = await opened(screen);
    await page.waitForFunction((what) => window.firstAt[what], what, { timeout: 60_000 });
    times.push(await page.evaluate((what) => window.firstAt[what], what));
    busy.push((await metrics(session)).TaskDuration * 1000);
    shipped.push(bytes());
    await context.close();
  }
  console.log(
    `${screen}: first ${what} after ${written(times)} of ${RUNS} runs, of which ${written(busy)} ` +
    `of main thread; ${median(shipped)} bytes so far`,
  );
}

/** Main thread for 10,000 row updates in ten frames: read and merged, the quickest of ten. */
async function merging() {
  const assets = document.querySelector("script[type=module]").src.replace("main.js", "");
  const { Rows } = await import(`${assets}rows.js`);
  const { rows } = await (await fetch("/v1/views/manager_periods?limit=100000")).json();
  const model = new Rows(({ tenure, period }) => `${tenure}\n${period}`);
  model.reset(rows);
  const frames = Array.from({ length: 10 }, (_, at) => {
    const changes = Array.from({ length: 1000 }, (_, n) => {
      const row = rows[(at * 1000 + n) % rows.length];
      const { tenure, period, k } = row;
      return { op: "upsert", key: { tenure, period }, row: { ...row, k: k + 1, n: row.n + 1 } };
    });
    return JSON.stringify({ name: "1", event: "changes", data: { changes } });
  });
  const took = Array.from({ length: 10 }, () => {
    const start = performance.now();
    for (const frame of frames) model.apply(JSON.parse(frame).data.changes, 0);
    model.publish(0);
    return performance.now() - start;
  });
  return Math.min(...took);
}

/**
 * How long each frame took, in milliseconds, for some seconds. With `isScrolling` the table is moved
 * by a third of a row in each, and back from its end.
 */
async function frames(page, seconds, isScrolling) {
  return page.evaluate(([seconds, isScrolling]) => new Promise((resolve) => {
    const box = document.querySelector(".scroll");
    const took = [];
    let [from, last, step] = [null, null, 16];
    const frame = (now) => {
      from ??= now;
      if (last !== null) took.push(now - last);
      last = now;
      if (isScrolling) {
        const before = box.scrollTop;
        box.scrollTop += step;
        if (box.scrollTop === before) step = -step;
      }
      if (now - from < seconds * 1000) requestAnimationFrame(frame);
      else resolve(took);
    };
    requestAnimationFrame(frame);
  }), [seconds, isScrolling]);
}

function framesWritten(took) {
  const sorted = [...took].sort((a, b) => a - b);
  const at = (share) => sorted[Math.floor((sorted.length - 1) * share)].toFixed(1);
  const perSecond = (1000 * took.length) / took.reduce((sum, ms) => sum + ms, 0);
  const late = took.filter((ms) => ms > 25).length;
  return `${perSecond.toFixed(1)} frames a second, p50 ${at(0.5)}, p99 ${at(0.99)}, longest ` +
    `${at(1)} ms, ${late} of ${took.length} late by more than half a frame`;
}

const { page, session } = await opened(SCREEN);
await page.locator('.standing[data-state="live"]').waitFor({ timeout: 60_000 });
await new Promise((resolve) => setTimeout(resolve, 5000));
const merged = await page.evaluate(merging);
console.log(`10,000 row updates are read and merged in ${merged.toFixed(1)} ms`);
for (const rate of RATES) {
  const counted = await counter();
  await session.send("HeapProfiler.collectGarbage");
  const before = await metrics(session);
  const [from, startedAt] = [counted.updates, Date.now()];
  await send(rate, SECONDS);
  const after = await metrics(session);
  const seconds = (Date.now() - startedAt) / 1000;
  const updates = (counted.updates - from) / seconds;
  counted.stop();
  await session.send("HeapProfiler.collectGarbage");
  const { JSHeapUsedSize } = await metrics(session);
  const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(1);
  const busy = (name) => Math.round(((after[name] - before[name]) * 1000) / seconds);
  console.log(
    `${SCREEN}, ${rate} events/s, ${Math.round(updates)} row updates/s: ` +
    `${busy("TaskDuration")} ms of main thread a second (script ${busy("ScriptDuration")}, ` +
    `layout ${busy("LayoutDuration")}, style ${busy("RecalcStyleDuration")}), ` +
    `heap ${mebibytes(before.JSHeapUsedSize)} to ${mebibytes(JSHeapUsedSize)} MiB`,
  );
}
for (const rate of RATES) {
  for (const isScrolling of [false, true]) {
    const sent = send(rate, SECONDS);
    const took = await frames(page, SECONDS - 1, isScrolling);
    await sent;
    console.log(
      `${SCREEN}, ${rate} events/s${isScrolling ? ", scrolling" : ""}: ${framesWritten(took)}`,
    );
  }
}
await browser.close();
