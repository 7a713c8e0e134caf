// Which rows a table shows, and in which order: the order stands still while somebody reads.
//
// Sorting many thousand rows is dear and moving them under a pointer is rude. So a table is sorted
// anew only where a row that changed no longer fits between its neighbours, and never while the
// table is held; then it is only said that there is a newer order.

/** `{ id, isDescending }` of an order in the address: `"-n"` is descending by the column n. */
export function parseSort(text) {
  return { id: text.replace(/^-/, ""), isDescending: text.startsWith("-") };
}

/** The order of a table of `rows` (a `Rows`). */
export class Order {
  constructor(rows) {
    this.rows = rows;
    /** The rows, in order. */
    this.list = [];
    /** Whether there is a newer order than the one shown. */
    this.isOld = false;
    this.places = new Map();
    this.values = new Map();
    this.shape = -1;
  }

  /**
   * Puts in order what matches. `valueOf(row)` is what rows are sorted by: a number, a text, or
   * null, which comes last whichever the direction; equal rows stand by key.
   */
  arrange(matches, valueOf, compareTexts, isDescending) {
    this.matches = matches;
    this.valueOf = valueOf;
    this.compareTexts = compareTexts;
    this.ranks = new Map();
    const sign = isDescending ? -1 : 1;
    this.compare = (a, b) => {
      const x = this.values.get(a);
      const y = this.values.get(b);
      if (x === y) return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
      if (x === null) return 1;
      if (y === null) return -1;
      return sign * (x - y);
    };
    this.renew();
  }

  /**
   * What a row is sorted by, as a number or null: to compare texts as a language does is dear, so
   * each text is ranked once. Undefined for a text that is not ranked yet.
   */
  numberOf(row) {
    const value = this.valueOf(row);
    return typeof value === "string" ? this.ranks.get(value) : value;
  }

  rank(rows) {
    const texts = new Set(rows.map(this.valueOf).filter((value) => typeof value === "string"));
    if ([...texts].every((text) => this.ranks.has(text))) return;
    const sorted = [...texts].sort((a, b) => this.compareTexts(a, b) || (a < b ? -1 : 1));
    this.ranks = new Map(sorted.map((text, at) => [text, at]));
  }

  /** Takes up what happened since; returns whether the list is another one now. */
  settle(isHeld) {
    const isNews = this.isOld || this.isReshaped() || this.isUnsettled();
    this.rows.touched.clear();
    this.isOld = isNews && isHeld;
    if (!isNews || isHeld) return false;
    this.renew();
    return true;
  }

  renew() {
    // Rows stand nearly as before, which sorting takes advantage of.
    const isThere = (row) => this.rows.rows.get(row.key) === row && this.matches(row);
    const stay = this.list.filter(isThere);
    const kept = new Set(stay);
    for (const row of this.rows.rows.values()) {
      if (!kept.has(row) && this.matches(row)) stay.push(row);
    }
    this.rank(stay);
    this.values = new Map(stay.map((row) => [row, this.numberOf(row)]));
    this.list = stay.sort(this.compare);
    this.places = new Map(stay.map((row, at) => [row, at]));
    this.shape = this.rows.shape.peek();
    this.isOld = false;
  }

  isReshaped() {
    return this.shape !== this.rows.shape.peek();
  }

  /** Whether a row that changed came, went, or does not fit where it stands. */
  isUnsettled() {
    const touched = [...this.rows.touched];
    let isUnsettled = false;
    for (const row of touched) {
      const at = this.places.get(row);
      if (this.matches(row) !== (at !== undefined)) isUnsettled = true;
      if (at === undefined) continue;
      this.values.set(row, this.numberOf(row));
      if (this.values.get(row) === undefined) isUnsettled = true;
    }
    return isUnsettled || touched.some((row) => {
      const at = this.places.get(row);
      if (at === undefined) return false;
      const [before, after] = [this.list[at - 1], this.list[at + 1]];
      return (before !== undefined && this.compare(before, row) > 0) ||
        (after !== undefined && this.compare(row, after) > 0);
    });
  }
}
