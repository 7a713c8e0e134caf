// Columns that more than one table has.

import { NONE, integer, percent, time } from "../format.js";
import { html } from "../html.js";
import { words } from "../words.js";
import { Delta } from "./changes.js";

/** The value, and below it, where there is no room for columns of their own, K and N. */
export const valueColumn = (label, about) => ({
  id: "value",
  label,
  about,
  kind: "figure",
  of: (data) => data.percent,
  cell: (data) => html`
    <b>${percent(data.percent)}</b>
    <small class="narrow">${words().of(integer(data.k), integer(data.n))}</small>
  `,
});

/** K and N. */
export const countColumns = () => {
  const say = words().columns;
  const count = (id, about) => ({
    id,
    label: say[id],
    about,
    kind: "figure",
    of: (data) => data[id],
    cell: (data) => integer(data[id]),
  });
  return [count("k", say.kAbout), count("n", say.nAbout)];
};

/** By how much the value changed last, and when. */
export const changeColumn = () => ({
  id: "change",
  label: words().columns.change,
  short: words().columns.changeShort,
  kind: "figure",
  of: (_, row) => row.change?.at ?? null,
  cell: (_, change) => change === null
    ? html`<span class="faint">${NONE}</span>`
    : html`
      <${Delta} from=${change.from} to=${change.to} />
      <small class="wide">${time(change.at)}</small>
    `,
});

/** A column of whole numbers. */
export const numberColumn = (id, label, about) => ({
  id,
  label,
  about,
  kind: "figure",
  of: (data) => data[id],
  cell: (data) => integer(data[id]),
});
