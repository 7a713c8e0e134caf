// What just changed, and what rose and fell most within the last hour, over all views that are
// followed. It is heard here and not kept by the node, so it begins when the page is opened.

import { signal } from "./vendor/signals-core.mjs";

const KEPT = 30;
/** Of each second only the greatest changes are told: more than a few nobody could read. */
const TOLD_PER_TICK = 4;
/** Changes kept until they are told, which may be long while the display is paused. */
const HEARD_MAX = 1000;
/** An hour in six parts: what is older than six parts is forgotten as one. */
const PART_MS = 600_000;
const PARTS = 6;
/** A value of fewer ratings jumps with each of them and says little. */
export const RATINGS_MIN = 30;

/** The changes told, newest first: `{ id, view, data, from, to, at }`. */
export const news = signal([]);
/** How many values have changed since the page was opened. */
export const changesCount = signal(0);

/** Newest last: `{ at, first }`, where `first` holds by row what it was before. */
let parts = [];
let heard = [];
let heardCount = 0;
let lastId = 0;

/** Values of a view that are others now, `[{ row, from, to }]`, at `now` of `performance.now()`. */
export function hear(view, changes, now) {
  heardCount += changes.length;
  for (const { row, from, to } of changes) heard.push({ view, data: row.data, from, to });
  if (heard.length > HEARD_MAX) heard = greatestOf(heard);
  if (view !== "manager_periods") return;
  const part = partOf(now);
  for (const { row, from } of changes) {
    if (!part.first.has(row)) part.first.set(row, from);
  }
}

function partOf(now) {
  if (parts.length === 0 || now - parts.at(-1).at >= PART_MS) {
    parts = [...parts, { at: now, first: new Map() }].slice(-PARTS);
  }
  return parts.at(-1);
}

/** Tells what was heard since the last time, as of the moment `at` (milliseconds since 1970). */
export function tell(at) {
  changesCount.value = heardCount;
  if (heard.length === 0) return;
  const told = greatestOf(heard).map((change) => ({ ...change, at, id: (lastId += 1) }));
  news.value = [...told, ...news.value].slice(0, KEPT);
  heard = [];
}

const greatestOf = (changes) =>
  changes.sort((a, b) => weight(b) - weight(a)).slice(0, TOLD_PER_TICK);

function weight({ from, to }) {
  return from === null || to === null ? 0 : Math.abs(to - from);
}

/**
 * The managers that rose and that fell most since an hour ago, or since the page was opened:
 * `{ rose, fell }`, each at most `count` of `{ row, from, by }`, `by` in hundredths of a per cent.
 */
export function movers(count, isWanted) {
  const before = new Map();
  for (const { first } of parts) {
    for (const [row, from] of first) if (!before.has(row)) before.set(row, from);
  }
  const moved = [];
  for (const [row, from] of before) {
    const { percent, n } = row.data;
    if (from === null || percent === null || n < RATINGS_MIN || !isWanted(row.data)) continue;
    moved.push({ row, from, by: Math.round(percent * 100) - Math.round(from * 100) });
  }
  moved.sort((a, b) => b.by - a.by);
  return {
    rose: moved.filter(({ by }) => by > 0).slice(0, count),
    fell: moved.filter(({ by }) => by < 0).slice(-count).reverse(),
  };
}
