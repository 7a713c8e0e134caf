// Pictures of every screen, to be looked at, and of them the small ones that the documents show.
//
//   OTKLIK_PICTURES=DIR [ONLY=overview,managers | ONLY=] scripts/browser-test [PROGRAM | URL]

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { NARROW, SCREENS, WIDE, addressOf, isLive, node, look, someManager, start, stop }
  from "./page.mjs";

const { OTKLIK_PICTURES, ONLY } = process.env;
/** The screens of which pictures in all sizes are taken. */
const chosen = ONLY === undefined ? Object.keys(SCREENS) : ONLY.split(",").filter(Boolean);
const SETTLED_MS = 3000;
const LOOKS = {
  "laptop-ru": { viewport: WIDE, colorScheme: "light", locale: "ru-RU" },
  "laptop-en-dark": { viewport: WIDE, colorScheme: "dark", locale: "en-GB" },
  "laptop-large": { viewport: WIDE, colorScheme: "light", locale: "ru-RU", isLarge: true },
  "phone-ru-dark": { viewport: NARROW, colorScheme: "dark", locale: "ru-RU" },
  "phone-en": { viewport: { width: 360, height: 740 }, colorScheme: "light", locale: "en-GB" },
  "tablet-ru": { viewport: { width: 820, height: 1180 }, colorScheme: "light", locale: "ru-RU" },
  "wall-ru-dark": { viewport: { width: 3840, height: 2160 }, colorScheme: "dark", locale: "ru-RU" },
};
/** Those of the documents: the screen and how it is looked at. */
const SHOWN = [
  ["overview-light", "overview", { viewport: WIDE, colorScheme: "light", locale: "en-GB" }],
  ["managers-light", "managers", { viewport: WIDE, colorScheme: "light", locale: "en-GB" }],
  ["territories-light", "territories", { viewport: WIDE, colorScheme: "light", locale: "en-GB" }],
  ["figure-narrow", "figure", { viewport: NARROW, colorScheme: "dark", locale: "ru-RU" }],
];

await start();
const manager = await someManager();
const running = await node.rows("manager_periods", { status: "in_progress" });
const rated = running.filter(({ agency }) => agency !== null).sort((a, b) => b.n - a.n);

async function take(path, screen, { isLarge, ...options }) {
  const { page, context } = await look(addressOf(screen, manager), options);
  if (isLarge) {
    await page.evaluate(() => localStorage.setItem("otklik.type", "large"));
    await page.reload();
  }
  await isLive(page);
  for (const [at, data] of rated.slice(0, 12).entries()) {
    await node.rate(data, at % 3 === 1 ? 2 : 5);
  }
  await page.waitForTimeout(SETTLED_MS);
  await page.screenshot({ path });
  await context.close();
}

for (const [name, screen, options] of SHOWN) {
  await take(join(OTKLIK_PICTURES, `${name}.png`), screen, options);
}
mkdirSync(join(OTKLIK_PICTURES, "all"), { recursive: true });
for (const [name, options] of Object.entries(LOOKS)) {
  for (const screen of chosen) {
    await take(join(OTKLIK_PICTURES, "all", `${screen}-${name}.png`), screen, options);
  }
}
await stop();
