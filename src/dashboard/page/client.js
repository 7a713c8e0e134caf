// The transport: rows of a view of the node, and every change of them, until they are let go.
//
// `subscribe(view, conditions, keyOf, handlers)` is all the rest of the page knows. A browser opens
// six connections to a host, all its windows together, so few subscriptions are streams of
// server-sent events; the others ask again every other second, and tell what is different.

import { signal } from "./vendor/signals-core.mjs";

const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 10_000;
/** The node says something every second; a stream silent for so long is dead. */
const SILENT_MS_MAX = 20_000;
/** The view that changes most: it is always a stream. */
const BUSIEST = "manager_periods";
/** Streams of other views: two windows of the page and their questions need no more than six. */
const STREAMS_MAX = 1;
const POLL_MS = 2000;
const ANSWER_MS_MAX = 20_000;
const ROWS_MAX = 100_000;

const open = new Set();

/**
 * Follows the rows of `view` that meet the conditions, `[[column, value], …]`. `keyOf(row)` tells
 * rows apart, of a row and of a key alike. The handlers:
 *
 * - `onSnapshot(rows)`: all rows, at first and after a gap
 * - `onChanges([{ op: "upsert" | "delete", key, row }])`: what is different since
 * - `onEpoch(epoch)`: after either, and when nothing changed for a while
 *
 * The subscription has a signal `state`: "connecting" until rows are there, "live", "broken" while
 * it is trying again; and `retry()`, `close()`.
 */
export function subscribe(view, conditions, keyOf, handlers) {
  const isStream = ({ source, view }) => source !== undefined && view !== BUSIEST;
  const isRoom = [...open].filter(isStream).length < STREAMS_MAX;
  const subscription = view === BUSIEST || isRoom
    ? new Stream(view, conditions, handlers)
    : new Poll(view, conditions, keyOf, handlers);
  open.add(subscription);
  return subscription;
}

/** The rows of a view now, all of one epoch: `{ epoch, rows, next }`. Throws where it cannot. */
export async function rows(view, conditions) {
  const parameters = new URLSearchParams(conditions);
  if (!parameters.has("limit")) parameters.append("limit", ROWS_MAX);
  const response = await fetch(`/v1/views/${view}?${parameters}`, {
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
  });
  if (!response.ok) throw new Error(`${view}: status ${response.status}`);
  const text = await response.text();
  return JSON.parse(text, view === "deadlines" ? wholeRecord : undefined);
}

/** A record's id has 63 bits, more than a number of this language holds: it is kept as a text. */
function wholeRecord(name, value, context) {
  return name === "record" ? (context?.source ?? String(value)) : value;
}

/** Server-sent events: the browser resumes a stream that breaks, with the id of the last event. */
class Stream {
  constructor(view, conditions, handlers) {
    this.view = view;
    this.conditions = conditions;
    this.handlers = handlers;
    this.state = signal("connecting");
    this.epoch = null;
    this.delay = RETRY_MS_MIN;
    this.connect();
  }

  retry() {
    this.connect();
  }

  close() {
    this.disconnect();
    open.delete(this);
  }

  connect() {
    this.disconnect();
    const query = new URLSearchParams(this.conditions);
    if (this.epoch !== null) query.append("last_event_id", this.epoch);
    const source = new EventSource(`/v1/views/${this.view}/live?${query}`);
    const on = (name, handle) => source.addEventListener(name, handle);
    on("snapshot", (event) => {
      const { epoch, rows } = JSON.parse(event.data);
      this.handlers.onSnapshot(rows);
      this.reached(epoch);
    });
    on("changes", (event) => {
      const { epoch, changes } = JSON.parse(event.data);
      this.handlers.onChanges(changes);
      this.reached(epoch);
    });
    on("progress", (event) => this.reached(JSON.parse(event.data).epoch));
    on("error", () => this.failed());
    this.source = source;
    this.heardAt = performance.now();
    this.watchdog = setInterval(() => this.watch(), SILENT_MS_MAX / 4);
  }

  disconnect() {
    clearTimeout(this.timer);
    clearInterval(this.watchdog);
    this.source?.close();
  }

  reached(epoch) {
    this.epoch = epoch;
    this.delay = RETRY_MS_MIN;
    this.state.value = "live";
    this.heardAt = performance.now();
    this.handlers.onEpoch(epoch);
  }

  failed() {
    this.state.value = "broken";
    if (this.source.readyState !== EventSource.CLOSED) return; // the browser tries again
    // What the browser gives up on (an answer that is an error) is opened anew from here.
    this.disconnect();
    this.timer = setTimeout(() => this.connect(), this.delay);
    this.delay = Math.min(this.delay * 2, RETRY_MS_MAX);
  }

  watch() {
    if (performance.now() - this.heardAt < SILENT_MS_MAX) return;
    this.state.value = "broken";
    this.connect();
  }
}

/** Asks every other second, and tells the difference to the answer before. */
class Poll {
  constructor(view, conditions, keyOf, handlers) {
    this.view = view;
    this.conditions = conditions;
    this.keyOf = keyOf;
    this.handlers = handlers;
    this.state = signal("connecting");
    this.known = null;
    this.ask();
  }

  retry() {
    clearTimeout(this.timer);
    this.ask();
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    open.delete(this);
  }

  async ask() {
    const asked = (this.asked = Symbol("question"));
    try {
      const answer = await rows(this.view, this.conditions);
      if (this.isClosed || this.asked !== asked) return;
      this.take(answer);
    } catch {
      if (this.isClosed || this.asked !== asked) return;
      this.state.value = "broken";
    }
    this.timer = setTimeout(() => this.ask(), POLL_MS);
  }

  take({ epoch, rows: answered }) {
    const texts = new Map(answered.map((row) => [this.keyOf(row), JSON.stringify(row)]));
    if (this.known === null) {
      this.handlers.onSnapshot(answered);
    } else {
      const changes = this.difference(answered, texts);
      if (changes.length > 0) this.handlers.onChanges(changes);
    }
    this.known = texts;
    this.state.value = "live";
    this.handlers.onEpoch(epoch);
  }

  difference(answered, texts) {
    const changes = [];
    for (const row of answered) {
      const key = this.keyOf(row);
      if (this.known.get(key) !== texts.get(key)) changes.push({ op: "upsert", key: row, row });
    }
    for (const [key, text] of this.known) {
      if (!texts.has(key)) changes.push({ op: "delete", key: JSON.parse(text), row: null });
    }
    return changes;
  }
}
