// A value in its parts: by criterion, by channel, by service. Each with its numbers and a bar.

import { integer, percent, target } from "../format.js";
import { html } from "../html.js";
import { percentOf } from "../sums.js";
import { words } from "../words.js";
import { Bar } from "./spark.js";

/** Where bars have a mark: what is enough for any value (6.1 «в»). */
const MARK_PERCENT = 90;

/** `rows` are `[label, { k, n }]`; `name` says what the labels are. */
export function Parted({ name, rows }) {
  const say = words();
  if (rows.length === 0) return html`<p class="empty">${say.noRatings}</p>`;
  return html`
    <table class="plain parted">
      <thead><tr>
        <th scope="col">${name}</th>
        <td class="wide-cell"><span class="marked">${target(MARK_PERCENT)}</span></td>
        <th scope="col" title=${say.columns.valueAbout}>R</th>
        <th scope="col" title=${say.columns.kAbout}>K</th>
        <th scope="col" title=${say.columns.nAbout}>N</th>
      </tr></thead>
      <tbody>
        ${rows.map(([label, { k, n }]) => html`
          <tr key=${label}>
            <th scope="row">${label}</th>
            <td class="wide-cell">
              <${Bar} part=${k} whole=${n} kind="counted" mark=${(n * MARK_PERCENT) / 100} />
            </td>
            <td>${percent(percentOf(k, n))}</td><td>${integer(k)}</td><td>${integer(n)}</td>
          </tr>
        `)}
      </tbody>
    </table>
  `;
}
