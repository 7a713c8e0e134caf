// What comes in, by type of message, and what the node counts of itself (`GET /metrics`); and what
// is refused, over the time the page has been open.

import { signal } from "./vendor/signals-core.mjs";

const READ_MS = 2000;
const ANSWER_MS_MAX = 5000;
/** Points of a line: two minutes of what comes in, two hours of what is refused. */
const POINTS = 60;
const REFUSALS_MS = 120_000;

/** The node's metrics by name, and by name and label (`events_accepted{sms}`); null at first. */
export const metrics = signal(null);
/** By type of message: `{ type, count, perSecond, lastAt, line }`, most frequent first. */
export const sources = signal([]);
/** By code: how many were refused in each of the last stretches of two minutes, oldest first. */
export const refusals = signal(new Map());

let readAt = null; // by performance.now()
const bySource = new Map();
const byCode = new Map();
let stretchAt = null;

/** Reads the metrics if it is time; `now` of `performance.now()`, `at` the node's time of day. */
export async function readIntake(now, at) {
  if (readAt !== null && now - readAt < READ_MS) return;
  const response = await fetch("/metrics", { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  if (!response.ok) return; // the next time
  const known = parse(await response.text());
  const seconds = readAt === null ? null : (now - readAt) / 1000;
  readAt = now;
  metrics.value = known;
  sources.value = [...known]
    .filter(([name]) => name.startsWith("events_accepted{"))
    .map(([name, count]) => sourceOf(name.slice("events_accepted{".length, -1), count, seconds, at))
    .sort((a, b) => b.count - a.count);
}

/** Values by `name` or `name{label}`: what the page needs of the text format, and no more. */
function parse(text) {
  const known = new Map();
  for (const line of text.split("\n")) {
    const found = line.match(/^otklik_(\w+?)(?:_total)?(?:\{\w+="([^"]*)"\})? (\S+)$/);
    if (found === null) continue;
    const [, name, label, value] = found;
    known.set(label === undefined ? name : `${name}{${label}}`, Number(value));
  }
  return known;
}

function sourceOf(type, count, seconds, at) {
  const before = bySource.get(type);
  // A node that was started again counts from nothing.
  const isOn = before !== undefined && seconds !== null && count >= before.count;
  const perSecond = isOn ? (count - before.count) / seconds : null;
  const line = isOn ? [...before.line, perSecond].slice(-POINTS) : [];
  const lastAt = perSecond > 0 ? at : (before?.lastAt ?? null);
  const source = { type, count, perSecond, lastAt, line };
  bySource.set(type, source);
  return source;
}

/** Hears the rows of `refused`, at `now` of `performance.now()`. */
export function hearRefused(rows, now) {
  const isNext = stretchAt === null || now - stretchAt >= REFUSALS_MS;
  if (isNext) stretchAt = now;
  const counts = new Map();
  for (const { code, count } of rows) counts.set(code, (counts.get(code) ?? 0) + count);
  for (const [code, count] of counts) {
    const known = byCode.get(code) ?? { from: count, line: [] };
    const line = isNext || known.line.length === 0 ? [...known.line, 0] : [...known.line];
    const from = isNext ? (known.count ?? count) : known.from;
    // What is corrected is refused no more: the line shows what came, not what went.
    line[line.length - 1] = Math.max(0, count - from);
    byCode.set(code, { count, from, line: line.slice(-POINTS) });
  }
  refusals.value = new Map([...byCode].map(([code, { line }]) => [code, line]));
}
