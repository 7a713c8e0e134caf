// What goes on: what comes in per second, and which values change.

import { html } from "../html.js";
import { Changes } from "./changes.js";
import { Chart } from "./chart.js";

export function Activity() {
  return html`<${Chart} /><${Changes} />`;
}
