// The rows of one view in memory: which there are, and which changed.
//
// Data are merged as they come; what is shown of them changes only on `publish` and `turnOver`, so
// that a thousand changes a second cost the page a few updates a second.

import { batch, signal } from "./vendor/signals-core.mjs";

/** How long a changed row is marked. */
const MARK_MS = 1600;

/**
 * A row. `data` is what the node said last; `since` its value when the page first had it. `shown`
 * is a signal of what the page shows: `{ data, since, mark }`, where `mark` says what happened just
 * now: "up", "down", "same" where only counts changed, or null.
 */
class Row {
  constructor(key, data) {
    this.key = key;
    this.data = data;
    this.since = data.percent;
    this.direction = "same";
    this.markedUntil = 0;
    this.signal = null;
  }

  /** Of many thousand rows some dozens are looked at; only those have a signal. */
  get shown() {
    this.signal ??= signal({ data: this.data, since: this.since, mark: null });
    return this.signal;
  }

  show(now) {
    if (this.signal === null) return;
    const mark = this.markedUntil > now ? this.direction : null;
    this.signal.value = { data: this.data, since: this.since, mark };
  }
}

/** The rows of a view, by key. */
export class Rows {
  /** `keyOf(object)` gives a text that tells rows apart; it reads a row and a key alike. */
  constructor(keyOf) {
    this.keyOf = keyOf;
    this.rows = new Map();
    this.changed = new Set();
    this.marked = new Set();
    /** Rows that changed since tables put their rows in order last. */
    this.touched = new Set();
    this.isReshaped = false;
    this.isTurned = false;
    /** Rises when rows come or go: `turn` does as well. */
    this.shape = signal(0);
    /** Rises when figures may be others: once a second at most. */
    this.turn = signal(0);
  }

  /** The row of a key, or undefined; a component that asks follows which rows there are. */
  get(key) {
    this.shape.value;
    return this.rows.get(key);
  }

  /** All data, for sums; a component that asks follows them. */
  data() {
    this.turn.value;
    return Array.from(this.rows.values(), (row) => row.data);
  }

  /** Other rows altogether; those that were there before keep what they were at first. */
  reset(rows) {
    const before = this.rows;
    this.rows = new Map();
    this.changed.clear();
    this.marked.clear();
    for (const data of rows) {
      const key = this.keyOf(data);
      const row = before.get(key) ?? new Row(key, data);
      row.data = data;
      this.rows.set(key, row);
      if (row.signal !== null) this.changed.add(row);
    }
    this.isReshaped = true;
    this.turnOver();
  }

  /** Merges changes; returns `[{ row, from, to }]` of the values that are others now. */
  apply(changes, now) {
    const news = [];
    for (const { op, key: parts, row: data } of changes) {
      const key = this.keyOf(parts);
      const row = this.rows.get(key);
      if (op === "delete") {
        this.isReshaped = this.rows.delete(key) || this.isReshaped;
        for (const set of [this.changed, this.marked, this.touched]) set.delete(row);
      } else if (row === undefined) {
        const added = new Row(key, data);
        this.rows.set(key, added);
        this.isReshaped = true;
        this.mark(added, null, now);
        if (data.percent !== null) news.push({ row: added, from: null, to: data.percent });
      } else {
        const from = row.data.percent;
        row.data = data;
        this.mark(row, from, now);
        if (from !== data.percent) news.push({ row, from, to: data.percent });
      }
    }
    this.isTurned = true;
    return news;
  }

  mark(row, from, now) {
    const to = row.data.percent;
    if (from !== to) row.direction = from === null || to > from ? "up" : "down";
    else if (row.markedUntil <= now) row.direction = "same";
    row.markedUntil = now + MARK_MS;
    this.touched.add(row);
    this.changed.add(row);
    this.marked.add(row);
  }

  /** Shows new values in the rows where they stand, and takes marks off that have been seen. */
  publish(now) {
    batch(() => {
      for (const row of this.changed) row.show(now);
      this.changed.clear();
      for (const row of this.marked) {
        if (row.markedUntil > now) continue;
        row.show(now);
        this.marked.delete(row);
      }
    });
  }

  /** Tells sums and tables that figures are others. */
  turnOver() {
    batch(() => {
      if (this.isReshaped) this.shape.value += 1;
      if (this.isReshaped || this.isTurned) this.turn.value += 1;
      this.isReshaped = this.isTurned = false;
    });
  }

  /** Whether `publish` has something to do. */
  get isRestless() {
    return this.changed.size > 0 || this.marked.size > 0;
  }
}
