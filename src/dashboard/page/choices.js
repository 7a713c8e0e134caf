// What the reader has chosen: language, theme, tab, whether figures stand still. Kept in
// localStorage where that is allowed.

import { computed, effect, signal } from "./vendor/signals-core.mjs";

const root = document.documentElement;

/** "ru" or "en". */
export const language = signal(root.lang === "ru" ? "ru" : "en");
/** "light" or "dark"; follows the system until chosen. */
export const theme = signal(root.dataset.theme);
/** Whether there is room for one column only. */
export const isNarrow = signal(false);
/** The tab chosen; also the fragment of the address. */
const chosenTab = signal("managers");
/** The tabs there are: what comes in has its own place where there is room. */
export const tabs = computed(() => {
  const tables = ["managers", "agencies", "territories"];
  return isNarrow.value ? [...tables, "activity"] : tables;
});
/** The tab shown. */
export const tab = computed(() => {
  return tabs.value.includes(chosenTab.value) ? chosenTab.value : "managers";
});
/** Whether what is shown stands still while the page goes on listening. */
export const isPaused = signal(false);

export function choose(name, choice, value) {
  choice.value = value;
  try {
    localStorage.setItem(`otklik.${name}`, value);
  } catch {
    // forbidden: holds until the page is left
  }
}

function isStored(name) {
  try {
    return localStorage.getItem(`otklik.${name}`) !== null;
  } catch {
    return false;
  }
}

effect(() => {
  root.lang = language.value;
});

effect(() => {
  root.dataset.theme = theme.value;
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  if (!isStored("theme")) theme.value = event.matches ? "dark" : "light";
});

const narrow = matchMedia("(max-width: 700px)");
narrow.addEventListener("change", () => (isNarrow.value = narrow.matches));
isNarrow.value = narrow.matches;

function readFragment() {
  if (location.hash.length > 1) chosenTab.value = location.hash.slice(1);
}

addEventListener("hashchange", readFragment);
readFragment();

/** Shows a tab, and says so in the address without a step in the history. */
export function showTab(name) {
  chosenTab.value = name;
  history.replaceState(null, "", `#${name}`);
}
