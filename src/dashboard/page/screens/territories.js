// Territories: the subjects of the Federation as tiles of one size, coloured by a measure; the same
// as a table; and one of them in detail. Ratings by SMS, phone and kiosk only (p. 16).

import { computed } from "../vendor/signals-core.mjs";
import { useRef } from "../vendor/hooks.mjs";
import { isNarrow, language } from "../choices.js";
import { useView } from "../figures.js";
import { average, compact, integer, percent, share } from "../format.js";
import { html } from "../html.js";
import { nameOf, namesTurn, regionName } from "../names.js";
import { query, set, to } from "../route.js";
import { byMonth } from "../sums.js";
import { SIZE, TILES } from "../tiles.js";
import { words } from "../words.js";
import { MonthChart } from "../parts/chart.js";
import { changeColumn, countColumns, numberColumn, valueColumn } from "../parts/columns.js";
import { DataTable } from "../parts/data-table.js";
import { Scores } from "../parts/scores.js";
import { DetailHead, Fact, Value } from "../parts/value.js";

const STEPS = 6;
const MONTHS = 13;
/** What tiles are coloured by: the value of a row, and how it is written in little room. */
const MEASURES = {
  percent: [(row) => row.percent, (value) => (value === 100 ? integer(value) : average(value))],
  average: [(row) => row.average, average],
  rated: [
    (row) => (row.facts === 0 ? null : row.records / row.facts),
    (_, row) => share(row.records, row.facts),
  ],
  n: [(row) => row.n, compact],
  facts: [(row) => row.facts, compact],
};

export function Territories() {
  const say = words();
  const { agency = "", region = "", measure: chosen } = query.value;
  const measure = MEASURES[chosen] === undefined ? "percent" : chosen;
  const view = useView("territories", [["agency", agency]]);
  view.rows.turn.value;
  const byRegion = new Map(view.rows.data().map((row) => [row.region, row]));
  return html`
    <div class="screen-head">
      <h1>${say.screens.territories}</h1>
      <p class="about">${say.territoryAbout}</p>
      <fieldset class="segments">
        <legend class="unseen">${say.measure}</legend>
        ${Object.keys(MEASURES).map((name) => html`
          <label key=${name}>
            <input type="radio" name="measure" value=${name} checked=${measure === name}
              onChange=${() => set({ measure: name === "percent" ? "" : name })} />
            <span>${say.measures[name]}</span>
          </label>
        `)}
      </fieldset>
    </div>
    <div class="grid territories">
      <${Tiles} rows=${byRegion} measure=${measure} chosen=${region} />
      <div class="card long"><${Table} view=${view} /></div>
      ${region !== "" && html`
        <${Territory} key=${region} region=${region} agency=${agency} row=${byRegion.get(region)} />
      `}
    </div>
  `;
}

/** The tiles: one stop of the tab key, and arrows from one to the next in that direction. */
function Tiles({ rows, measure, chosen }) {
  const say = words();
  namesTurn.value;
  const box = useRef(null);
  const [valueOf, write] = MEASURES[measure];
  const values = [...rows.values()].map(valueOf).filter((value) => value !== null);
  const steps = stepsOf(values);
  const first = chosen || TILES[0].okato;
  const choose = (okato) => set({ region: okato === chosen ? "" : okato });
  return html`
    <section class="card tiles-card" aria-labelledby="tiles-title">
      <h2 id="tiles-title">${say.measures[measure]}${measure === "percent" && ", %"}</h2>
      <div class="tiles-scroll"><div class="tiles" role="group" aria-label=${say.tilesAbout}
        ref=${box} onKeyDown=${(event) => step(event, box.current)}
        style=${{ "--tile-columns": SIZE.columns, "--tile-rows": SIZE.rows }}>
        ${TILES.map((tile) => {
          const row = rows.get(tile.okato);
          const value = row === undefined ? null : valueOf(row);
          const text = value === null ? say.noRatings : write(value, row);
          const full = measure === "percent" ? percent(value) : text;
          const short = language.value === "ru" ? tile.russian : tile.short;
          const counts = row === undefined ? "" : say.of(integer(row.k), integer(row.n));
          return html`
            <button type="button" key=${tile.okato} class="tile" data-okato=${tile.okato}
              data-step=${value === null ? "none" : stepOf(value, steps)}
              tabindex=${tile.okato === first ? 0 : -1} aria-pressed=${tile.okato === chosen}
              title=${`${regionName(tile.okato)}: ${full}`}
              style=${{ gridColumn: tile.column + 1, gridRow: tile.row + 1 }}
              onClick=${() => choose(tile.okato)}>
              <span>${short}</span> <b>${value === null ? "–" : text}</b>
              <span class="unseen"> ${regionName(tile.okato)}: ${full}. ${counts}</span>
            </button>
          `;
        })}
      </div></div>
      <${Legend} steps=${steps} values=${values} measure=${measure} />
    </section>
  `;
}

/** Bounds between colours, so that each colour has as many tiles as any other. */
function stepsOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return [];
  return Array.from({ length: STEPS - 1 }, (_, at) => {
    return sorted[Math.floor(((at + 1) * sorted.length) / STEPS)];
  });
}

const stepOf = (value, steps) => steps.filter((bound) => value >= bound).length;

function Legend({ steps, values, measure }) {
  const say = words();
  if (values.length === 0) return html`<p class="empty">${say.empty.territories}</p>`;
  const write = { percent, rated: (value) => share(value, 1) }[measure] ?? MEASURES[measure][1];
  const bounds = [Math.min(...values), ...steps, Math.max(...values)].map((at) => write(at));
  return html`
    <ol class="tile-legend" aria-label=${say.legend}>
      ${Array.from({ length: STEPS }, (_, at) => html`
        <li key=${at}>
          <i data-step=${at}></i>${bounds[at]} – ${bounds[at + 1]}
        </li>
      `)}
      <li><i data-step="none"></i>${say.noRatings}</li>
    </ol>
  `;
}

/** Moves the focus to the nearest tile in the direction of an arrow key. */
function step(event, box) {
  const direction = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  }[event.key];
  const from = TILES.find(({ okato }) => okato === event.target.dataset.okato);
  if (direction === undefined || from === undefined) return;
  event.preventDefault();
  const [dx, dy] = direction;
  const distance = ({ column, row }) => {
    const along = (column - from.column) * dx + (row - from.row) * dy;
    const aside = Math.abs((column - from.column) * dy) + Math.abs((row - from.row) * dx);
    return along > 0 ? along + 3 * aside : Infinity;
  };
  const nearer = (best, tile) => (distance(tile) < distance(best) ? tile : best);
  const nearest = TILES.reduce(nearer, from);
  if (nearest === from) return;
  for (const tile of box.querySelectorAll("[tabindex='0']")) tile.tabIndex = -1;
  const tile = box.querySelector(`[data-okato="${nearest.okato}"]`);
  tile.tabIndex = 0;
  tile.focus();
}

/** One subject in detail. */
function Territory({ region, agency, row }) {
  const say = words();
  namesTurn.value;
  const months = useView("months", [["scope", "region"], ["id", region]]);
  const agencies = useView("territories", [["region", region]]);
  const series = byMonth(months.rows.data()).slice(-MONTHS);
  const rows = agencies.rows.data().filter((other) => other.agency !== "")
    .sort((a, b) => b.n - a.n);
  return html`
    <section class="card detail" aria-labelledby="detail-title">
      <${DetailHead} name=${regionName(region)} onClose=${() => set({ region: "" })} />
      ${row === undefined ? html`<p class="empty">${say.noRatings}</p>` : html`
        <${Value} id="territory" value=${row}
          label=${agency === "" ? say.allAgencies : nameOf("agency", agency)} />
        <dl class="facts">
          <${Fact} label=${say.columns.average} value=${average(row.average)} />
          <${Fact} label=${say.columns.facts} value=${integer(row.facts)} />
          <${Fact} label=${say.columns.records} value=${integer(row.records)} />
          <${Fact} label=${say.measures.rated} value=${share(row.records, row.facts)} />
        </dl>
        <${Scores} scores=${row.scores} />
      `}
      ${agency === "" && series.length > 1 && html`
        <h3>${say.byMonth}</h3><${MonthChart} months=${series} />
      `}
      <h3>${say.screens.agencies}</h3>
      <table class="plain">
        <thead><tr>
          <th scope="col">${say.agency}</th><th scope="col">R</th><th scope="col">N</th>
        </tr></thead>
        <tbody>
          ${rows.map((other) => html`
            <tr key=${other.agency}>
              <th scope="row">
                <a href=${to("managers", { agency: other.agency, region })}>
                  ${nameOf("agency", other.agency)}
                </a>
              </th>
              <td>${percent(other.percent)}</td><td>${integer(other.n)}</td>
            </tr>
          `)}
        </tbody>
      </table>
      <p><a class="more" href=${to("managers", { region })}>${say.toManagers}</a></p>
    </section>
  `;
}

const columns = computed(() => {
  const say = words().columns;
  return [
    {
      id: "territory",
      label: say.territory,
      kind: "text",
      width: isNarrow.value ? "minmax(8rem, 1fr)" : "minmax(12rem, 1fr)",
      of: (data) => regionName(data.region),
      cell: (data) => html`
        <a class="name" href=${to("territories", { region: data.region })}
          title=${regionName(data.region)}>
          ${regionName(data.region)}
        </a>
      `,
    },
    valueColumn(say.territoryAbout),
    ...countColumns(),
    { ...numberColumn("records", say.records, say.recordsAbout), isWide: true },
    { ...numberColumn("facts", say.facts, say.factsAbout), isWide: true },
    {
      id: "average",
      label: say.average,
      about: say.averageAbout,
      kind: "figure",
      width: "5rem",
      isWide: true,
      of: (data) => data.average,
      cell: (data) => average(data.average),
    },
    changeColumn(),
  ];
});
const all = () => true;

function Table({ view }) {
  const say = words();
  const sort = query.value.sort ?? "-value";
  return html`
    <${DataTable} name="territories" view=${view} caption=${say.screens.territories}
      columns=${columns.value} sort=${sort} onSort=${(sort) => set({ sort })} matches=${all}
      empty=${() => say.empty.territories} />
  `;
}
