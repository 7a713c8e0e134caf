// What comes in, by type of message and by who sends it (`GET /v1/sources`); what the node counts
// of itself (`GET /metrics`); and what is refused, over the time the page has been open.

import { batch, signal } from "./vendor/signals-core.mjs";

const READ_MS = 2000;
const ANSWER_MS_MAX = 5000;
/** Points of a line: two minutes of what comes in, two hours of what is refused. */
const POINTS = 60;
const REFUSALS_MS = 120_000;

/** The node's metrics by name, and by name and label (`events_accepted{sms}`); null at first. */
export const metrics = signal(null);
/**
 * By type of message: `{ type, count, perSecond, lastAt, line }`, most frequent first; `count` is of
 * today by the reader's clock, as far as the node was there; null at first.
 */
export const sources = signal(null);
/** Of those that have a vendor: `{ type, vendor, others, count, perMinute, lastAt }`. */
export const vendors = signal(null);
/** From when on they are counted: since midnight or, where that is later, the node's start. */
export const countedSince = signal(null);
/** By code: how many were refused in each of the last stretches of two minutes, oldest first. */
export const refusals = signal(new Map());

let readAt = null; // by performance.now()
const bySource = new Map();
const byCode = new Map();
let stretchAt = null;

/** Reads the metrics if it is time; `now` of `performance.now()`, `at` the node's time of day. */
export async function readIntake(now, at) {
  if (readAt !== null && now - readAt < READ_MS) return;
  const midnight = new Date(at).setHours(0, 0, 0, 0);
  const from = new URLSearchParams({ from: new Date(midnight).toISOString() });
  const answers = await Promise.all(["/metrics", `/v1/sources?${from}`].map((path) => {
    return fetch(path, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  }));
  if (!answers.every(({ ok }) => ok)) return; // the next time
  const [known, told] = await Promise.all([answers[0].text(), answers[1].json()]);
  const seconds = readAt === null ? null : (now - readAt) / 1000;
  readAt = now;
  batch(() => {
    metrics.value = parse(known);
    hearSources(told, seconds);
  });
}

function hearSources(told, seconds) {
  const byType = new Map();
  for (const { type, count, last_at_ms: lastAt } of told.sources) {
    const known = byType.get(type) ?? { count: 0, lastAt: 0 };
    byType.set(type, { count: known.count + count, lastAt: Math.max(known.lastAt, lastAt) });
  }
  sources.value = Array.from(byType, ([type, { count, lastAt }]) => {
    return sourceOf(type, count, lastAt, seconds);
  }).sort((a, b) => b.count - a.count);
  vendors.value = told.sources
    .filter(({ vendor, others }) => vendor !== null || others)
    .map(({ type, vendor, others, count, last_minute: perMinute, last_at_ms: lastAt }) => {
      return { type, vendor, others, count, perMinute, lastAt };
    })
    .sort((a, b) => b.count - a.count || b.lastAt - a.lastAt);
  countedSince.value = told.since_ms;
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

function sourceOf(type, count, lastAt, seconds) {
  const before = bySource.get(type);
  // A node that was started again counts from nothing, and so does a new day.
  const isOn = before !== undefined && seconds !== null && count >= before.count;
  const perSecond = isOn ? (count - before.count) / seconds : null;
  const line = isOn ? [...before.line, perSecond].slice(-POINTS) : [];
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
