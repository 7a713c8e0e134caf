// `html` makes elements of a template; components that read signals follow them.

import "./vendor/signals.mjs";
import htm from "./vendor/htm.mjs";
import { h } from "./vendor/preact.mjs";

export const html = htm.bind(h);
