// Agencies: the mean of their managers, Rf (p. 14), beside the value over all their ratings; and
// one agency in detail.

import { computed } from "../vendor/signals-core.mjs";
import { useMemo } from "../vendor/hooks.mjs";
import { useView } from "../figures.js";
import { integer, mean, percent, quarter } from "../format.js";
import { html } from "../html.js";
import { entry, nameOf, namesTurn } from "../names.js";
import { query, set, to } from "../route.js";
import { byMonth, countBy, poolLists, ranks } from "../sums.js";
import { words } from "../words.js";
import { MonthChart } from "../parts/chart.js";
import { Status, changeColumn, countColumns, numberColumn, valueColumn } from "../parts/columns.js";
import { DataTable } from "../parts/data-table.js";
import { Parted } from "../parts/parted.js";
import { Spark } from "../parts/spark.js";
import { DetailHead, Fact, Value } from "../parts/value.js";
import { CRITERIA } from "./managers.js";
import { Moved } from "./overview.js";

const MONTHS = 13;
const QUARTERS = 8;
/** The columns for which there is room beside the details of an agency. */
const BESIDE_DETAIL = ["place", "agency", "mean", "managers", "value", "moved"];

export function Agencies() {
  const say = words();
  const { agency = "", sort = "-mean" } = query.value;
  const view = useView("agencies");
  const quarters = useView("agency_quarters");
  const managers = useView("manager_periods");
  const formed = quarters.rows.data();
  const all = view.rows.data();
  const columns = useColumns(all, formed, agency === "");
  return html`
    <div class="screen-head">
      <h1>${say.screens.agencies}</h1><p class="about">${say.agenciesAbout}</p>
    </div>
    <div class="grid agencies" data-has-detail=${agency !== ""}>
      <div class="card fill">
        <${DataTable} name="agencies" view=${view} caption=${say.screens.agencies}
          columns=${columns} sort=${sort} onSort=${(sort) => set({ sort })} matches=${every}
          empty=${() => say.empty.agencies} />
      </div>
      ${agency !== "" && html`
        <${Agency} key=${agency} agency=${agency} managers=${managers}
          row=${all.find((row) => row.agency === agency)}
          formed=${formed.filter((row) => row.agency === agency)} />
      `}
    </div>
  `;
}

const every = () => true;

/**
 * The columns, without some where there is not the whole width. Places are of all agencies, so they
 * are reckoned once for all rows.
 */
function useColumns(all, formed, isWhole) {
  const last = formed.reduce((last, { quarter }) => (quarter > last ? quarter : last), "");
  const before = formed.filter((row) => row.quarter === last);
  const places = ranks(all, (row) => row.agency, (row) => row.mean);
  const placesBefore = ranks(before, (row) => row.agency, (row) => row.mean);
  const lines = new Map();
  for (const { agency, quarter, mean } of formed) {
    lines.set(agency, [...(lines.get(agency) ?? []), [quarter, mean]]);
  }
  const signature = JSON.stringify([...places, ...placesBefore, formed.length, isWhole]);
  const rest = restOfColumns.value;
  return useMemo(() => {
    const say = words().columns;
    const line = (agency) =>
      (lines.get(agency) ?? []).sort().slice(-QUARTERS).map(([, mean]) => mean);
    return [
      {
        id: "place",
        label: "№",
        about: say.place,
        kind: "text",
        width: "4rem",
        isWide: true,
        of: (data) => places.get(data.agency) ?? null,
        cell: (data) => places.get(data.agency) ?? "–",
      },
      ...rest,
      {
        id: "moved",
        label: say.moved,
        about: say.movedAbout,
        kind: "figure",
        width: "6rem",
        isWide: true,
        of: (data) => (placesBefore.get(data.agency) ?? 0) - (places.get(data.agency) ?? 0),
        cell: ({ agency }) => html`
          <${Moved} from=${placesBefore.get(agency)} to=${places.get(agency)} />
        `,
      },
      {
        id: "quarters",
        label: say.quarters,
        about: say.quartersAbout,
        kind: "figure",
        width: "9rem",
        isWide: true,
        of: (data) => line(data.agency).at(-1) ?? null,
        cell: (data) => html`<${Spark} values=${line(data.agency)} />`,
      },
    ].filter(({ id }) => isWhole || BESIDE_DETAIL.includes(id));
  }, [signature, rest]);
}

const restOfColumns = computed(() => {
  const say = words().columns;
  return [
    {
      id: "agency",
      label: say.agency,
      kind: "text",
      width: "minmax(9rem, 1fr)",
      of: (data) => nameOf("agency", data.agency),
      cell: (data) => html`
        <a class="name" href=${to("agencies", { agency: data.agency })}
          title=${nameOf("agency", data.agency)}>
          ${nameOf("agency", data.agency)}
        </a>
      `,
    },
    {
      id: "mean",
      label: say.mean,
      about: say.meanAbout,
      kind: "figure",
      width: "10rem",
      of: (data) => data.mean,
      cell: (data) => html`
        <b>${mean(data.mean)}</b><small class="narrow">R ${percent(data.percent)}</small>
      `,
    },
    { ...numberColumn("managers", say.managers, say.managersAbout), isWide: true },
    { ...valueColumn(say.pooledAbout), isWide: true, cell: (data) => percent(data.percent) },
    ...countColumns(),
    changeColumn(),
  ];
});

/** One agency: its values, its managers by status, criteria, quarters, months, services. */
function Agency({ agency, row, formed, managers }) {
  const say = words();
  namesTurn.value;
  const months = useView("months", [["scope", "agency"], ["id", agency]]);
  const services = useView("services", [["agency", agency]]);
  const series = byMonth(months.rows.data()).slice(-MONTHS);
  const periods = managers.rows.data().filter((period) => period.agency === agency);
  const statuses = countBy(periods, "status");
  // The value of a head holds those of the units below, so only the topmost are added up.
  const topmost = periods.filter((period) => {
    return period.status === "in_progress" && entry("unit", period.unit)?.parent === null;
  });
  const criteria = poolLists(topmost.map((period) => period.criteria), "criterion");
  const last = [...formed].sort((a, b) => (a.quarter < b.quarter ? 1 : -1)).slice(0, QUARTERS);
  return html`
    <section class="card detail" aria-labelledby="detail-title">
      <${DetailHead} name=${nameOf("agency", agency)} onClose=${() => set({ agency: "" })} />
      ${row === undefined ? html`<p class="empty">${say.noRatings}</p>` : html`
        <div class="pair">
          <${Value} id="agency" value=${row} label=${say.columns.pooledAbout} />
          <dl class="facts">
            <${Fact} label=${`${say.columns.mean} · ${say.columns.meanAbout}`}
              value=${mean(row.mean)} />
            <${Fact} label=${`${say.columns.managers} · ${say.columns.managersAbout}`}
              value=${integer(row.managers)} />
          </dl>
        </div>
      `}
      <ul class="counts">
        ${[...statuses].sort().map(([status, count]) => html`
          <li key=${status}>
            <a href=${to("managers", { agency, period: "all", status })}>
              <${Status} status=${status} /> <b>${integer(count)}</b>
            </a>
          </li>
        `)}
      </ul>
      <h3>${say.byCriterion}</h3>
      <p class="about">${say.byCriterionAbout}</p>
      <${Parted} name=${say.criterion} rows=${CRITERIA.filter((id) => criteria.has(id))
        .map((id) => [say.criteria[id], criteria.get(id)])} />
      ${last.length > 0 && html`<${Quarters} rows=${last} />`}
      ${series.length > 1 && html`<h3>${say.byMonth}</h3><${MonthChart} months=${series} />`}
      <h3>${say.services}</h3>
      <${Parted} name=${say.service} rows=${services.rows.data().sort((a, b) => b.n - a.n)
        .map((of) => [nameOf("service", of.service), of])} />
    </section>
  `;
}

function Quarters({ rows }) {
  const say = words();
  return html`
    <h3>${say.columns.quarters}</h3>
    <table class="plain">
      <thead><tr>
        <th scope="col">${say.quarterWord}</th><th scope="col">${say.columns.mean}</th>
        <th scope="col">${say.columns.managers}</th>
      </tr></thead>
      <tbody>
        ${rows.map((row) => html`
          <tr key=${row.quarter}>
            <th scope="row">${quarter(row.quarter)}</th><td>${mean(row.mean)}</td>
            <td>${integer(row.managers)}</td>
          </tr>
        `)}
      </tbody>
    </table>
  `;
}
