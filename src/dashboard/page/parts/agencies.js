// Agencies: the value over all their ratings, and the mean of their managers (p. 14).

import { computed, signal } from "../vendor/signals-core.mjs";
import { mean } from "../format.js";
import { html } from "../html.js";
import { models, streams } from "../node.js";
import { nameOf } from "../names.js";
import { words } from "../words.js";
import { changeColumn, countColumns, numberColumn, valueColumn } from "./columns.js";
import { DataTable } from "./data-table.js";

const sort = signal({ column: "n", isDescending: true });
const all = () => true;

const columns = computed(() => {
  const say = words().columns;
  return [
    {
      id: "agency",
      label: say.agency,
      kind: "text",
      of: (data) => nameOf("agency", data.agency),
      cell: (data) => html`<span class="name">${nameOf("agency", data.agency)}</span>`,
    },
    valueColumn(say.pooled, say.pooledAbout),
    ...countColumns(),
    {
      id: "mean",
      label: say.mean,
      about: say.meanAbout,
      kind: "figure",
      of: (data) => data.mean,
      cell: (data) => mean(data.mean),
    },
    numberColumn("managers", say.managers, say.managersAbout),
    changeColumn(),
  ];
});

export function Agencies() {
  const say = words();
  return html`
    <${DataTable} name="agencies" model=${models.agencies} stream=${streams.agencies}
      caption=${say.tabs.agencies} columns=${columns.value} sort=${sort} matches=${all}
      empty=${() => say.empty.agencies} />
  `;
}
