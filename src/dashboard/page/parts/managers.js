// Managers: the value of each in an accounting period, and how it stands to its target.

import { computed, signal } from "../vendor/signals-core.mjs";
import { days, percent, target } from "../format.js";
import { html } from "../html.js";
import { entry, nameOf, namesTurn, regionName } from "../names.js";
import { models, periods, showPeriods, streams } from "../node.js";
import { words } from "../words.js";
import { changeColumn, countColumns, valueColumn } from "./columns.js";
import { DataTable } from "./data-table.js";
import { Filters, NO_AGENCY, filter } from "./filters.js";
import { Icon } from "./icons.js";

const sort = signal({ column: "n", isDescending: true });

export function Managers() {
  const say = words();
  return html`
    <${Filters} sort=${sort} columns=${columns.value} />
    <${DataTable} name="managers" model=${models.managers} stream=${streams.managers}
      caption=${say.tabs.managers} columns=${columns.value} sort=${sort}
      matches=${matches.value} empty=${nothing} />
  `;
}

/** What stands in place of rows. */
function nothing(isNone) {
  const say = words();
  if (!isNone) return html`<p>${say.emptyFilter}</p>`;
  return html`
    <p>${say.empty.managers}</p>
    ${periods.value === "running" && html`
      <button type="button" onClick=${() => showPeriods("judged")}>${say.showJudged}</button>
    `}
  `;
}

/** Whether a row is among those chosen. Its texts are put together once and kept with it. */
const matches = computed(() => {
  const { agency, region, status, search } = filter.value;
  const wanted = search.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const turn = namesTurn.value;
  return (row) => {
    const { data } = row;
    if (agency !== "" && (data.agency ?? NO_AGENCY) !== agency) return false;
    if (region !== "" && data.region !== region) return false;
    if (status !== "" && data.status !== status) return false;
    if (wanted.length === 0) return true;
    if (row.textsTurn !== turn) {
      const ids = [data.manager, data.unit, data.tenure];
      const names = [nameOf("manager", data.manager), nameOf("unit", data.unit)];
      row.texts = [...names, ...ids].join(" ").toLowerCase();
      row.textsTurn = turn;
    }
    return wanted.every((text) => row.texts.includes(text));
  };
});

function Status({ status }) {
  return html`
    <span class="status" data-status=${status} title=${words().statuses[status]}>
      <${Icon} name=${status} /><span class="word">${words().statuses[status]}</span>
    </span>
  `;
}

const agencyName = (id) => (id === null ? words().mfc : nameOf("agency", id));

const columns = computed(() => {
  const say = words().columns;
  return [
    {
      id: "manager",
      label: say.manager,
      kind: "text",
      of: (data) => nameOf("manager", data.manager),
      cell: (data) => html`
        <span class="name">${nameOf("manager", data.manager)}</span>
        <small title=${`${agencyName(data.agency)} · ${regionName(data.region)}`}>
          ${entry("unit", data.unit)?.name ?? data.unit}
        </small>
      `,
    },
    valueColumn(say.value, say.valueAbout),
    ...countColumns(),
    changeColumn(),
    {
      id: "previous",
      label: say.previous,
      about: say.previousAbout,
      kind: "figure",
      of: (data) => data.previous?.percent ?? null,
      cell: (data) => html`
        ${percent(data.previous?.percent ?? null)}
        ${data.target !== null && html`<small>${words().target(target(data.target))}</small>`}
      `,
    },
    {
      id: "period",
      label: say.period,
      kind: "text",
      of: (data) => data.from,
      cell: (data) => {
        const [first, last] = days(data.from, data.until);
        return html`<small>${first} –<br />${last}</small>`;
      },
    },
    {
      id: "status",
      label: say.status,
      kind: "text",
      of: (data) => words().statuses[data.status],
      cell: (data) => html`<${Status} status=${data.status} />`,
    },
  ];
});
