// The card of one figure: why is it what it is? The formula of p. 12 or 13 with its numbers, its
// parts by criterion and channel, what is missing to its target, the periods before, the months of
// the unit, the units below, and what waits or was refused beside it.

import { useExplained } from "../explained.js";
import { useView } from "../figures.js";
import { days, integer, month as longMonth, percent, target } from "../format.js";
import { html } from "../html.js";
import { nameOf, namesTurn, regionName, unitsBelow } from "../names.js";
import { route, to, toFigure } from "../route.js";
import { byMonth, pool } from "../sums.js";
import { goal } from "../target.js";
import { words } from "../words.js";
import { MonthChart } from "../parts/chart.js";
import { Delta, Status } from "../parts/columns.js";
import { Skeleton } from "../parts/data-table.js";
import { Beside, Crossed, Sources } from "../parts/explained.js";
import { Icon } from "../parts/icons.js";
import { Parted } from "../parts/parted.js";
import { Shares } from "../parts/shares.js";
import { Bar } from "../parts/spark.js";
import { Fact, Value } from "../parts/value.js";
import { CHANNELS, CRITERIA } from "./managers.js";

/** Months of the unit that are shown, and units below it. */
const MONTHS = 25;
const UNITS_MAX = 200;
/** What a unit without ratings comes to. */
const UNRATED = { k: 0, n: 0, percent: null };

export function Figure() {
  const say = words();
  namesTurn.value;
  const view = useView("manager_periods");
  const { tenure, period } = route.value.key ?? {};
  const row = view.rows.get(`${tenure}\n${period}`);
  if (row === undefined) {
    return html`
      <${Back} />
      <h1>${say.figure}</h1>
      ${view.isKnown ? html`<p class="card empty">${say.noFigure}</p>` : html`<${Skeleton} />`}
    `;
  }
  return html`<${Card} key=${`${tenure} ${period}`} row=${row} view=${view} />`;
}

function Card({ row, view }) {
  const say = words();
  const { data, since, mark } = row.shown.value;
  const explained = useExplained(data);
  const name = nameOf("manager", data.manager);
  return html`
    <${Back} />
    <div class="screen-head figure-head">
      <div>
        <h1>${name}</h1>
        <p>${nameOf("unit", data.unit)}</p>
        <p class="about">
          ${data.agency === null ? say.mfc : nameOf("agency", data.agency)} ·
          ${" "}${regionName(data.region)} · ${say.periodOf(data.period + 1)}:
          ${" "}${days(data.from, data.until).join(" – ")}
        </p>
      </div>
      <${Status} status=${data.status} />
    </div>
    <div class="grid figure">
      <div class="stack">
        <section class="card why" aria-labelledby="value-title" data-mark=${mark}>
          <h2 id="value-title">${say.why(percent(data.percent))}</h2>
          <${Value} id="figure" value=${data} label=${say.columns.valueAbout}>
            <p class="about">
              ${say.columns.changeAbout}: <${Delta} from=${since} to=${data.percent} />
            </p>
          <//>
          <${Formula} data=${data} />
        </section>
        <section class="card" aria-labelledby="criteria-title">
          <h2 id="criteria-title">${say.byCriterion}</h2>
          <${Parted} name=${say.criterion} rows=${parts(data.criteria, "criterion", CRITERIA)
            .map(([id, part]) => [say.criteria[id], part])} />
        </section>
        ${explained !== null && html`
          <${Crossed} explained=${explained} criteria=${CRITERIA} channels=${CHANNELS} />
        `}
        <${Months} unit=${data.unit} />
      </div>
      <div class="stack">
        <${Goal} data=${data} />
        <section class="card" aria-labelledby="channels-title">
          <h2 id="channels-title">${say.byChannel}</h2>
          <${Parted} name=${say.channel} rows=${parts(data.channels, "channel", CHANNELS)
            .map(([id, part]) => [say.ratingChannels[id], part])} />
        </section>
        ${explained !== null && html`
          <${Beside} explained=${explained} />
          <${Sources} explained=${explained} />
        `}
        <${Periods} view=${view} data=${data} />
        <${Below} view=${view} unit=${data.unit} />
      </div>
    </div>
  `;
}

function Back() {
  return html`
    <a class="back" href=${to("managers")}><${Icon} name="back" />${words().toManagers}</a>
  `;
}

/** `[[id, { k, n }]]` of a list, in the order of `ids`. */
function parts(list, column, ids) {
  return ids.flatMap((id) => {
    const part = list.find((other) => other[column] === id);
    return part === undefined ? [] : [[id, part]];
  });
}

/** The formula with its letters, and below it with its numbers. */
function Formula({ data }) {
  const say = words();
  if (data.n === 0) return html`<p class="about">${say.noRatings}</p>`;
  const forms = data.channels.find(({ channel }) => channel === "epgu");
  const [letters, positive, all] = forms === undefined ? byCriteria(data) : byForms(data, forms);
  return html`
    <figure class="formula">
      <figcaption>${forms === undefined ? say.formula12 : say.formula13}</figcaption>
      <div class="formula-line">
        <b>R</b><span class="term">= <${Fraction} of=${letters} /> × 100 %</span>
      </div>
      <div class="formula-line">
        <span class="term">= <${Fraction} of=${[positive, all]} /> × 100 %</span>
        <span class="term">
          = <${Fraction} of=${[integer(data.k), integer(data.n)]} /> × 100 %
        </span>
        <span class="term">= <b>${percent(data.percent)}</b></span>
      </div>
    </figure>
  `;
}

function Fraction({ of: [above, below] }) {
  return html`
    <span class="fraction">
      <span>${above}</span><span class="unseen"> / </span><span>${below}</span>
    </span>
  `;
}

/** p. 12: positive ratings by criterion and the integral ones, of all of both. */
function byCriteria({ criteria }) {
  const is = (wanted) => ({ criterion }) => wanted(criterion);
  const common = [1, 2, 3, 4, 5].map((id) => criteria.find(is((other) => other === id))?.k ?? 0);
  const integral = pool(criteria.filter(is((id) => id === "integral")));
  const all = pool(criteria.filter(is((id) => id !== "integral")));
  return [
    ["K₁ + K₂ + K₃ + K₄ + K₅ + K₆", "N₁ + N₂"],
    [...common, integral.k].map(integer).join(" + "),
    [all.n, integral.n].map(integer).join(" + "),
  ];
}

/** p. 13: what p. 12 counts, and the forms of the ЕПГУ. */
function byForms({ channels }, forms) {
  const rest = pool(channels.filter((part) => part !== forms));
  return [
    ["K + E₁ + … + E₈", "N + E₉"],
    [rest.k, forms.k].map(integer).join(" + "),
    [rest.n, forms.n].map(integer).join(" + "),
  ];
}

/** The value before, the target, and how far it is. */
function Goal({ data }) {
  const say = words();
  const { rule, percent: wanted, missing } = goal(data);
  const isReached = data.n > 0 && missing === 0;
  return html`
    <section class="card goal" aria-labelledby="goal-title">
      <h2 id="goal-title">${say.goal}</h2>
      <p class="lead" data-reached=${isReached}>
        <${Icon} name=${isReached ? "met" : "below_first"} />
        <span>
          ${missing === null ? say.outOfReach : isReached ? say.reached : say.missing(missing)}
        </span>
      </p>
      ${data.percent !== null && html`
        <${Bar} part=${data.percent} whole=${100} mark=${wanted} kind="counted" />
      `}
      <dl class="facts">
        <${Fact} id="goal" label=${say.goalPercent} value=${target(wanted)} />
        <${Fact} id="previous" label=${say.columns.previous}
          value=${percent(data.previous?.percent ?? null)} />
        <${Fact} id="set" label=${say.targetSet} value=${target(data.target)} />
        ${data.previous !== null && data.percent !== null && html`
          <${Fact} id="gain" label=${say.sincePrevious}
            value=${html`<${Delta} from=${data.previous.percent} to=${data.percent} />`} />
        `}
      </dl>
      <p class="about">${say.goalRules[rule]}</p>
      ${data.status === "in_progress" && html`<p class="about">${say.goalRunning}</p>`}
    </section>
  `;
}

function Months({ unit }) {
  const say = words();
  const view = useView("months", [["scope", "unit"], ["id", unit]]);
  const series = byMonth(view.rows.data()).slice(-MONTHS);
  return html`
    <section class="card" aria-labelledby="months-title">
      <h2 id="months-title">${say.unitMonths}</h2>
      <p class="about">${say.columns.monthsAbout}</p>
      ${series.length > 1 && html`<${MonthChart} months=${series} />`}
      ${series.length === 0 && html`<p class="empty">${view.isKnown ? say.noRatings : "…"}</p>`}
      <${Shares} name=${say.month} label=${say.unitMonths}
        rows=${[...series].reverse().map((row) => [row.month, longMonth(row.month), row])} />
    </section>
  `;
}

/** All periods of the unit's heads, newest first. */
function Periods({ view, data }) {
  const say = words();
  const periods = view.rows.data().filter(({ unit }) => unit === data.unit)
    .sort((a, b) => (a.from < b.from ? 1 : -1));
  return html`
    <section class="card" aria-labelledby="periods-title">
      <h2 id="periods-title">${say.periodsOfUnit}</h2>
      <div class="scroll short" tabindex="0" role="group" aria-label=${say.periodsOfUnit}>
        <table class="plain">
          <thead><tr>
            <th scope="col">${say.columns.manager}</th><th scope="col">${say.columns.period}</th>
            <th scope="col">R</th><th scope="col">N</th><th scope="col">${say.status}</th>
          </tr></thead>
          <tbody>
            ${periods.map((other) => html`
              <tr key=${`${other.tenure} ${other.period}`}
                aria-current=${other === data ? "true" : undefined}>
                <th scope="row">
                  <a href=${toFigure(other)}>${nameOf("manager", other.manager)}</a>
                </th>
                <td>${days(other.from, other.until).join(" – ")}</td>
                <td>${percent(other.percent)}</td><td>${integer(other.n)}</td>
                <td><${Status} status=${other.status} /></td>
              </tr>
            `)}
          </tbody>
        </table>
      </div>
    </section>
  `;
}

/** The units below: the head answers for their ratings as for his own (p. 15). */
function Below({ view, unit }) {
  const say = words();
  const below = (unitsBelow.value.get(unit) ?? []).slice(0, UNITS_MAX);
  const own = useView("units", [unit, ...below].map((id) => ["unit", id]));
  const rows = new Map(own.rows.data().map((row) => [row.unit, row]));
  const heads = new Map(view.rows.data().filter(({ status }) => status === "in_progress")
    .map((row) => [row.unit, row]));
  const pooled = (row) =>
    row && { k: row.pooled_k, n: row.pooled_n, percent: row.pooled_percent };
  const head = (id) => heads.has(id) && html`<${Head} data=${heads.get(id)} />`;
  const lines = [
    [unit, say.ownRatings, rows.get(unit) ?? UNRATED],
    ...below.map((id) => [id, nameOf("unit", id), pooled(rows.get(id)) ?? UNRATED, head(id)]),
  ];
  const more = (unitsBelow.value.get(unit)?.length ?? 0) - below.length;
  return html`
    <section class="card" aria-labelledby="below-title">
      <h2 id="below-title">${say.unitsBelow(below.length + more)}</h2>
      <p class="about">${say.unitsBelowAbout}</p>
      <${Shares} name=${say.unit} rows=${lines} lastName=${say.columns.manager} />
      ${more > 0 && html`<p class="about">${say.andMore(more)}</p>`}
    </section>
  `;
}

function Head({ data }) {
  return html`<a href=${toFigure(data)}>${nameOf("manager", data.manager)}</a>`;
}
