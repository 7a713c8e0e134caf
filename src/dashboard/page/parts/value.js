// The great figure of a screen: a value, its numbers, and how it moved.

import { integer, percent } from "../format.js";
import { html } from "../html.js";
import { words } from "../words.js";

/** `{ k, n, percent }`, what it is of, and what stands below it. */
export function Value({ value, label, id, children }) {
  return html`
    <div class="value" data-value=${id}>
      <p class="value-label">${label}</p>
      <p class="value-figure">${value === null ? "…" : percent(value.percent)}</p>
      <p class="value-counts">
        ${value !== null && words().of(integer(value.k), integer(value.n))}
      </p>
      ${children}
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
