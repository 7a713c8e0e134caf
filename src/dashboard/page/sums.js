// Sums of rows, exactly: counts are added, and a value is reckoned once at the end, as the node does
// it: half up, two decimals. Nothing here is an average of averages.

/** The percentage of `k` in `n` with two decimals; null without ratings. */
export function percentOf(k, n) {
  return n === 0 ? null : Math.floor((20_000 * k + n) / (2 * n)) / 100;
}

/** `{ k, n, percent }` of rows that have `k` and `n`. */
export function pool(rows) {
  let [k, n] = [0, 0];
  for (const row of rows) {
    k += row.k;
    n += row.n;
  }
  return { k, n, percent: percentOf(k, n) };
}

/** Rows of `months` of several ids as one series: `[{ month, k, n, percent }]`, by month. */
export function byMonth(rows) {
  const months = new Map();
  for (const row of rows) {
    if (!months.has(row.month)) months.set(row.month, []);
    months.get(row.month).push(row);
  }
  const series = [...months].map(([month, of]) => ({ month, ...pool(of) }));
  return series.sort((a, b) => (a.month < b.month ? -1 : 1));
}

/** How many rows there are of each value of a column: a Map. */
export function countBy(rows, column) {
  const counts = new Map();
  for (const row of rows) counts.set(row[column], (counts.get(row[column]) ?? 0) + 1);
  return counts;
}

/** Lists of `{ [name], k, n }` added up by name: a Map of `{ k, n, percent }`. */
export function poolLists(lists, name) {
  const parts = new Map();
  for (const list of lists) {
    for (const part of list) {
      if (!parts.has(part[name])) parts.set(part[name], []);
      parts.get(part[name]).push(part);
    }
  }
  return new Map([...parts].map(([key, of]) => [key, pool(of)]));
}

/** Places by a value, highest first; equal values share one, the next is left out: a Map. */
export function ranks(rows, keyOf, valueOf) {
  const sorted = rows.filter((row) => valueOf(row) !== null)
    .sort((a, b) => valueOf(b) - valueOf(a));
  const places = new Map();
  let place = 0;
  sorted.forEach((row, at) => {
    if (at === 0 || valueOf(row) !== valueOf(sorted[at - 1])) place = at + 1;
    places.set(keyOf(row), place);
  });
  return places;
}
