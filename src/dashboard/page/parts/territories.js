// Territories: ratings by subject of the Federation, from SMS, phone and kiosk only (p. 16).

import { computed, signal } from "../vendor/signals-core.mjs";
import { average } from "../format.js";
import { html } from "../html.js";
import { models, streams } from "../node.js";
import { regionName } from "../names.js";
import { words } from "../words.js";
import { changeColumn, countColumns, numberColumn, valueColumn } from "./columns.js";
import { DataTable } from "./data-table.js";

const sort = signal({ column: "n", isDescending: true });
const all = () => true;

const columns = computed(() => {
  const say = words().columns;
  return [
    {
      id: "territory",
      label: say.territory,
      kind: "text",
      of: (data) => regionName(data.region),
      cell: (data) => html`<span class="name">${regionName(data.region)}</span>`,
    },
    valueColumn(say.value, say.valueAbout),
    ...countColumns(),
    numberColumn("records", say.records, say.recordsAbout),
    numberColumn("facts", say.facts, say.factsAbout),
    {
      id: "average",
      label: say.average,
      about: say.averageAbout,
      kind: "figure",
      of: (data) => data.average,
      cell: (data) => average(data.average),
    },
    changeColumn(),
  ];
});

export function Territories() {
  const say = words();
  return html`
    <${DataTable} name="territories" model=${models.territories} stream=${streams.territories}
      caption=${say.tabs.territories} columns=${columns.value} sort=${sort} matches=${all}
      empty=${() => say.empty.territories} />
  `;
}
