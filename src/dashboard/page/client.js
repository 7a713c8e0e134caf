// The transport: rows of views of the node, and every change of them, until they are let go. All of
// it comes over one WebSocket (`GET /v1/live`, docs/live.md).
//
// Every frame says which position it goes on from. So nothing is missed unnoticed: after a break it
// goes on where it was, and where that cannot be, it begins anew with a snapshot.

import { signal } from "./vendor/signals-core.mjs";

const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 5000;
/** The node says something every second; a socket silent for so long is dead. */
const SILENT_MS_MAX = 15_000;
const ANSWER_MS_MAX = 20_000;
const ROWS_MAX = 100_000;

const subscriptions = new Map();
let names = 0;
let socket = null;
let heardAt = 0; // by performance.now()
let delay = RETRY_MS_MIN;
let connecting = null;

/**
 * Follows the rows of `view` that meet the conditions, `[[column, value], …]`: a column that comes
 * several times may have any of its values. The handlers:
 *
 * - `onSnapshot(rows)`: all rows, at first and after a gap
 * - `onChanges([{ op: "upsert" | "delete", key, row }])`: what is different since
 * - `onEpoch(epoch)`: after either, and when nothing changed for a while
 *
 * The subscription has the signals `state`, "connecting" until rows are there, "live", "broken"
 * while it is trying again, and `progress`, `{ sent, total }` while a snapshot comes, else null;
 * and `retry()`, `close()`.
 */
export function subscribe(view, conditions, handlers) {
  const subscription = new Subscription(view, conditions, handlers);
  subscriptions.set(subscription.name, subscription);
  if (socket === null) connect();
  else subscription.ask();
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

/** How a row of `manager_periods` comes about (docs/explain.md). Throws where it cannot. */
export function explain(tenure, period) {
  return answer(`/v1/explain/manager_periods?${new URLSearchParams({ tenure, period })}`);
}

/** What the node answers to a path. Throws where it cannot. */
export async function answer(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
  if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  return response.json();
}

/** A record's id has 63 bits, more than a number of this language holds: it is kept as a text. */
function wholeRecord(name, value, context) {
  return name === "record" ? (context?.source ?? String(value)) : value;
}

class Subscription {
  constructor(view, conditions, handlers) {
    this.name = String((names += 1));
    this.view = view;
    this.where = {};
    for (const [column, value] of conditions) (this.where[column] ??= []).push(value);
    this.handlers = handlers;
    this.state = signal("connecting");
    this.progress = signal(null);
    /** The id of the last frame taken in; null before there is one. */
    this.id = null;
    /** The rows of a snapshot that is still coming. */
    this.coming = [];
  }

  /** Tries again now. */
  retry() {
    clearTimeout(this.waiting);
    if (socket === null) connect();
    else this.ask();
  }

  close() {
    clearTimeout(this.waiting);
    subscriptions.delete(this.name);
    say({ type: "unsubscribe", name: this.name });
    if (subscriptions.size === 0) disconnect();
  }

  ask() {
    const { name, view, where, id } = this;
    this.coming = [];
    say({ type: "subscribe", name, view, where, ...(id === null ? {} : { after: id }) });
  }

  take({ event, id, data }) {
    switch (event) {
      case "snapshot":
        this.coming.push(...data.rows);
        this.progress.value = data.last ? null : { sent: data.sent, total: data.total };
        if (!data.last) return;
        this.handlers.onSnapshot(this.coming);
        this.coming = [];
        break;
      case "changes":
      case "progress":
        if (data.after !== this.id) return this.begin();
        if (event === "changes") this.handlers.onChanges(data.changes);
        break;
      case "lagged":
        this.id = null; // a snapshot follows
        return;
      default: // an error, or the end: nothing comes any more
        this.broken();
        this.waiting = setTimeout(() => this.retry(), delay);
        return;
    }
    this.id = id;
    this.state.value = "live";
    this.handlers.onEpoch(data.epoch);
  }

  /** Something is missing: it begins anew, with all rows. */
  begin() {
    this.id = null;
    say({ type: "unsubscribe", name: this.name });
    subscriptions.delete(this.name);
    this.name = String((names += 1)); // what is under way under the old name is nobody's
    subscriptions.set(this.name, this);
    this.ask();
  }

  broken() {
    this.state.value = "broken";
    this.progress.value = null;
  }
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function connect() {
  disconnect();
  const opened = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/live`);
  socket = opened;
  heardAt = performance.now();
  opened.addEventListener("open", () => {
    for (const subscription of subscriptions.values()) subscription.ask();
  });
  opened.addEventListener("message", ({ data }) => {
    heardAt = performance.now();
    const frame = JSON.parse(data);
    if (frame.event !== "error" && frame.event !== "end") delay = RETRY_MS_MIN;
    subscriptions.get(frame.name)?.take(frame);
  });
  opened.addEventListener("close", () => {
    if (socket === opened) lost();
  });
}

/** Lets the socket go without a word to the subscriptions. */
function disconnect() {
  clearTimeout(connecting);
  const closed = socket;
  socket = null;
  closed?.close();
}

function lost() {
  disconnect();
  for (const subscription of subscriptions.values()) {
    clearTimeout(subscription.waiting);
    subscription.broken();
  }
  if (subscriptions.size === 0) return;
  connecting = setTimeout(connect, delay);
  delay = Math.min(delay * 2, RETRY_MS_MAX);
}

setInterval(() => {
  if (socket !== null && performance.now() - heardAt > SILENT_MS_MAX) lost();
}, SILENT_MS_MAX / 3);
