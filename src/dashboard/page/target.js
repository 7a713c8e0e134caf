// How many positive ratings a value is short of its target: exactly, in whole numbers.
//
// The rules are those of Order N 120, 6.1 «в» (footnotes 5 and 12): an explicit target where one is
// set; else 90 %, or more than 5 percentage points above the value of the twelve months before; and
// 75 % where there is none before. Each rating that comes counts in K and in N.

const FIRST_PERCENT = 75n;
const ENOUGH_PERCENT = 90n;
const GAIN_PERCENT = 5n;
const MILLION = 1_000_000n;

const ceil = (a, b) => (a <= 0n ? 0n : (a + b - 1n) / b);

/** The least x with (k + x) / (n + x) >= part / whole; null where none is enough. */
function reach(k, n, part, whole) {
  const missing = part * n - whole * k;
  if (missing <= 0n) return 0n;
  return part >= whole ? null : ceil(missing, whole - part);
}

/** The least x with (k + x) / (n + x) > part / whole; null where none is enough. */
function exceed(k, n, part, whole) {
  const missing = part * n - whole * k;
  if (missing < 0n) return 0n;
  return part >= whole ? null : missing / (whole - part) + 1n;
}

/**
 * What a row of `manager_periods` has to reach, and how many positive ratings are missing:
 * `{ rule: "target" | "first" | "gain" | "enough", percent, missing }`. `missing` is a number, or
 * null where no number of ratings is enough; `percent` is that of the rule that is nearest.
 */
export function goal({ k, n, previous, target }) {
  const [positive, all] = [BigInt(k), BigInt(n)];
  if (target !== null) {
    const part = BigInt(Math.round(target * 1e6));
    const missing = reach(positive, all, part, 100n * MILLION);
    return { rule: "target", percent: target, missing: numberOf(missing) };
  }
  if (previous === null) {
    const missing = reach(positive, all, FIRST_PERCENT, 100n);
    return { rule: "first", percent: Number(FIRST_PERCENT), missing: numberOf(missing) };
  }
  const enough = reach(positive, all, ENOUGH_PERCENT, 100n);
  const [k0, n0] = [BigInt(previous.k), BigInt(previous.n)];
  const gain = exceed(positive, all, 100n * k0 + GAIN_PERCENT * n0, 100n * n0);
  if (gain !== null && gain < enough) {
    const percent = (Math.round(previous.percent * 100) + 100 * Number(GAIN_PERCENT)) / 100;
    return { rule: "gain", percent, missing: numberOf(gain) };
  }
  return { rule: "enough", percent: Number(ENOUGH_PERCENT), missing: numberOf(enough) };
}

const numberOf = (count) => (count === null ? null : Number(count));
