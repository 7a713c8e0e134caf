// A table of live rows: headings that sort, rows that follow their figures one by one.
//
// A column is `{ id, label, short?, about?, of(data, row), cell(data, change), kind }`: `of` is
// what it is sorted by (a number, a text, or null, which comes last), `kind` is "text" or "figure".
// Which columns are left out where there is no room is up to the style sheet.

import { compareNames, integer } from "../format.js";
import { html } from "../html.js";
import { namesTurn } from "../names.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";

/** More rows than anybody reads, and few enough to redraw: the filters are for the rest. */
const SHOWN_MAX = 200;

/**
 * The table of a model. Rows are laid out as grids, so that a figure that changes moves nothing but
 * its own row; the roles say that it is a table none the less. `sort` is a signal
 * `{ column, isDescending }`; `matches(row)` says which rows there are; `empty(isNone)` is what
 * stands in their place where there are none, or none that match.
 */
export function DataTable({ name, caption, model, stream, columns, sort, matches, empty }) {
  model.turn.value;
  namesTurn.value;
  const { rows, matching } = model.select(matches, comparison(columns, sort.value), SHOWN_MAX);
  const isLoading = stream.state.value !== "live" && model.rows.size === 0;
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${caption}>
      <table role="table" class="figures" data-table=${name} aria-label=${caption}
        aria-busy=${isLoading}>
        <thead role="rowgroup">
          <tr role="row">
            ${columns.map((column) => html`
              <${Heading} key=${column.id} column=${column} sort=${sort} />
            `)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${rows.map((row) => html`<${Row} key=${row.key} row=${row} columns=${columns} />`)}
          ${isLoading && SKELETON.map((n) => html`<${Skeleton} key=${n} columns=${columns} />`)}
        </tbody>
      </table>
      ${rows.length === 0 && !isLoading && html`
        <div class="empty">${empty(model.rows.size === 0)}</div>
      `}
    </div>
    <p class="count">${countOf(rows.length, matching)}</p>
  `;
}

const SKELETON = [1, 2, 3, 4, 5, 6, 7, 8];

function Skeleton({ columns }) {
  return html`
    <tr class="skeleton" aria-hidden="true">
      ${columns.map((column) => html`<td data-column=${column.id} key=${column.id}><i></i></td>`)}
    </tr>
  `;
}

function countOf(shown, matching) {
  const say = words();
  if (shown === matching) return say.shownAll(integer(shown));
  return say.shown(integer(shown), integer(matching));
}

function Heading({ column, sort }) {
  const { column: sorted, isDescending } = sort.value;
  const direction = isDescending ? "descending" : "ascending";
  const isSorted = sorted === column.id;
  const click = () => {
    // Figures are looked at from the greatest, names from the first.
    const first = column.kind !== "text";
    sort.value = { column: column.id, isDescending: isSorted ? !isDescending : first };
  };
  return html`
    <th role="columnheader" scope="col" data-column=${column.id} data-kind=${column.kind}
      aria-sort=${isSorted ? direction : undefined}>
      <button type="button" title=${column.about} onClick=${click}>
        <span class=${column.short && "wide"}>${column.label}</span>
        ${column.short && html`<span class="narrow" aria-hidden="true">${column.short}</span>`}
        <${Icon} name=${isSorted ? direction : "sort"} />
      </button>
    </th>
  `;
}

/** Drawn anew when its own figures change, and not when its neighbours do. */
function Row({ row, columns }) {
  const { data, change, mark } = row.shown.value;
  namesTurn.value;
  return html`
    <tr role="row" data-key=${row.key} data-mark=${mark}>
      ${columns.map((column) => html`
        <td role="cell" key=${column.id} data-column=${column.id} data-kind=${column.kind}>
          ${column.cell(data, change)}
        </td>
      `)}
    </tr>
  `;
}

/** A comparison of rows by a column; rows without a value last, equal ones by key. */
function comparison(columns, { column: id, isDescending }) {
  const { of } = columns.find((column) => column.id === id) ?? columns[0];
  const sign = isDescending ? -1 : 1;
  return (a, b) => {
    const x = of(a.data, a);
    const y = of(b.data, b);
    if (x === y) return a.key < b.key ? -1 : 1;
    if (x === null) return 1;
    if (y === null) return -1;
    return sign * (typeof x === "string" ? compareNames(x, y) : x - y);
  };
}
