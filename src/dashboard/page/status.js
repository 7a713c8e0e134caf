// How the node stands and how old the figures are, in its own words (`GET /v1/status`, `/metrics`)
// and by what its subscriptions bring.

import { signal } from "./vendor/signals-core.mjs";

const POLL_MS = 1000;
const ANSWER_MS_MAX = 5000;

/** What the node said last; null while it does not answer. */
export const status = signal(null);
/** Whether it has ever answered. */
export const wasReached = signal(false);
/** How old the figures are, in milliseconds; null before there are any. */
export const age = signal(null);
/** The moment the figures are of, in milliseconds since 1970 by the node's clock. */
export const figuresAt = signal(null);

let freshAt = null; // by performance.now(): when the figures were of that moment
let epochSeen = -1;
let aheadMs = 0; // of the node's clock before this machine's
let isWatching = false;
let asking = null;

/** The node's time of day, in milliseconds since 1970. */
export const nodeNow = () => Date.now() + aheadMs;

/** A subscription has come to an epoch. One that catches up passes old ones: only new are fresh. */
export function reached(epoch) {
  if (epoch <= epochSeen || status.peek() === null) return;
  epochSeen = epoch;
  freshen(performance.now());
}

function freshen(at) {
  freshAt = Math.max(freshAt ?? at, at);
}

/** Lets the figures age; `isShown` where what is shown is what was heard. */
export function tickAge(isShown) {
  if (freshAt === null) return;
  age.value = Math.max(0, performance.now() - freshAt);
  if (isShown) figuresAt.value = nodeNow() - age.value;
}

/** Asks the node from now on; `onStatus` hears each answer, and is waited for. */
export function watchStatus(onStatus) {
  isWatching = true;
  ask(onStatus);
}

/** Asks no more. */
export function stopWatching() {
  isWatching = false;
  clearTimeout(asking);
}

async function ask(onStatus) {
  try {
    const response = await fetch("/v1/status", { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const answer = await response.json();
    if (answer.age_ms !== null) {
      aheadMs = answer.epoch_at_ms + answer.age_ms - Date.now();
      epochSeen = Math.max(epochSeen, answer.epoch);
      freshen(performance.now() - answer.age_ms);
    }
    wasReached.value = true;
    status.value = answer;
    await onStatus(answer);
  } catch {
    status.value = null;
  }
  clearTimeout(asking);
  if (isWatching) asking = setTimeout(() => ask(onStatus), POLL_MS);
}
