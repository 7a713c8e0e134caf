// The months of the units in sight: asked for some dozens at a time, kept for a while.

import { signal } from "./vendor/signals-core.mjs";
import { rows } from "./client.js";

/** Months of a line. */
export const MONTHS = 13;
const ASKED_MAX = 50;
const WAIT_MS = 250;
const FRESH_MS = 60_000;
/** Units kept; the ones asked for longest ago go first. */
const KEPT_MAX = 3000;

const lines = new Map();
const wanted = new Set();
let asking = null;

/** A signal of a unit's own values by month, oldest first, null where there is none. */
export function lineOf(unit) {
  if (!lines.has(unit)) lines.set(unit, { line: signal(null), at: -Infinity });
  return lines.get(unit).line;
}

/** These units are in sight: their lines are read, if they are not fresh. */
export function see(units) {
  const now = performance.now();
  for (const unit of units) {
    lineOf(unit);
    if (now - lines.get(unit).at > FRESH_MS) wanted.add(unit);
  }
  if (wanted.size > 0) asking ??= setTimeout(ask, WAIT_MS);
}

async function ask() {
  const units = [...wanted].slice(0, ASKED_MAX);
  wanted.clear(); // those that are still in sight are wanted again
  try {
    const since = monthsAgo(MONTHS - 1);
    const answer = await rows("months", [["scope", "unit"], ...units.map((unit) => ["id", unit])]);
    const series = new Map(units.map((unit) => [unit, new Array(MONTHS).fill(null)]));
    for (const { id, month, percent } of answer.rows) {
      const at = monthNumber(month) - since;
      if (at >= 0 && at < MONTHS) series.get(id)[at] = percent;
    }
    for (const [unit, line] of series) keep(unit, line);
  } catch {
    // they are asked for again when they are seen again
  }
  asking = null;
}

function keep(unit, line) {
  const entry = { line: lineOf(unit), at: performance.now() };
  lines.delete(unit);
  lines.set(unit, entry);
  entry.line.value = line;
  if (lines.size > KEPT_MAX) lines.delete(lines.keys().next().value);
}

function monthNumber(text) {
  const [year, month] = text.split("-").map(Number);
  return year * 12 + month - 1;
}

function monthsAgo(count) {
  const now = new Date();
  return now.getFullYear() * 12 + now.getMonth() - count;
}
