// What the reader has chosen: language, theme, tab, whether figures stand still. Kept in
// localStorage where that is allowed.

import { effect, signal } from "./vendor/signals-core.mjs";

const root = document.documentElement;

/** "ru" or "en". */
export const language = signal(root.lang === "ru" ? "ru" : "en");
/** "light" or "dark"; follows the system until chosen. */
export const theme = signal(root.dataset.theme);
/** Which table is shown: "managers", "agencies" or "territories"; also the address's fragment. */
export const tab = signal("managers");
/** Whether what is shown stands still while the page goes on listening. */
export const isPaused = signal(false);

export const TABS = ["managers", "agencies", "territories"];

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

function readFragment() {
  const wanted = location.hash.slice(1);
  if (TABS.includes(wanted)) tab.value = wanted;
}

addEventListener("hashchange", readFragment);
readFragment();

/** Shows a tab, and says so in the address without a step in the history. */
export function showTab(name) {
  tab.value = name;
  history.replaceState(null, "", `#${name}`);
}
