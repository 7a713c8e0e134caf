// Sums of rows, exactly: counts are added, and a value is reckoned once at the end, as the node
// does it: half up, two decimals. Nothing here is an average of averages.

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

/**
 * Rows of `months` of several ids as one series: `[{ month, k, n, percent }]`, by month, without
 * gaps: a month without ratings has none, and no value.
 */
export function byMonth(rows) {
  const months = new Map();
  for (const row of rows) {
    if (!months.has(row.month)) months.set(row.month, []);
    months.get(row.month).push(row);
  }
  const known = [...months.keys()].sort();
  const series = [];
  for (let month = known[0]; months.size > 0 && month <= known.at(-1); month = after(month)) {
    series.push({ month, ...pool(months.get(month) ?? []) });
  }
  return series;
}

/** The month after a month: "2018-12" is followed by "2019-01". */
function after(month) {
  const [year, number] = month.split("-").map(Number);
  const next = number === 12 ? [year + 1, 1] : [year, number + 1];
  return next.map((part) => String(part).padStart(2, "0")).join("-");
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
