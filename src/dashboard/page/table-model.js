// The rows of one view in memory: which there are, which changed, and in which order they stand.
//
// Data are merged as they come; what is shown of them changes only on `publish` and `arrange`, so
// that a thousand changes a second cost the page a few updates a second.

import { batch, signal } from "./vendor/signals-core.mjs";

/** How long a changed row is marked. */
const MARK_MS = 1600;

/**
 * A row. `data` is what the node said last; `shown` is a signal of what the page shows:
 * `{ data, change, mark }`, where `change` is `{ from, to, at }` of the last change of its value
 * since the page was opened, or null, and `mark` says what happened just now: "up", "down", "same"
 * where only counts changed, or null.
 */
class Row {
  constructor(key, data) {
    this.key = key;
    this.data = data;
    this.change = null;
    this.markedUntil = 0;
    this.shown = signal({ data, change: null, mark: null });
  }

  show(now) {
    this.shown.value = { data: this.data, change: this.change, mark: this.markAt(now) };
  }

  markAt(now) {
    if (this.markedUntil <= now) return null;
    if (this.change === null || this.change.at <= now - MARK_MS) return "same";
    const { from, to } = this.change;
    return from === null || to > from ? "up" : "down";
  }
}

/** The rows of a view, by key. */
export class TableModel {
  /** `keyOf(object)` gives a text that tells rows apart; it reads a row and a key alike. */
  constructor(keyOf) {
    this.keyOf = keyOf;
    this.rows = new Map();
    this.order = null;
    this.changed = new Set();
    this.marked = new Set();
    this.isMoved = false;
    /** Rises when rows come or go. */
    this.shape = signal(0);
    /** Rises when rows may stand in another order. */
    this.turn = signal(0);
  }

  /** Other rows altogether. */
  reset(rows) {
    this.rows.clear();
    this.changed.clear();
    this.marked.clear();
    for (const data of rows) {
      const key = this.keyOf(data);
      this.rows.set(key, new Row(key, data));
    }
    this.reshape();
  }

  /** Merges changes; returns `[{ row, from, to }]` of the values that are others now. */
  apply(changes, now) {
    const news = [];
    for (const { op, key: parts, row: data } of changes) {
      const key = this.keyOf(parts);
      const row = this.rows.get(key);
      if (op === "delete") {
        if (this.rows.delete(key)) this.reshape();
        this.changed.delete(row);
        this.marked.delete(row);
      } else if (row === undefined) {
        const added = new Row(key, data);
        this.rows.set(key, added);
        this.reshape();
        this.mark(added, now);
        if (data.percent !== null) news.push(this.note(added, null, now));
      } else {
        const from = row.data.percent;
        row.data = data;
        this.isMoved = true;
        this.mark(row, now);
        if (from !== data.percent) news.push(this.note(row, from, now));
      }
    }
    return news;
  }

  reshape() {
    this.order = null;
    this.isMoved = true;
    this.isReshaped = true;
  }

  mark(row, now) {
    row.markedUntil = now + MARK_MS;
    this.changed.add(row);
    this.marked.add(row);
  }

  note(row, from, now) {
    row.change = { from, to: row.data.percent, at: now };
    return { row, from, to: row.data.percent };
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

  /** Lets the rows take their places. */
  arrange() {
    batch(() => {
      if (this.isReshaped) this.shape.value += 1;
      if (this.isMoved) this.turn.value += 1;
      this.isReshaped = this.isMoved = false;
    });
  }

  /** Whether `publish` has something to do. */
  get isRestless() {
    return this.changed.size > 0 || this.marked.size > 0;
  }

  /**
   * The first rows of those that match, in order: `{ rows, matching }`. All rows are kept sorted
   * from one call to the next: nearly sorted ones are sorted again in one pass.
   */
  select(matches, compare, limit) {
    if (this.order === null) this.order = [...this.rows.values()];
    this.order.sort(compare);
    const rows = [];
    let matching = 0;
    for (const row of this.order) {
      if (!matches(row)) continue;
      if (matching < limit) rows.push(row);
      matching += 1;
    }
    return { rows, matching };
  }
}
