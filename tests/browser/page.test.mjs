// The page of a node in a real browser: one node and one browser for all that is looked at.

import { after, before } from "node:test";
import { start, stop } from "./page.mjs";

before(start);
after(stop);

await import("./parts.mjs");
await import("./figures.mjs");
await import("./screens.mjs");
await import("./reach.mjs");
await import("./life.mjs");
await import("./cluster.mjs");
