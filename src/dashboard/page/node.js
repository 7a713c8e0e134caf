// The figures: views of the node, followed live, and the one clock by which the page is drawn.
//
// A browser opens six connections to a host, all its windows together. So there are few: a stream
// of managers, one of the other table while that is looked at, and one for the questions asked
// every second; and none of a page that nobody sees. Whatever comes in is merged at once and shown
// later, all of it together.

import { batch, computed, effect, signal } from "./vendor/signals-core.mjs";
import { isPaused, tab } from "./choices.js";
import {
  age, nodeNow, reached, status, stopWatching, tickAge, wasReached, watchStatus,
} from "./freshness.js";
import { Stream } from "./live.js";
import { loadNames } from "./names.js";
import { hear, tell } from "./news.js";
import { RateSeries } from "./rate.js";
import { TableModel } from "./table-model.js";

/** Values are drawn so often at most: quick for the eye, cheap for the page. */
const PUBLISH_MS = 400;
/** Places in tables, ages and the chart change so often. */
const TICK_MS = 1000;
/** Figures older than this are stale. */
const STALE_MS = 3000;
/** A page that has been out of sight for so long lets its connections go. */
const HIDDEN_MS = 30_000;

const statuses = (...words) => words.map((word) => ["status", word]);
/** Which periods of managers can be followed: conditions on their view. */
const PERIODS = {
  running: statuses("in_progress"),
  judged: statuses("met", "not_met", "below_first", "no_value"),
  cut: statuses("cut_short"),
};
/** Which of them are: "running", "judged" or "cut". */
export const periods = signal("running");

/** The rows of the tables. */
export const models = {
  managers: new TableModel((row) => `${row.tenure}\n${row.period}`),
  agencies: new TableModel((row) => row.agency),
  territories: new TableModel((row) => row.region),
};
/** The row of `conservation`; null before it is known. */
export const totals = signal(null);
/** What came in by second, and a count that rises when it did. */
export const rate = new RateSeries();
export const rateTurn = signal(0);

let conservation = null; // as it came, shown or not
let conservationEpoch = 0;
let publishing = null;

/** The streams of the tables. */
export const streams = {
  managers: follow("managers", "manager_periods", PERIODS.running),
  agencies: follow("agencies", "agencies", []),
  territories: follow("territories", "territories", [["agency", ""]]),
};

function follow(name, view, conditions) {
  const model = models[name];
  return new Stream(view, conditions, {
    onSnapshot: (rows) => {
      model.reset(rows);
      model.arrange();
      if (name === "managers") loadNames();
    },
    onChanges: (changes) => {
      hear(name, model.apply(changes, nodeNow()));
      publishSoon();
    },
    onEpoch: reached,
  });
}

/** Follows other periods of managers. */
export function showPeriods(name) {
  periods.value = name;
  models.managers.reset([]);
  models.managers.arrange();
  streams.managers.follow(PERIODS[name]);
}

/** Opens anew, now, what is not live. */
export function retry() {
  const broken = Object.values(streams).filter((stream) => stream.state.value === "broken");
  broken.forEach((stream) => stream.open());
}

/**
 * How the page stands to the node: "connecting" before it has ever answered, "lost", the node's own
 * stage where it is not ready, "behind" while streams are not live, "stale", "live".
 */
export const standing = computed(() => {
  if (status.value === null) return wasReached.value ? "lost" : "connecting";
  if (status.value.stage !== "ready") return status.value.stage;
  const states = Object.values(streams).map((stream) => stream.state.value);
  if (states.includes("connecting") || states.includes("broken")) return "behind";
  return age.value > STALE_MS ? "stale" : "live";
});

function publishSoon() {
  if (publishing !== null || isPaused.value) return;
  // Nothing is painted in a hidden tab, so no frame would come there.
  const draw = document.hidden ? publish : () => requestAnimationFrame(publish);
  publishing = setTimeout(draw, PUBLISH_MS);
}

function publish() {
  publishing = null;
  if (isPaused.value) return;
  const now = nodeNow();
  batch(() => {
    for (const model of Object.values(models)) model.publish(now);
    totals.value = conservation;
  });
  if (Object.values(models).some((model) => model.isRestless)) publishSoon();
}

function tick() {
  batch(() => {
    tickAge(!isPaused.value);
    if (isPaused.value) return;
    for (const model of Object.values(models)) model.arrange();
    tell(nodeNow());
    rateTurn.value += 1;
  });
}

/** Hears how the node stands; asks it for the totals then, over the same connection. */
async function heardStatus(answer) {
  rate.accepted(answer.accepted_per_second, performance.now());
  if (answer.epoch === null) return;
  const response = await fetch("/v1/views/conservation");
  if (!response.ok) return; // the next time
  const { epoch, rows } = await response.json();
  if (epoch < conservationEpoch || rows.length === 0) rate.restart();
  [conservation = null, conservationEpoch] = [rows[0], epoch];
  if (conservation !== null) rate.ratings(conservation.accepted, performance.now());
  publishSoon();
}

/** Opens the streams of what is looked at, and lets the others rest. */
function openShown(isSeen) {
  for (const [name, stream] of Object.entries(streams)) {
    const isWanted = isSeen && (name === "managers" || name === tab.value);
    const isOpen = stream.state.peek() !== "resting";
    if (isWanted && !isOpen) stream.open();
    if (!isWanted && isOpen) stream.rest();
  }
}

const isSeen = signal(true);
let hiding = null;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => (isSeen.value = false), HIDDEN_MS);
  else isSeen.value = true;
});
effect(() => openShown(isSeen.value));
effect(() => {
  if (isSeen.value) watchStatus(heardStatus);
  else stopWatching();
});
effect(() => {
  if (!isPaused.value) publishSoon();
});
setInterval(tick, TICK_MS);
