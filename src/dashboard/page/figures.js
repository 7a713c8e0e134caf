// The figures: views of the node, each subscribed to once however many parts of the page look at
// it, and the one clock by which the page is drawn.
//
// Whatever comes in is merged at once and shown later, all of it together.

import { batch, computed, effect, signal } from "./vendor/signals-core.mjs";
import { useEffect, useMemo } from "./vendor/hooks.mjs";
import { isPaused } from "./choices.js";
import * as client from "./client.js";
import { hearRefused, readIntake } from "./intake.js";
import { hear, tell } from "./movers.js";
import { RateSeries } from "./rate.js";
import { Rows } from "./rows.js";
import {
  age, nodeNow, reached, status, stopWatching, tickAge, wasReached, watchStatus,
} from "./status.js";

/** Values are drawn so often at most: quick for the eye, cheap for the page. */
const PUBLISH_MS = 400;
/** Places in tables, sums, ages and charts change so often. */
const TICK_MS = 1000;
/** Figures older than this are stale. */
const STALE_MS = 3000;
/** A page that has been out of sight for so long lets its connections go. */
const HIDDEN_MS = 30_000;
/** A view nobody looks at is followed for so long yet: readers come back. */
const LINGER_MS = 10_000;

/** By which columns the rows of a view are told apart. */
const KEYS = {
  manager_periods: ["tenure", "period"],
  agencies: ["agency"],
  agency_quarters: ["agency", "quarter"],
  territories: ["region", "agency"],
  units: ["unit"],
  services: ["agency", "service"],
  months: ["scope", "id", "month"],
  rankings: ["scope", "month", "id"],
  survey_lists: ["unit", "day"],
  deadlines: ["kind", "record"],
  pending: ["reason"],
  refused: ["code", "channel"],
};

/** The row of `conservation`; null before it is known. */
export const totals = signal(null);
/** What came in by second, and a count that rises when it did. */
export const rate = new RateSeries();
/** Rises every second that is shown. */
export const second = signal(0);

const followed = new Map();
const followedTurn = signal(0);
const isSeen = signal(true);
let conservation = null; // as it came, shown or not
let conservationEpoch = 0;
let publishing = null;

/** A view under conditions, followed while somebody looks. */
class Followed {
  constructor(name, view, conditions) {
    this.name = name;
    this.view = view;
    this.conditions = conditions;
    const parts = KEYS[view];
    this.rows = new Rows((row) => parts.map((part) => row[part]).join("\n"));
    /** "resting", "connecting", "live", "broken". */
    this.state = signal("resting");
    /** `{ sent, total }` while the rows are coming. */
    this.progress = signal(null);
    this.readers = 0;
  }

  open() {
    if (this.subscription !== undefined) return;
    this.subscription = client.subscribe(this.view, this.conditions, {
      onSnapshot: (rows) => this.rows.reset(rows),
      onChanges: (changes) => {
        hear(this.view, this.rows.apply(changes, nodeNow()), performance.now());
        publishSoon();
      },
      onEpoch: reached,
    });
    const { state, progress } = this.subscription;
    this.stop = effect(() => {
      this.state.value = state.value;
      this.progress.value = progress.value;
    });
  }

  rest() {
    this.stop?.();
    this.subscription?.close();
    this.subscription = undefined;
    this.state.value = "resting";
  }

  /** Whether rows are there: live, or from before. */
  get isKnown() {
    return this.state.value === "live" || this.rows.rows.size > 0;
  }

  take() {
    clearTimeout(this.leaving);
    this.readers += 1;
    if (isSeen.peek()) this.open();
  }

  letGo() {
    this.readers -= 1;
    if (this.readers > 0) return;
    this.leaving = setTimeout(() => {
      this.rest();
      followed.delete(this.name);
      followedTurn.value += 1;
    }, LINGER_MS);
  }
}

/** The view under conditions, `[[column, value], …]`, followed while the component is there. */
export function useView(view, conditions = []) {
  const name = `${view}?${new URLSearchParams(conditions)}`;
  const found = useMemo(() => {
    if (!followed.has(name)) followed.set(name, new Followed(name, view, conditions));
    return followed.get(name);
  }, [name]);
  useEffect(() => {
    // It may have been let go between drawing and now.
    followed.set(name, found);
    found.take();
    followedTurn.value += 1;
    return () => found.letGo();
  }, [found]);
  return found;
}

/** Opens anew, now, what is not live. */
export function retry() {
  for (const { state, subscription } of followed.values()) {
    if (state.value === "broken") subscription.retry();
  }
}

/** The names of the views that are broken off. */
export const broken = computed(() => {
  followedTurn.value;
  const views = [...followed.values()].filter(({ state }) => state.value === "broken");
  return [...new Set(views.map(({ view }) => view))];
});

/**
 * How the page stands to the node: "connecting" before it has ever answered, "lost", the node's own
 * stage where it is not ready, "behind" while views are not live, "stale", "live".
 */
export const standing = computed(() => {
  followedTurn.value;
  if (status.value === null) return wasReached.value ? "lost" : "connecting";
  if (status.value.stage !== "ready") return status.value.stage;
  if (age.value > STALE_MS) return "stale";
  const states = Array.from(followed.values(), ({ state }) => state.value);
  return states.some((state) => state === "connecting" || state === "broken") ? "behind" : "live";
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
  const views = [...followed.values()];
  batch(() => {
    for (const { rows } of views) rows.publish(now);
    totals.value = conservation;
  });
  if (views.some(({ rows }) => rows.isRestless)) publishSoon();
}

function tick() {
  batch(() => {
    tickAge(!isPaused.value);
    if (isPaused.value) return;
    for (const { rows } of followed.values()) rows.turnOver();
    tell(nodeNow());
    const refused = followed.get("refused?");
    if (refused?.isKnown) hearRefused(refused.rows.data(), performance.now());
    second.value += 1;
  });
}

/** Hears how the node stands; asks it for the rest then, over the same connection. */
async function heardStatus(answer) {
  await readIntake(performance.now(), nodeNow());
  rate.accepted(answer.accepted_per_second, performance.now());
  if (answer.epoch === null) return;
  const { epoch, rows } = await client.rows("conservation", []);
  if (epoch < conservationEpoch || rows.length === 0) rate.restart();
  [conservation = null, conservationEpoch] = [rows[0], epoch];
  if (conservation !== null) rate.ratings(conservation.accepted, performance.now());
  publishSoon();
}

let hiding = null;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => (isSeen.value = false), HIDDEN_MS);
  else isSeen.value = true;
});
effect(() => {
  for (const view of followed.values()) isSeen.value ? view.open() : view.rest();
  if (isSeen.value) watchStatus(heardStatus);
  else stopWatching();
});
effect(() => {
  if (!isPaused.value) publishSoon();
});
setInterval(tick, TICK_MS);
