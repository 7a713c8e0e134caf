// Numbers and times as the reader's language writes them. Figures are shown as the node sent them:
// nothing here rounds, the formatters only have room for all the decimals there are.

import { computed } from "./vendor/signals-core.mjs";
import { language } from "./choices.js";
import { words } from "./words.js";

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
    tenths: decimals(0, 1),
    whole: decimals(0, 0),
    time: new Intl.DateTimeFormat(locale, clock),
    minutes: new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" }),
    moment: new Intl.DateTimeFormat(locale, { dateStyle: "short", timeStyle: "short" }),
    day: dayFormat(locale),
    month: new Intl.DateTimeFormat(locale, { month: "long", year: "numeric", timeZone: "UTC" }),
    shortMonth: new Intl.DateTimeFormat(locale, { month: "short", timeZone: "UTC" }),
    compact: new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 }),
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

/** How often a second: with a decimal where there are few, so that seldom is not never. */
export const frequency = (number) =>
  formats.value[number < 10 ? "tenths" : "whole"].format(number);

/** A large number in few characters: «1,2 млн». */
export const compact = (number) => formats.value.compact.format(number);

/** A part of a whole in whole per cent, rounded down so that it never says too much. */
export const share = (part, whole) =>
  whole === 0 ? NONE : `${Math.floor((part / whole) * 100)}${formats.value.percentSign}`;

/** Bytes as the greatest unit that leaves a whole number before the point. */
export function bytes(count) {
  const power = Math.min(4, Math.floor(Math.log2(Math.max(1, count)) / 10));
  const number = formats.value.compact.format(count / 1024 ** power);
  return `${number}\u00a0${words().bytes[power]}`;
}

/** Hundredths with their sign, exactly: 2 is «+0,02». */
export function signed(hundredths) {
  const sign = hundredths > 0 ? "+" : hundredths < 0 ? "\u2212" : "";
  return sign + formats.value.hundredths.format(Math.abs(hundredths) / 100);
}

/** The difference of two values of two decimals, exactly, with its sign: «+0,02». */
export function difference(from, to) {
  return signed(Math.round(to * 100) - Math.round(from * 100));
}

/** Time of day, by the reader's clock and zone. */
export const time = (ms) => formats.value.time.format(ms);
/** A moment since: the time of day and, where it was on another, the day. */
export function lately(ms) {
  const { time, moment } = formats.value;
  const isToday = new Date(ms).toDateString() === new Date().toDateString();
  return (isToday ? time : moment).format(ms);
}
/** The same without seconds. */
export const minutes = (ms) => formats.value.minutes.format(ms);
/** Day and time of an RFC 3339 text, by the reader's clock and zone. */
export const moment = (text) => formats.value.moment.format(Date.parse(text));

/** `2018-03` as «март 2018 г.». */
export const month = (text) => formats.value.month.format(Date.parse(`${text}-01T00:00:00Z`));
/** `2018-03` as «март», and in January with the year. */
export function shortMonth(text) {
  const name = formats.value.shortMonth.format(Date.parse(`${text}-01T00:00:00Z`));
  return text.endsWith("-01") ? `${name} ${text.slice(0, 4)}` : name;
}
/** `2018Q2` as the language writes it: «II кв. 2018». */
export function quarter(text) {
  const [year, number] = text.split("Q");
  return words().quarter(["I", "II", "III", "IV"][number - 1], year);
}
/** `2018-03-01` as a short date. */
export const day = (text) => formats.value.day(Date.parse(`${text}T00:00:00Z`));

/** A half-open range of days, `2018-03-01` to `2019-03-01`, as its first and last day. */
export function days(from, until) {
  const { day } = formats.value;
  const [first, end] = [from, until].map((text) => Date.parse(`${text}T00:00:00Z`));
  return [day(first), day(end - DAY_MS)];
}

/** Order of names in the reader's language. */
export const compareNames = (a, b) => formats.value.collator.compare(a, b);
