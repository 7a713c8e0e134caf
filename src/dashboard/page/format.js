// Numbers and times as the reader's language writes them. Figures are shown as the node sent them:
// nothing here rounds, the formatters only have room for all the decimals there are.

import { computed } from "./vendor/signals-core.mjs";
import { language } from "./choices.js";

/** What stands where there is no value. */
export const NONE = "–";

const DAY_MS = 86_400_000;

/** Days are few and formatting one is slow, so each is kept. */
function dayFormat(locale) {
  const format = new Intl.DateTimeFormat(locale, { dateStyle: "short", timeZone: "UTC" });
  const known = new Map();
  return (ms) => {
    if (!known.has(ms)) known.set(ms, format.format(ms));
    return known.get(ms);
  };
}

const formats = computed(() => {
  const locale = language.value === "ru" ? "ru-RU" : "en-GB";
  const decimals = (least, most) =>
    new Intl.NumberFormat(locale, { minimumFractionDigits: least, maximumFractionDigits: most });
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  return {
    integer: new Intl.NumberFormat(locale),
    hundredths: decimals(2, 2),
    millionths: decimals(6, 6),
    shortest: decimals(0, 6),
    time: new Intl.DateTimeFormat(locale, clock),
    day: dayFormat(locale),
    collator: new Intl.Collator(locale, { numeric: true }),
    percentSign: language.value === "ru" ? "\u00a0%" : "%",
  };
});

export const integer = (number) => formats.value.integer.format(number);

const percentWith = (format) => (number) =>
  number === null ? NONE : formats.value[format].format(number) + formats.value.percentSign;

/** A `percent` of the node, which has two decimals: 92.08 is «92,08 %». */
export const percent = percentWith("hundredths");
/** A mean of managers, which has six decimals. */
export const mean = percentWith("millionths");
/** A target, without the zeros at the end. */
export const target = percentWith("shortest");

/** A mean score, which has two decimals. */
export const average = (number) =>
  number === null ? NONE : formats.value.hundredths.format(number);

/** The difference of two values of two decimals, exactly, with its sign: «+0,02». */
export function difference(from, to) {
  const hundredths = Math.round(to * 100) - Math.round(from * 100);
  const sign = hundredths > 0 ? "+" : hundredths < 0 ? "\u2212" : "";
  return sign + formats.value.hundredths.format(Math.abs(hundredths) / 100);
}

/** Time of day, by the reader's clock and zone. */
export const time = (ms) => formats.value.time.format(ms);

/** A half-open range of days, `2018-03-01` to `2019-03-01`, as its first and last day. */
export function days(from, until) {
  const { day } = formats.value;
  const [first, end] = [from, until].map((text) => Date.parse(`${text}T00:00:00Z`));
  return [day(first), day(end - DAY_MS)];
}

/** Order of names in the reader's language. */
export const compareNames = (a, b) => formats.value.collator.compare(a, b);
