// Where every accepted rating is: six parts that add up to what was accepted.

import { totals } from "../figures.js";
import { integer } from "../format.js";
import { html } from "../html.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";
import { Parts } from "./spark.js";

const PARTS = ["counted", "apart", "pending", "refused", "duplicate", "retracted"];

export function Totals() {
  const say = words();
  const row = totals.value;
  const sum = row && PARTS.reduce((sum, part) => sum + row[part], 0);
  const isBalanced = row !== null && sum === row.accepted;
  return html`
    <section class="card totals" aria-labelledby="totals-title">
      <h2 id="totals-title">${say.totals}</h2>
      <dl class="equation">
        <div class="whole">
          <dt>${say.accepted}</dt>
          <dd data-total="accepted">${count(row?.accepted)}</dd>
        </div>
        ${PARTS.map((part, n) => html`
          <div key=${part} class="part" data-sign=${n === 0 ? "=" : "+"}>
            <dt title=${say[`${part}About`]}>
              <i class="swatch" data-part=${part}></i>${say[part]}
            </dt>
            <dd data-total=${part}>${count(row?.[part])}</dd>
          </div>
        `)}
      </dl>
      ${row && html`
        <${Parts} parts=${PARTS.map((part) => [part, row[part]])} />
        <p class="balance" data-balanced=${isBalanced}>
          <${Icon} name=${isBalanced ? "met" : "not_met"} />
          ${isBalanced ? say.balanced : say.unbalanced}
        </p>
      `}
    </section>
  `;
}

const count = (number) => (number === undefined ? "…" : integer(number));
