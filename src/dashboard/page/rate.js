// What came in, second by second, over the last two minutes.

/** Seconds that the chart shows. */
export const SECONDS = 120;

/** Two series by second of `performance.now()`: events accepted, and ratings. */
export class RateSeries {
  constructor() {
    this.acceptedBySecond = new Map();
    this.ratingsBySecond = new Map();
    this.total = null;
    this.totalAt = null;
  }

  /** Events accepted in each of the last whole seconds, oldest first, as the node counted them. */
  accepted(perSecond, now) {
    const last = Math.floor(now / 1000) - 1;
    perSecond.forEach((count, n) => {
      this.acceptedBySecond.set(last - (perSecond.length - 1 - n), count);
    });
    this.forget(last);
  }

  /** There are so many ratings now; the difference came in since the last word. */
  ratings(total, now) {
    if (this.total !== null) {
      const seconds = Math.max((now - this.totalAt) / 1000, 0.001);
      const perSecond = (total - this.total) / seconds;
      let from = this.totalAt / 1000;
      while (from < now / 1000) {
        const second = Math.floor(from);
        const until = Math.min(second + 1, now / 1000);
        const before = this.ratingsBySecond.get(second) ?? 0;
        this.ratingsBySecond.set(second, before + perSecond * (until - from));
        from = until;
      }
    }
    this.total = total;
    this.totalAt = now;
  }

  /** The next total does not continue the last one. */
  restart() {
    this.total = null;
  }

  forget(last) {
    for (const series of [this.acceptedBySecond, this.ratingsBySecond]) {
      for (const second of series.keys()) if (second <= last - SECONDS) series.delete(second);
    }
  }

  /** `[seconds before now, accepted, ratings]` for a chart, oldest first; null where unknown. */
  columns(now) {
    // The second that has just ended may not have been asked for yet.
    const last = Math.floor(now / 1000) - 2;
    const columns = [[], [], []];
    for (let ago = SECONDS - 1; ago >= 0; ago -= 1) {
      columns[0].push(-ago);
      columns[1].push(this.acceptedBySecond.get(last - ago) ?? null);
      const ratings = this.ratingsBySecond.get(last - ago);
      columns[2].push(ratings === undefined ? null : Math.round(ratings));
    }
    return columns;
  }
}
