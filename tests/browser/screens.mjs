// How screens are used: filters, order, drill-down, addresses that can be shared.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  agree, cell, eventually, filled, isLive, node, number, open, rowOf, rowsOf, someManager,
} from "./page.mjs";

const countOf = (page) => async () => number(await page.locator(".count").innerText());

test("filters are in the address, and the address is enough", async (t) => {
  const { agency } = await someManager();
  const page = await open(t, "managers");
  await filled(page);
  await page.locator("#filter-agency").selectOption(agency);
  await page.locator("#filter-least").selectOption("30");
  const wanted = async () => {
    const rows = await node.rows("manager_periods", { agency, status: "in_progress" });
    return rows.filter(({ n }) => n >= 30).length;
  };
  await agree(countOf(page), wanted, "rows of the agency with 30 ratings");
  const address = page.url().split("#/")[1];
  const other = await open(t, address);
  await filled(other);
  assert.equal(await other.locator("#filter-agency").inputValue(), agency);
  await agree(countOf(other), wanted, "the same from the address");
});

test("managers are found by period, status, body and text", async (t) => {
  const page = await open(t, "managers");
  await filled(page);
  await page.locator('input[name="period"][value="judged"]').check();
  await page.locator("#filter-status").selectOption("met");
  await agree(countOf(page), async () => {
    return (await node.rows("manager_periods", { status: "met" })).length;
  }, "periods that met their target");
  await page.locator('input[name="period"][value="running"]').check();
  await page.locator("#filter-body").selectOption("mfc");
  await agree(countOf(page), async () => {
    return (await node.rows("manager_periods", { status: "in_progress", agency: "" })).length;
  }, "heads of MFCs");
  const { tenure } = await someManager();
  await page.locator("#filter-body").selectOption("");
  await page.locator("#search").fill(tenure);
  await agree(countOf(page), async () => 1, "the one that has this id");
  await page.locator("#search").fill("no such name");
  await page.locator(".empty", { hasText: "Nothing matches" }).getByRole("button").click();
  await agree(countOf(page), async () => (await node.rows("manager_periods")).length, "all again");
});

test("headings sort, by criteria as well, and the address says how", async (t) => {
  const page = await open(t, "managers?show=criteria");
  await filled(page);
  for (const column of ["value", "criterion-1"]) {
    const heading = page.locator(`th[data-column="${column}"]`);
    for (const direction of ["descending", "ascending"]) {
      await heading.getByRole("button").click();
      await agree(() => heading.getAttribute("aria-sort"), async () => direction, column);
      assert.equal(new URLSearchParams(page.url().split("?")[1]).get("sort"),
        direction === "descending" ? `-${column}` : column);
      const texts = await rowsOf(page).evaluateAll((rows, column) => rows
        .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
        .map((row) => row.querySelector(`[data-column="${column}"]`).innerText), column);
      const known = texts.map(parseFloat).filter((value) => !Number.isNaN(value));
      const sorted = [...known].sort((a, b) => (direction === "ascending" ? a - b : b - a));
      assert.deepEqual(known, sorted, `${column}, ${direction}`);
    }
  }
});

test("a table of any length has few rows in the page", async (t) => {
  const page = await open(t, "managers?period=all");
  await filled(page);
  const all = (await node.rows("manager_periods")).length;
  const table = page.locator('[data-table="managers"]');
  await eventually(async () => {
    return Number(await table.getAttribute("aria-rowcount")) === all + 1;
  }, 5000, "how many rows there are is said");
  assert.ok((await rowsOf(page).count()) < 60);
  await page.locator(".scroll").first().evaluate((box) => (box.scrollTop = box.scrollHeight));
  await page.locator(`tr[aria-rowindex="${all + 1}"]`).waitFor();
  assert.ok((await rowsOf(page).count()) < 60);
});

test("from the overview down to one figure, and back", async (t) => {
  const page = await open(t, "overview");
  await isLive(page);
  await page.locator('.statuses li[data-status="not_met"] a').click();
  await filled(page);
  await agree(countOf(page), async () => {
    return (await node.rows("manager_periods", { status: "not_met" })).length;
  }, "the managers counted");
  const name = await rowsOf(page).first().locator("a").innerText();
  await rowsOf(page).first().locator("a").click();
  await page.locator(".figure-head h1", { hasText: name }).waitFor();
  assert.match(await page.locator(".figure-head .status").innerText(), /not met/);
  await page.goBack();
  await filled(page);
  await page.goBack();
  await page.locator(".satisfaction").waitFor();
});

test("the order stands still under the pointer until a newer one is asked for", async (t) => {
  const page = await open(t, "managers?sort=change");
  await filled(page);
  await isLive(page);
  // Sorted by change, one that falls has to move to the top.
  const manager = await someManager();
  await page.locator("tbody").hover({ position: { x: 400, y: 100 } });
  const order = () => rowsOf(page).evaluateAll((rows) => rows
    .sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((row) => row.dataset.key));
  const before = await order();
  for (const score of [1, 1, 1]) await node.rate(manager, score);
  const newer = page.locator(".newer");
  await newer.waitFor({ timeout: 20_000 });
  assert.deepEqual(await order(), before, "no row moved");
  await newer.click();
  await rowOf(page, manager).waitFor();
  assert.equal(await newer.count(), 0);
  const change = cell(rowOf(page, manager), "change");
  await eventually(async () => /−\d/.test(await change.innerText()), 5000, "the change");
});

test("what just changed says of which month it is", async (t) => {
  const manager = await someManager();
  const page = await open(t, "overview");
  await isLive(page);
  await node.rate(manager, 1);
  const ofMonths = page.locator(".news li:not(:has(a)) small", { hasText: / · .*20\d\d/ });
  await ofMonths.first().waitFor({ timeout: 20_000 });
});

test("a list stands still under the pointer, too", async (t) => {
  const manager = await someManager();
  const page = await open(t, "overview");
  await isLive(page);
  const news = page.locator(".news li");
  const first = () => news.first().innerText();
  await node.rate(manager, 1);
  await news.first().waitFor({ timeout: 20_000 });
  await page.locator(".news h2").hover();
  // What came in as the pointer did may still be told.
  let before = await first();
  await eventually(async () => before === (before = await first()), 5000, "a list that stands");
  await node.rate(manager, 1);
  const newer = page.locator(".news .newer");
  await newer.waitFor({ timeout: 20_000 });
  assert.equal(await first(), before, "nothing moved");
  await newer.click();
  await eventually(async () => (await first()) !== before, 5000, "what is newer");
  assert.equal(await newer.count(), 0);
});
