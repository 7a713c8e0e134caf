// What just changed: the last changes of values, over all tables.

import { signal } from "./vendor/signals-core.mjs";

const KEPT = 30;
/** Of each second only the greatest changes are told: more than a few nobody could read. */
const TOLD_PER_TICK = 4;

/** The changes told, newest first: `{ id, table, data, from, to, at }`. */
export const news = signal([]);
/** How many values have changed since the page was opened. */
export const changesCount = signal(0);

let heard = [];
let heardCount = 0;
let lastId = 0;

/** Values of a table that are others now: `[{ row, from, to }]`. */
export function hear(table, changes) {
  heardCount += changes.length;
  for (const { row, from, to } of changes) heard.push({ table, data: row.data, from, to });
}

/** Tells what was heard since the last time, as of the moment `at` (milliseconds since 1970). */
export function tell(at) {
  changesCount.value = heardCount;
  if (heard.length === 0) return;
  const greatest = heard.sort((a, b) => weight(b) - weight(a)).slice(0, TOLD_PER_TICK);
  const told = greatest.map((change) => ({ ...change, at, id: (lastId += 1) }));
  news.value = [...told, ...news.value].slice(0, KEPT);
  heard = [];
}

function weight({ from, to }) {
  return from === null || to === null ? 0 : Math.abs(to - from);
}
