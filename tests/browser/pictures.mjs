// Pictures of the screens for the documents, taken on demand: small ones, of what the README says.

import { join } from "node:path";
import { test } from "node:test";
import { NARROW, WIDE, addressOf, isLive, node, open, someManager } from "./page.mjs";

const { OTKLIK_PICTURES } = process.env;
const TAKEN = [
  ["overview-light", "overview", { viewport: WIDE, colorScheme: "light", locale: "en-GB" }],
  ["managers-light", "managers", { viewport: WIDE, colorScheme: "light", locale: "en-GB" }],
  ["territories-light", "territories", { viewport: WIDE, colorScheme: "light", locale: "en-GB" }],
  ["figure-narrow", "figure", { viewport: NARROW, colorScheme: "dark", locale: "ru-RU" }],
];

const NONE = !OTKLIK_PICTURES && "OTKLIK_PICTURES is not set";

test("has its picture taken", { skip: NONE }, async (t) => {
  const manager = await someManager();
  const running = await node.rows("manager_periods", { status: "in_progress" });
  const rated = running.filter(({ agency }) => agency !== null).sort((a, b) => b.n - a.n);
  for (const [name, screen, options] of TAKEN) {
    const page = await open(t, addressOf(screen, manager), options);
    await isLive(page);
    for (const [at, data] of rated.slice(0, 12).entries()) {
      await node.rate(data, at % 3 === 1 ? 2 : 5);
      await page.waitForResponse(/status/);
    }
    await page.screenshot({ path: join(OTKLIK_PICTURES, `${name}.png`) });
  }
});
