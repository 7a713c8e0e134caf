// The great figure of a screen: a value, its numbers, and how it moved.

import { integer, percent } from "../format.js";
import { html } from "../html.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";

/** `{ k, n, percent }`, what it is of, and what stands below it. */
export function Value({ value, label, id, children }) {
  const say = words();
  const { k, n } = value ?? {};
  const counts = n === 0 ? say.noRatings : value && say.of(integer(k), integer(n));
  return html`
    <div class="value" data-value=${id}>
      <p class="value-label">${label}</p>
      <p class="value-figure">${value === null ? "…" : percent(value.percent)}</p>
      <p class="value-counts">${counts}</p>
      ${children}
    </div>
  `;
}

/** The name of what is shown in detail beside a table, and the way out of it. */
export function DetailHead({ name, onClose }) {
  const close = words().close(name);
  return html`
    <div class="detail-head">
      <h2 id="detail-title">${name}</h2>
      <button type="button" class="link" aria-label=${close} title=${close} onClick=${onClose}>
        <${Icon} name="close" />
      </button>
    </div>
  `;
}

/** A small figure with its label. */
export function Fact({ label, value, about, id, kind }) {
  return html`
    <div class="fact" data-fact=${id} data-kind=${kind}>
      <dt title=${about}>${label}</dt>
      <dd>${value}</dd>
    </div>
  `;
}
