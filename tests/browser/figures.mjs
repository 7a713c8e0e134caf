// The figures on the screens are those of the API.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  addressOf, agree, cell, filled, integerText, isLive, node, number, open, percentText, rowOf,
  rowsOf, someManager, visit,
} from "./page.mjs";

const sum = (rows, column) => rows.reduce((sum, row) => sum + row[column], 0);
const count = (text) => Number(text.replace(/\D/g, ""));
const percentOf = (k, n) => percentText(Math.floor((20_000 * k + n) / (2 * n)) / 100);
const textOf = (page, selector) => async () => (await page.locator(selector).innerText()).trim();

test("overview: satisfaction, managers by status, ranking, scores", async (t) => {
  const page = await open(t, "overview");
  await isLive(page);
  await agree(textOf(page, '[data-value="satisfaction"] .value-figure'), async () => {
    const rows = await node.rows("agencies");
    return percentOf(sum(rows, "k"), sum(rows, "n"));
  }, "the value over all agencies");
  for (const status of ["met", "not_met", "in_progress", "no_value", "cut_short"]) {
    await agree(textOf(page, `.statuses li[data-status="${status}"] b`), async () => {
      return integerText((await node.rows("manager_periods", { status })).length);
    }, `managers that are ${status}`);
  }
  const shown = () => page.locator(".ranking tbody tr").evaluateAll((rows) => {
    return rows.map((row) => [row.cells[0].innerText, row.cells[3].innerText]);
  });
  await agree(shown, async () => {
    const rows = (await node.rows("agencies")).filter(({ mean }) => mean !== null);
    const means = rows.map(({ mean }) => mean).sort((a, b) => b - a);
    return means.map((mean) => [String(means.indexOf(mean) + 1), `${mean.toFixed(6)}%`]);
  }, "places by Rf");
  await agree(() => page.locator(".score-table tbody td:last-child").allInnerTexts(), async () => {
    const rows = (await node.rows("territories", { agency: "" })).map(({ scores }) => scores);
    return [4, 3, 2, 1, 0].map((at) => integerText(sum(rows, at)));
  }, "ratings by score");
});

test("territories: every tile and the one chosen", async (t) => {
  const page = await open(t, "territories");
  await filled(page);
  const tiles = () => page.locator(".tile").evaluateAll((tiles) => {
    return tiles.map((tile) => [tile.dataset.okato, tile.querySelector("b").innerText]).sort();
  });
  await agree(tiles, async () => {
    const rows = await node.rows("territories", { agency: "" });
    const inTile = (percent) => (percent === 100 ? "100" : percent.toFixed(2));
    const values = new Map(rows.map(({ region, percent }) => [region, inTile(percent)]));
    return (await tiles()).map(([okato]) => [okato, values.get(okato) ?? "–"]);
  }, "values on tiles");

  const [{ region }] = await node.rows("territories", { agency: "" });
  await page.locator(`[data-okato="${region}"]`).click();
  assert.match(page.url(), new RegExp(`region=${region}`));
  await agree(textOf(page, ".detail .value-figure"), async () => {
    return percentText((await node.rows("territories", { agency: "", region }))[0].percent);
  }, "the value of the territory");
  // What is chosen here holds on the other screens.
  await page.locator('.menu a[href*="overview"]').click();
  await agree(textOf(page, '[data-value="satisfaction"] .value-figure'), async () => {
    return percentText((await node.rows("territories", { agency: "", region }))[0].percent);
  }, "the overview under the condition");
  await page.locator('[data-condition="region"] button').click();
  assert.doesNotMatch(page.url(), /region/);
});

test("agencies: the table, and one in detail", async (t) => {
  const page = await open(t, "agencies");
  await filled(page);
  const table = () => rowsOf(page).evaluateAll((rows) => rows.map((row) => {
    const text = (column) => row.querySelector(`[data-column="${column}"]`).innerText.trim();
    return [row.dataset.key, text("mean"), text("value"), text("n")];
  }).sort());
  await agree(table, async () => {
    const shown = new Set((await table()).map(([key]) => key));
    const rows = (await node.rows("agencies")).filter(({ agency }) => shown.has(agency));
    const meanText = (mean) => (mean === null ? "–" : `${mean.toFixed(6)}%`);
    return rows.map(({ agency, mean, percent, n }) => {
      return [agency, meanText(mean), percentText(percent), integerText(n)];
    }).sort();
  }, "the rows");
  const { agency } = await someManager();
  await visit(page, `agencies?agency=${agency}`);
  await agree(textOf(page, ".detail .value-figure"), async () => {
    return percentText((await node.rows("agencies", { agency }))[0].percent);
  }, "the value of the agency");
  const services = page.locator(".detail .parted").last().locator("tbody tr");
  await agree(() => services.count(), async () => {
    return (await node.rows("services", { agency })).length;
  }, "its services");
});

test("managers: every row in sight, criteria and channels included", async (t) => {
  const page = await open(t, "managers?show=criteria,channels");
  await filled(page);
  const keys = await rowsOf(page).evaluateAll((rows) => rows.map((row) => row.dataset.key));
  for (const key of keys.slice(0, 8)) {
    const [tenure, period] = key.split("\n");
    const row = rowOf(page, { tenure, period });
    const columns = ["value", "k", "n", "criterion-1", "criterion-integral", "channel-sms"];
    await agree(() => row.evaluate((tr, columns) => columns.map((id) => {
      return tr.querySelector(`[data-column="${id}"]`).innerText.replace(/\s+/g, " ").trim();
    }), columns), async () => {
      const [data] = await node.rows("manager_periods", { tenure, period });
      const part = (found) =>
        found === undefined ? "–" : `${percentOf(found.k, found.n)} of ${integerText(found.n)}`;
      return [
        percentText(data.percent), integerText(data.k), integerText(data.n),
        part(data.criteria.find(({ criterion }) => criterion === 1)),
        part(data.criteria.find(({ criterion }) => criterion === "integral")),
        part(data.channels.find(({ channel }) => channel === "sms")),
      ];
    }, `figures of ${tenure}, period ${period}`);
  }
  await agree(async () => number(await page.locator(".count").innerText()), async () => {
    return (await node.rows("manager_periods", { status: "in_progress" })).length;
  }, "how many there are");
});

test("managers: the months of a line are those of the unit", async (t) => {
  const page = await open(t, "managers");
  await filled(page);
  const { unit, tenure, period } = await someManager();
  const months = await node.rows("months", { scope: "unit", id: unit });
  const since = new Date(Date.now() - 365 * 86_400_000).toISOString().slice(0, 7);
  const recent = months.filter(({ month }) => month > since).length;
  assert.ok(recent > 1, "the unit has been rated in several months");
  await cell(rowOf(page, { tenure, period }), "months").locator("path").waitFor();
});

test("managers: the file holds what is shown", async (t) => {
  const page = await open(t, "managers?period=judged&least=30");
  await filled(page);
  const saved = page.waitForEvent("download");
  await page.locator(".save").click();
  const download = await saved;
  assert.equal(download.suggestedFilename(), "managers.csv");
  const lines = readFileSync(await download.path(), "utf8").split("\r\n").slice(0, -1);
  assert.match(lines[0], /^\ufefftenure,period,manager,/);
  const shown = number(await page.locator(".count").innerText());
  assert.equal(lines.length - 1, shown);
  const rows = await node.rows("manager_periods");
  const first = lines[1].split(",");
  const data = rows.find((row) => row.tenure === first[0] && String(row.period) === first[1]);
  assert.ok(lines[1].includes(`,${data.status},${data.k},${data.n},${data.percent},`), lines[1]);
});

test("one figure: the formula, the parts, the goal", async (t) => {
  const manager = await someManager();
  const { tenure, period } = manager;
  const page = await open(t, addressOf("figure", manager));
  const read = async () => (await node.rows("manager_periods", { tenure, period }))[0];
  await agree(textOf(page, '[data-value="figure"] .value-figure'), async () => {
    return percentText((await read()).percent);
  }, "the value");
  await agree(async () => {
    const lines = page.locator(".formula .fraction");
    const fractions = await lines.evaluateAll((lines) => lines.map((line) => {
      const parts = line.querySelectorAll(":scope > span:not(.unseen)");
      return [...parts].map(({ innerText }) => innerText);
    }));
    const total = (text) => text.split("+").reduce((sum, part) => sum + count(part), 0);
    return [fractions[1].map(total), fractions[2].map(total)];
  }, async () => {
    const { k, n } = await read();
    return [[k, n], [k, n]];
  }, "the numbers of the formula add up");
  for (const [at, list] of [[0, "criteria"], [1, "channels"]]) {
    await agree(async () => {
      const rows = await page.locator(".parted").nth(at).locator("tbody tr").evaluateAll((rows) => {
        return rows.map(({ cells }) => [...cells].slice(-2).map(({ innerText }) => innerText));
      });
      return rows.map((cells) => cells.map(count));
    }, async () => (await read())[list].map(({ k, n }) => [k, n]), list);
  }
  await agree(textOf(page, '[data-fact="previous"] dd'), async () => {
    return percentText((await read()).previous?.percent ?? null);
  }, "the value before");
  await agree(() => page.locator("[aria-labelledby='months-title'] tbody tr").count(), async () => {
    const months = await node.rows("months", { scope: "unit", id: manager.unit });
    const numbers = months.map(({ month }) => {
      return Number(month.slice(0, 4)) * 12 + Number(month.slice(5));
    });
    return Math.min(25, Math.max(...numbers) - Math.min(...numbers) + 1);
  }, "months of the unit");
});

test("one figure: criteria by channel, sources, surveys and what is beside it", async (t) => {
  const { tenure, period } = await someManager();
  const page = await open(t, addressOf("figure", { tenure, period }));
  const read = () => node.explain(tenure, period);
  const numbers = (selector) => async () => {
    const rows = await page.locator(selector).evaluateAll((rows) => rows.map(({ cells }) =>
      [...cells].slice(-2).map(({ innerText }) => innerText)));
    return rows.map((cells) => cells.map(count));
  };
  const shares = (list) => list.map(({ k, n }) => [k, n]);
  await agree(async () => {
    const cells = await page.locator("[data-part='crossed'] td small").allInnerTexts();
    return cells.map((text) => text.split(" of ").map(count)).sort();
  }, async () => shares((await read()).crossed).sort(), "each criterion by channel");
  const tables = "[data-part='sources'] .scroll";
  await agree(numbers(`${tables} >> nth=0 >> tbody tr`),
    async () => shares((await read()).units), "the units it is from");
  await agree(numbers(`${tables} >> nth=1 >> tbody tr`),
    async () => shares((await read()).months).reverse(), "the months it is from");
  await agree(async () => {
    const text = await page.locator("[data-part='replaced']").innerText();
    return text.includes("has replaced no SMS value");
  }, async () => (await read()).replaced.values === 0, "whether surveys replaced anything");
  await agree(() => page.locator("[data-part='beside'] tbody tr").count(),
    async () => (await read()).beside.length, "what is beside it");
});

test("one figure: that there is none is said", async (t) => {
  const page = await open(t, "managers/no-such-tenure/0");
  await page.locator(".empty", { hasText: "no such period" }).waitFor();
});

test("data: all that was accepted, what is refused, how the node stands", async (t) => {
  await node.rate(await someManager(), 5);
  const page = await open(t, "data");
  await isLive(page);
  await agree(textOf(page, '[data-total="accepted"]'), async () => {
    return integerText((await node.rows("conservation"))[0].accepted);
  }, "accepted ratings");
  assert.equal(await page.locator("[data-balanced]").getAttribute("data-balanced"), "true");
  await agree(async () => {
    const cells = page.locator("[aria-labelledby='refused-title'] tbody td:nth-of-type(2)");
    return (await cells.allInnerTexts()).map(count).sort();
  }, async () => (await node.rows("refused")).map((row) => row.count).sort(), "refusals");
  const status = await (await fetch(`${node.url}/v1/status`)).json();
  const restarts = await page.locator('[data-fact="restarts"] dd').innerText();
  assert.equal(restarts, String(status.worker.restarts));
  // The page itself follows the managers and the refusals at least.
  await page.locator("[aria-labelledby='subscribers-title'] tbody tr").nth(1).waitFor();
});

test("what came in today, by channel and by who sends it, is what the node counts", async (t) => {
  const { unit, agency } = await someManager();
  const [{ id: service }] = await node.rows("directory", { of: "service", agency, listed: true });
  const now = new Date().toISOString();
  const fact = { type: "fact", unit, service, provided_on: now.slice(0, 10), received_at: now };
  const vendor = `vendor-${Date.now()}`;
  for (const record of [1, 2]) {
    await node.post(`${JSON.stringify({ ...fact, record: Date.now() * 1000 + record, vendor })}\n`);
  }
  await node.rate({ unit, agency }, 5);
  const midnight = new Date(new Date().setHours(0, 0, 0, 0)).toISOString();
  const sources = async () => {
    const from = new URLSearchParams({ from: midnight });
    return (await (await fetch(`${node.url}/v1/sources?${from}`)).json()).sources;
  };
  const all = (rows) => integerText(sum(rows, "count"));
  const page = await open(t, "overview");
  await isLive(page);
  await agree(textOf(page, ".intake tr:has(th:text-is('kiosk')) td:nth-of-type(2)"), async () => {
    return all((await sources()).filter(({ type }) => type === "kiosk"));
  }, "kiosk ratings of today");
  await visit(page, "data");
  const row = page.locator("[aria-labelledby='vendors-title'] tr", { hasText: vendor });
  await agree(async () => (await row.locator("td").allInnerTexts()).slice(0, 2), async () => {
    const { count, last_minute } = (await sources()).find((source) => source.vendor === vendor);
    return [count, last_minute].map(integerText);
  }, "facts of the vendor");
  assert.match(await row.locator("td").nth(2).innerText(), /^\d\d:\d\d:\d\d$/);
  const facts = page.locator("[aria-labelledby='sources-title'] tr:has(th:text-is('fact'))");
  await agree(() => facts.locator("td").first().innerText(), async () => {
    return all((await sources()).filter(({ type }) => type === "fact"));
  }, "facts of today");
});

test("surveys: each list of a day with its shortfall, and deadlines by state", async (t) => {
  const page = await open(t, "surveys");
  await isLive(page);
  for (const kind of ["sms", "call", "review"]) {
    for (const state of ["open", "overdue"]) {
      await agree(textOf(page, `[data-fact="${kind}-${state}"] dd`), async () => {
        const count = (await node.rows("deadlines", { kind, state })).length;
        return count > 2000 ? "2,000+" : integerText(count);
      }, `${kind} that are ${state}`);
    }
  }
  const lists = await node.rows("survey_lists");
  assert.ok(lists.length > 0, "lists have been drawn");
  const day = lists.map((row) => row.day).sort().at(-1);
  await visit(page, `surveys?day=${day}`);
  const wanted = lists.filter((row) => row.day === day);
  await filled(page);
  const shown = await rowsOf(page).evaluateAll((rows) => rows.map((row) => {
    const text = (column) => row.querySelector(`[data-column="${column}"]`).innerText;
    return [row.dataset.key.split("\n")[0], text("replies"), text("wanted"), text("drawn")];
  }));
  assert.ok(shown.length > 0);
  for (const [unit, ...counts] of shown) {
    const row = wanted.find((other) => other.unit === unit);
    assert.deepEqual(counts.map(count), [row.replies, row.wanted, row.drawn], unit);
  }
});
