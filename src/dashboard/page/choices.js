// What the reader has chosen for good: language, theme, size of type. Kept in localStorage where
// that is allowed. What is looked at is not here but in the address (`route.js`).

import { effect, signal } from "./vendor/signals-core.mjs";

const root = document.documentElement;

/** "ru" or "en". */
export const language = signal(root.lang === "ru" ? "ru" : "en");
/** "light" or "dark"; follows the system until chosen. */
export const theme = signal(root.dataset.theme);
/** "normal" or "large". */
export const type = signal(root.dataset.type === "large" ? "large" : "normal");
/** Whether there is room for one column only. */
export const isNarrow = signal(false);
/** Whether the menu has room for short names only. */
export const isTight = signal(false);
/** Whether what is shown stands still while the page goes on listening. */
export const isPaused = signal(false);

/** Sets one of the choices above by its name, and keeps it. */
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

effect(() => {
  root.dataset.type = type.value;
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  if (!isStored("theme")) theme.value = event.matches ? "dark" : "light";
});

// On paper it is black on white, the drawings too; what was chosen comes back after.
let onScreen = null;
addEventListener("beforeprint", () => {
  onScreen ??= theme.peek();
  theme.value = "light";
});
addEventListener("afterprint", () => {
  if (onScreen !== null) theme.value = onScreen;
  onScreen = null;
});

for (const [isWithin, width] of [[isNarrow, "700px"], [isTight, "1000px"]]) {
  const media = matchMedia(`(max-width: ${width})`);
  media.addEventListener("change", () => (isWithin.value = media.matches));
  isWithin.value = media.matches;
}
