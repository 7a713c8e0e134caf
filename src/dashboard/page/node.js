// The figures: four views of the node, followed live, and the one clock by which the page is drawn.
//
// Four streams and one question a second stay below the six connections that a browser opens to a
// host, all its tabs together; so a tab that nobody sees keeps none. Whatever comes in is merged at once and shown later, all of it together.

import { batch, computed, effect, signal } from "./vendor/signals-core.mjs";
import { isPaused } from "./choices.js";
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
let publishing = null;

/** The streams, by what they bring. */
export const streams = {
  managers: follow("managers", "manager_periods", PERIODS.running),
  agencies: follow("agencies", "agencies", []),
  territories: follow("territories", "territories", [["agency", ""]]),
  totals: new Stream("conservation", [], {
    onSnapshot: ([row]) => {
      conservation = row ?? null;
      rate.restart();
      publishSoon();
    },
    onChanges: (changes) => {
      for (const { row } of changes) conservation = row;
      publishSoon();
    },
    onEpoch: (epoch) => {
      reached(epoch);
      if (conservation !== null) rate.counted(conservation.accepted, performance.now());
    },
  }),
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
  const broken = Object.values(streams).filter((stream) => stream.state.value !== "live");
  broken.forEach((stream) => stream.open());
}

/** How the page stands to the node: "connecting", "lost", a stage of the node, "behind", "stale", "live". */
export const standing = computed(() => {
  if (status.value === null) return wasReached.value ? "lost" : "connecting";
  if (status.value.stage !== "ready") return status.value.stage;
  const isBehind = Object.values(streams).some((stream) => stream.state.value !== "live");
  if (isBehind) return "behind";
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

let resting = null;

function rest() {
  stopWatching();
  Object.values(streams).forEach((stream) => stream.rest());
}

function wake() {
  clearTimeout(resting);
  if (watchStatus(heardStatus)) Object.values(streams).forEach((stream) => stream.open());
}

function heardStatus(answer) {
  rate.accepted(answer.accepted_per_second, performance.now());
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) resting = setTimeout(rest, HIDDEN_MS);
  else wake();
});
effect(() => {
  if (!isPaused.value) publishSoon();
});
watchStatus(heardStatus);
setInterval(tick, TICK_MS);
