// The parts of the page that can be looked at without it: sums, targets, files, words.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

/** A module of the page that needs no browser and no other module. */
async function load(name) {
  const path = join(process.env.OTKLIK_ROOT, "src/dashboard/page", name);
  return import(`data:text/javascript,${encodeURIComponent(readFileSync(path, "utf8"))}`);
}

test("a percentage is rounded half up, from whole numbers", async () => {
  const { percentOf } = await load("sums.js");
  for (const [k, n, percent] of [
    [0, 0, null], [0, 1, 0], [1, 1, 100], [1, 3, 33.33], [2, 3, 66.67],
    [1, 8, 12.5], [12345, 100000, 12.35], [12344, 100000, 12.34],
    // 99.995 % is rounded up to 100, and a half is exact however large the counts are.
    [19999, 20000, 100], [1999900000, 2000000000, 100], [1999899999, 2000000000, 99.99],
  ]) {
    assert.equal(percentOf(k, n), percent, `${k} of ${n}`);
  }
});

test("values are added as counts, never as percentages", async () => {
  const { byMonth, pool, poolLists, ranks } = await load("sums.js");
  assert.deepEqual(pool([{ k: 1, n: 1 }, { k: 0, n: 3 }]), { k: 1, n: 4, percent: 25 });
  const months = [
    { month: "2018-02", k: 1, n: 2 }, { month: "2018-01", k: 3, n: 4 },
    { month: "2018-02", k: 2, n: 2 },
  ];
  assert.deepEqual(byMonth(months), [
    { month: "2018-01", k: 3, n: 4, percent: 75 }, { month: "2018-02", k: 3, n: 4, percent: 75 },
  ]);
  const apart = ["2017-11", "2018-02"].map((month) => ({ month, k: 1, n: 1 }));
  assert.deepEqual(byMonth(apart).map(({ month, n, percent }) => [month, n, percent]), [
    ["2017-11", 1, 100], ["2017-12", 0, null], ["2018-01", 0, null], ["2018-02", 1, 100],
  ]);
  assert.deepEqual(byMonth([]), []);
  const lists = [[{ id: 1, k: 1, n: 2 }], [{ id: 1, k: 1, n: 1 }, { id: "integral", k: 0, n: 1 }]];
  assert.deepEqual([...poolLists(lists, "id")], [
    [1, { k: 2, n: 3, percent: 66.67 }], ["integral", { k: 0, n: 1, percent: 0 }],
  ]);
  const rows = [["a", 2], ["b", 3], ["c", 3], ["d", null], ["e", 1]];
  assert.deepEqual([...ranks(rows, ([key]) => key, ([, value]) => value)], [
    ["b", 1], ["c", 1], ["a", 3], ["e", 4],
  ]);
});

test("what is missing to the target is the least number that is enough", async () => {
  const { goal } = await load("target.js");
  const before = (k, n, percent) => ({ k, n, percent });
  for (const [row, rule, missing] of [
    [{ k: 8, n: 10, previous: null, target: 90 }, "target", 10],
    [{ k: 9, n: 10, previous: null, target: 90 }, "target", 0],
    [{ k: 9, n: 10, previous: null, target: 100 }, "target", null],
    [{ k: 10, n: 10, previous: null, target: 100 }, "target", 0],
    [{ k: 0, n: 1, previous: null, target: null }, "first", 3],
    [{ k: 3, n: 4, previous: null, target: null }, "first", 0],
    // 90 % needs 10 more; more than 5 points above 70 % is reached sooner: 76 of 101.
    [{ k: 75, n: 100, previous: before(70, 100, 70), target: null }, "gain", 1],
    [{ k: 76, n: 100, previous: before(70, 100, 70), target: null }, "gain", 0],
    [{ k: 89, n: 100, previous: before(88, 100, 88), target: null }, "enough", 10],
    // No value is more than 5 points above 95 %.
    [{ k: 80, n: 100, previous: before(96, 100, 96), target: null }, "enough", 100],
  ]) {
    const found = goal(row);
    assert.deepEqual([found.rule, found.missing], [rule, missing], JSON.stringify(row));
  }
});

test("what is missing is confirmed by adding it", async () => {
  const { goal } = await load("target.js");
  const isMet = ({ k, n, previous, target }) => {
    if (target !== null) return 1e6 * 100 * k >= Math.round(target * 1e6) * n;
    if (previous === null) return 100 * k >= 75 * n;
    const gain = 100 * (k * previous.n - previous.k * n) > 5 * n * previous.n;
    return 100 * k >= 90 * n || gain;
  };
  let seed = 7;
  const chance = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 3000; round += 1) {
    const n = 1 + chance(500);
    const n0 = 1 + chance(500);
    const k0 = chance(n0 + 1);
    const previous = chance(3) === 0 ? null : { k: k0, n: n0, percent: (100 * k0) / n0 };
    const target = chance(3) === 0 ? chance(10_000) / 100 : null;
    const row = { k: chance(n + 1), n, previous, target };
    const { missing } = goal(row);
    const after = (more) => isMet({ ...row, k: row.k + more, n: n + more });
    const about = `${JSON.stringify(row)}: ${missing} (round ${round})`;
    if (missing === null) assert.ok(!after(10_000_000), about);
    else assert.ok(after(missing) && (missing === 0 || !after(missing - 1)), about);
  }
});

for (const isText of [false, true]) {
  const what = isText ? "texts" : "numbers";
  test(`an order of ${what} that is kept up is the one made from scratch`, async () => {
    await keepOrder(isText);
  });
}

async function keepOrder(isText) {
  const { Order, parseSort } = await load("order.js");
  assert.deepEqual(parseSort("-criterion-1"), { id: "criterion-1", isDescending: true });
  assert.deepEqual(parseSort("criterion-1"), { id: "criterion-1", isDescending: false });
  let seed = 11;
  const chance = (below) => (seed = (seed * 48271) % 2147483647) % below;
  const rows = { rows: new Map(), touched: new Set(), version: 0 };
  rows.shape = { peek: () => rows.version };
  const put = (key) => {
    const row = rows.rows.get(key) ?? { key };
    if (!rows.rows.has(key)) rows.version += 1;
    // Texts have an order of their own: here that of their numbers.
    row.number = chance(9) === 0 ? null : chance(20);
    row.value = row.number === null || !isText ? row.number : `n${row.number}`;
    row.isWanted = chance(5) > 0;
    rows.rows.set(key, row);
    rows.touched.add(row);
  };
  for (let n = 0; n < 60; n += 1) put(`k${n}`);
  const order = new Order(rows);
  const compareTexts = (a, b) => Number(a.slice(1)) - Number(b.slice(1));
  order.arrange((row) => row.isWanted, (row) => row.value, compareTexts, true);
  const scratch = () => [...rows.rows.values()].filter(({ isWanted }) => isWanted).sort((a, b) => {
    if (a.number === b.number) return a.key < b.key ? -1 : 1;
    if (a.number === null || b.number === null) return a.number === null ? 1 : -1;
    return b.number - a.number;
  });
  const keys = (list) => list.map(({ key }) => key);
  let held = 0;
  for (let round = 0; round < 2000; round += 1) {
    const before = keys(order.list);
    for (let n = chance(4); n > 0; n -= 1) put(`k${chance(80)}`);
    if (chance(10) === 0) {
      const key = `k${chance(80)}`;
      rows.touched.delete(rows.rows.get(key));
      if (rows.rows.delete(key)) rows.version += 1;
    }
    const isHeld = chance(3) === 0;
    order.settle(isHeld);
    if (!isHeld) {
      assert.deepEqual(keys(order.list), keys(scratch()), `round ${round}`);
      continue;
    }
    held += 1;
    assert.deepEqual(keys(order.list), before, `round ${round}: held`);
    const isOld = keys(scratch()).join() !== before.join();
    if (isOld) assert.ok(order.isOld, `round ${round}: a newer order is told of`);
  }
  assert.ok(held > 500);
}

test("a file of values keeps commas, quotes and lines, and starts no formula", async () => {
  const { text } = await load("csv.js");
  const rows = [["name", "percent"], ['a "b", c\nd', 92.08], ["=1+1", null], ["-2", -2]];
  assert.equal(text(rows), 'name,percent\r\n"a ""b"", c\nd",92.08\r\n\'=1+1,\r\n\'-2,-2\r\n');
});

test("tiles stand apart, and each subject has one", async () => {
  const { SIZE, TILES } = await load("tiles.js");
  const places = new Set(TILES.map(({ column, row }) => `${column} ${row}`));
  assert.equal(places.size, TILES.length);
  assert.ok(TILES.every(({ column, row }) => column < SIZE.columns && row < SIZE.rows));
  const path = join(process.env.OTKLIK_ROOT, "config/regions.csv");
  const regions = readFileSync(path, "utf8").trim().split("\n").slice(1);
  const prefixes = regions.map((line) => line.split(",")[0]);
  assert.deepEqual(TILES.map(({ okato }) => okato).sort(), prefixes.sort());
});

test("both languages have the same words", async () => {
  const words = async (language) => (await load(`words/${language}.js`)).default;
  const keys = (object) => Object.entries(object).flatMap(([key, value]) => {
    return typeof value === "object" ? keys(value).map((inner) => `${key}.${inner}`) : [key];
  });
  const [russian, english] = [await words("ru"), await words("en")];
  assert.deepEqual(keys(russian), keys(english));
});
