// A value in its parts: by criterion, by channel, by service. Each with its numbers and a bar.

import { integer, percent } from "../format.js";
import { html } from "../html.js";
import { percentOf } from "../sums.js";
import { words } from "../words.js";
import { Bar } from "./spark.js";

/** `rows` are `[label, { k, n }]`; `name` says what the labels are. */
export function Parted({ name, rows }) {
  const say = words();
  if (rows.length === 0) return html`<p class="empty">${say.noRatings}</p>`;
  return html`
    <table class="plain parted">
      <thead><tr>
        <th scope="col">${name}</th>
        <td class="wide-cell"></td><th scope="col">R</th>
        <th scope="col" title=${say.columns.kAbout}>K</th>
        <th scope="col" title=${say.columns.nAbout}>N</th>
      </tr></thead>
      <tbody>
        ${rows.map(([label, { k, n }]) => html`
          <tr key=${label}>
            <th scope="row">${label}</th>
            <td class="wide-cell">
              <${Bar} part=${k} whole=${n} kind="counted" mark=${n * 0.9} />
            </td>
            <td>${percent(percentOf(k, n))}</td><td>${integer(k)}</td><td>${integer(n)}</td>
          </tr>
        `)}
      </tbody>
    </table>
  `;
}
