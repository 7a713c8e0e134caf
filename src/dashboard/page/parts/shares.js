// A table of values with their numbers, R, K and N, that scrolls where it is long.

import { integer, percent } from "../format.js";
import { html } from "../html.js";
import { words } from "../words.js";

/**
 * `name` says what the labels are, and `label` what the table is where that is more. `rows` are
 * `[key, label, { k, n, percent }, last?]`; `last` stands in a column of its own, under `lastName`.
 */
export function Shares({ name, label = name, rows, lastName }) {
  const { kAbout, nAbout } = words().columns;
  return html`
    <div class="scroll short" tabindex="0" role="group" aria-label=${label}>
      <table class="plain">
        <thead><tr>
          <th scope="col">${name}</th><th scope="col">R</th>
          <th scope="col" title=${kAbout}>K</th><th scope="col" title=${nAbout}>N</th>
          ${lastName && html`<th scope="col">${lastName}</th>`}
        </tr></thead>
        <tbody>
          ${rows.map(([key, label, { k, n, percent: value }, last]) => html`
            <tr key=${key}>
              <th scope="row">${label}</th><td>${percent(value)}</td>
              <td>${integer(k)}</td><td>${integer(n)}</td>
              ${lastName && html`<td>${last}</td>`}
            </tr>
          `)}
        </tbody>
      </table>
    </div>
  `;
}
