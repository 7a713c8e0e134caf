// Managers: the value of each in an accounting period, and how it stands to its target.

import { computed } from "../vendor/signals-core.mjs";
import { useRef } from "../vendor/hooks.mjs";
import { isNarrow } from "../choices.js";
import * as csv from "../csv.js";
import { useView } from "../figures.js";
import { NONE, days, integer, percent, target } from "../format.js";
import { html } from "../html.js";
import { lineOf, see } from "../months.js";
import { entry, nameOf, namesTurn, regionName } from "../names.js";
import { query, set, toFigure } from "../route.js";
import { percentOf } from "../sums.js";
import { words } from "../words.js";
import { Status, changeColumn, countColumns, valueColumn } from "../parts/columns.js";
import { DataTable } from "../parts/data-table.js";
import { Filters } from "../parts/filters.js";
import { Icon } from "../parts/icons.js";
import { Spark } from "../parts/spark.js";

/** Which periods are looked at, by status. */
const PERIODS = {
  running: ["in_progress"],
  judged: ["met", "not_met", "below_first", "no_value"],
  cut: ["cut_short"],
  all: null,
};
export const CRITERIA = [1, 2, 3, 4, 5, 6, 7, 8, "integral"];
export const CHANNELS = ["sms", "phone", "kiosk", "epgu"];
const SORT = "-n";

export function Managers() {
  const say = words();
  const view = useView("manager_periods");
  const list = useRef([]);
  const { sort = SORT } = query.value;
  return html`
    <div class="screen-head">
      <h1>${say.screens.managers}</h1>
      <${Filters} view=${view} columns=${columns.value} sort=${sort} />
    </div>
    <div class="card fill">
      <${DataTable} name="managers" view=${view} caption=${say.screens.managers}
        columns=${columns.value} sort=${sort} onSort=${(sort) => set({ sort })}
        matches=${matches.value} empty=${nothing} onSeen=${seen}
        onList=${(rows) => (list.current = rows)}>
        <button type="button" class="save" onClick=${() => save(list.current)}>
          <${Icon} name="save" />CSV
        </button>
      <//>
    </div>
  `;
}

const seen = (rows) => see(rows.map(({ unit }) => unit));

/** What stands in place of rows. */
function nothing(isNone) {
  const say = words();
  if (isNone) return html`<p>${say.empty.managers}</p>`;
  return html`
    <p>${say.emptyFilter}</p>
    <button type="button" onClick=${lift}>${say.reset}</button>
  `;
}

/** Lifts all conditions of this screen, and the lasting ones. */
export function lift() {
  set({ agency: "", region: "", status: "", q: "", body: "", least: "", period: "all" });
}

/** Whether a row is among those chosen. Its texts are put together once and kept with it. */
const matches = computed(() => {
  const { agency = "", region = "", status = "", q = "", body = "", least = "" } = query.value;
  const statuses = status === "" ? (PERIODS[query.value.period ?? "running"] ?? null) : [status];
  const wanted = q.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const ratingsMin = Number(least) || 0;
  const turn = wanted.length > 0 ? namesTurn.value : 0;
  return (row) => {
    const { data } = row;
    if (agency !== "" && data.agency !== agency) return false;
    if (region !== "" && data.region !== region) return false;
    if (statuses !== null && !statuses.includes(data.status)) return false;
    if (body !== "" && (data.agency === null) !== (body === "mfc")) return false;
    if (data.n < ratingsMin) return false;
    return wanted.length === 0 || wanted.every((text) => textsOf(row, turn).includes(text));
  };
});

function textsOf(row, turn) {
  if (row.textsTurn !== turn) {
    const { manager, unit, tenure } = row.data;
    const names = [nameOf("manager", manager), nameOf("unit", unit)];
    row.texts = [...names, manager, unit, tenure].join(" ").toLowerCase();
    row.textsTurn = turn;
  }
  return row.texts;
}

const unitName = (id) => entry("unit", id)?.name ?? id;
const agencyName = (id) => (id === null ? words().mfc : nameOf("agency", id));

const columns = computed(() => {
  const show = (query.value.show ?? "").split(",");
  return [
    ...base(),
    ...(show.includes("criteria") ? CRITERIA.map(criterionColumn) : []),
    ...(show.includes("channels") ? CHANNELS.map(channelColumn) : []),
  ];
});

function base() {
  const say = words().columns;
  return [
    {
      id: "manager",
      label: say.manager,
      kind: "text",
      width: isNarrow.value ? "minmax(8rem, 1fr)" : "minmax(18.5rem, 1fr)",
      of: (data) => nameOf("manager", data.manager),
      cell: (data) => html`
        <a class="name" href=${toFigure(data)} title=${nameOf("manager", data.manager)}>
          ${nameOf("manager", data.manager)}
        </a>
        <small title=${`${unitName(data.unit)} · ${agencyName(data.agency)} · ` +
          regionName(data.region)}>
          ${unitName(data.unit)}
        </small>
      `,
    },
    valueColumn(say.valueAbout),
    ...countColumns(),
    changeColumn(),
    {
      id: "months",
      label: say.months,
      about: say.monthsAbout,
      kind: "figure",
      width: "7.5rem",
      isWide: true,
      of: (data) => lastOf(lineOf(data.unit).peek()),
      cell: (data) => html`<${Spark} values=${lineOf(data.unit).value ?? []} most=${100} />`,
    },
    {
      id: "previous",
      label: say.previous,
      about: say.previousAbout,
      kind: "figure",
      width: "7.5rem",
      isWide: true,
      of: (data) => data.previous?.percent ?? null,
      cell: (data) => html`${percent(data.previous?.percent ?? null)}${targetOf(data)}`,
    },
    {
      id: "period",
      label: say.period,
      kind: "text",
      width: "7.5rem",
      isWide: true,
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
      width: isNarrow.value ? "2.75rem" : "10.5rem",
      of: (data) => words().statuses[data.status],
      cell: (data) => html`<${Status} status=${data.status} />`,
    },
  ];
}

/** It may have six decimals, for which there is no room. */
function targetOf(data) {
  if (data.target === null) return null;
  const text = words().target(target(data.target));
  return html`<small title=${text}>${text}</small>`;
}

const lastOf = (line) => line?.findLast((value) => value !== null) ?? null;

const partColumn = (id, label, about, partOf) => ({
  id,
  label,
  about,
  kind: "figure",
  width: "6.75rem",
  isWide: true,
  of: (data) => {
    const part = partOf(data);
    return part === undefined ? null : percentOf(part.k, part.n);
  },
  cell: (data) => {
    const part = partOf(data);
    if (part === undefined) return html`<span class="faint">${NONE}</span>`;
    return html`
      ${percent(percentOf(part.k, part.n))}<small>${words().ofAll(integer(part.n))}</small>
    `;
  },
});

const criterionColumn = (criterion) =>
  partColumn(
    `criterion-${criterion}`,
    words().criterionShort(criterion),
    words().criteria[criterion],
    ({ criteria }) => criteria.find((part) => part.criterion === criterion),
  );

const channelColumn = (channel) =>
  partColumn(
    `channel-${channel}`,
    words().ratingChannels[channel],
    words().ratingChannels[channel],
    ({ channels }) => channels.find((part) => part.channel === channel),
  );

/** What is shown as a file: the same rows in the same order, with the figures of the API. */
function save(rows) {
  const say = words();
  const head = [
    "tenure", "period", "manager", "manager_name", "unit", "unit_name", "agency", "agency_name",
    "region", "region_name", "from", "until", "status", "k", "n", "percent", "previous_percent",
    "target", ...CRITERIA.flatMap((criterion) => [`k_${criterion}`, `n_${criterion}`]),
    ...CHANNELS.flatMap((channel) => [`k_${channel}`, `n_${channel}`]),
  ];
  const lines = rows.map(({ data }) => [
    data.tenure, data.period, data.manager, nameOf("manager", data.manager), data.unit,
    nameOf("unit", data.unit), data.agency, agencyName(data.agency), data.region,
    regionName(data.region), data.from, data.until, data.status, data.k, data.n, data.percent,
    data.previous?.percent ?? null, data.target,
    ...CRITERIA.flatMap((wanted) => counts(data.criteria, ({ criterion }) => criterion === wanted)),
    ...CHANNELS.flatMap((wanted) => counts(data.channels, ({ channel }) => channel === wanted)),
  ]);
  csv.save(`${say.fileName}.csv`, csv.text([head, ...lines]));
}

function counts(parts, isWanted) {
  const part = parts.find(isWanted);
  return [part?.k ?? 0, part?.n ?? 0];
}
