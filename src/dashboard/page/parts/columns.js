// Columns that more than one table has.

import { isNarrow, type } from "../choices.js";
import { NONE, difference, integer, percent } from "../format.js";
import { html } from "../html.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";

/** The value, and below it, where there is no room for columns of their own, K and N. */
export const valueColumn = (about) => ({
  id: "value",
  label: "R",
  about,
  kind: "figure",
  width: isNarrow.value ? "7.4rem" : "6.25rem",
  of: (data) => data.percent,
  cell: (data) => html`
    <b>${percent(data.percent)}</b>
    <small class="narrow">${words().of(integer(data.k), integer(data.n))}</small>
  `,
});

/** K and N. */
export const countColumns = () => [
  { ...numberColumn("k", "K", words().columns.kAbout), isWide: true },
  { ...numberColumn("n", "N", words().columns.nAbout), isWide: true },
];

/** A column of whole numbers. */
export const numberColumn = (id, label, about) => ({
  id,
  label,
  about,
  kind: "figure",
  width: "6.75rem",
  of: (data) => data[id],
  cell: (data) => integer(data[id]),
});

/** By how much the value is another since the page was opened. */
export const changeColumn = () => ({
  id: "change",
  isWide: type.value === "large",
  label: words().columns.change,
  about: words().columns.changeAbout,
  kind: "figure",
  width: isNarrow.value ? "5.5rem" : "6.5rem",
  of: (data, row) => {
    if (row.since === null || data.percent === null) return null;
    return Math.round(data.percent * 100) - Math.round(row.since * 100);
  },
  cell: (data, row) => html`<${Delta} from=${row.since} to=${data.percent} />`,
});

/** "up", "down", or none where a value came, went, or is the same. */
export function directionOf(from, to) {
  if (from === null || to === null || from === to) return undefined;
  return to > from ? "up" : "down";
}

/** By how much a value changed: arrow, sign and word say the same as the colour. */
export function Delta({ from, to }) {
  const direction = directionOf(from, to);
  if (direction === undefined) return html`<span class="faint">${NONE}</span>`;
  return html`
    <span class="delta" data-direction=${direction}>
      <${Icon} name=${direction} /><span class="unseen">${words()[direction]}</span>
      ${difference(from, to)}
    </span>
  `;
}

/** What became of a period, as an icon and a word. */
export function Status({ status }) {
  return html`
    <span class="status" data-status=${status}>
      <${Icon} name=${status} />${words().statuses[status]}
    </span>
  `;
}
