// Overview: how things stand now, on one screen, for the morning and for the wall.

import { isNarrow } from "../choices.js";
import { second, totals, useView } from "../figures.js";
import {
  NONE, frequency, integer, mean, minutes, month, percent, share, signed, target, time,
} from "../format.js";
import { html } from "../html.js";
import { countedSince, sources } from "../intake.js";
import { RATINGS_MIN, changesCount, movers, news } from "../movers.js";
import { nameOf, namesTurn, regionName } from "../names.js";
import { query, to, toFigure } from "../route.js";
import { byMonth, countBy, pool, ranks } from "../sums.js";
import { words } from "../words.js";
import { MonthChart, RateChart } from "../parts/chart.js";
import { Delta, Status, directionOf } from "../parts/columns.js";
import { Skeleton } from "../parts/data-table.js";
import { Icon } from "../parts/icons.js";
import { ListCard } from "../parts/list-card.js";
import { Scores } from "../parts/scores.js";
import { Bar, Dot, Parts, Scale } from "../parts/spark.js";
import { Value } from "../parts/value.js";

const MONTHS = 13;
const RANKED_MAX = 20;
const MOVED_MAX = 5;
const STATUSES = ["met", "not_met", "below_first", "no_value", "in_progress", "cut_short"];

export function Overview() {
  const say = words();
  return html`
    <h1 class="unseen">${say.screens.overview}</h1>
    <div class="grid overview">
      <${Satisfaction} />
      <${Managers} />
      <${Intake} />
      <${Ranking} />
      <${Distribution} />
      <${Movers} />
      ${!isNarrow.value && html`<${News} />`}
    </div>
  `;
}

/** The value under the conditions of the address: of agencies, or of a territory (p. 16). */
function Satisfaction() {
  const say = words();
  const { agency = "", region = "" } = query.value;
  const conditions = region === "" ? [] : [["region", region], ["agency", agency]];
  const view = useView(region === "" ? "agencies" : "territories", conditions);
  const months = useView("months", monthsOf(agency, region));
  const rows = view.rows.data().filter((row) => region !== "" || [row.agency, ""].includes(agency));
  const series = byMonth(months.rows.data()).slice(-MONTHS);
  const label = region === "" ? say.satisfactionAbout : say.territoryAbout;
  return html`
    <section class="card satisfaction" aria-labelledby="satisfaction-title">
      <h2 id="satisfaction-title">${say.satisfaction}</h2>
      <${Value} id="satisfaction" value=${view.isKnown ? pool(rows) : null} label=${label} />
      ${totals.value?.accepted === 0 && html`
        <p class="about first-steps">${say.firstSteps} <a href="/docs">${say.api}</a>.</p>
      `}
      ${series.length > 1 && (region === "" || agency === "") && html`
        <div class="months"><h3>${say.byMonth}</h3><${MonthChart} months=${series} /></div>
      `}
    </section>
  `;
}

function monthsOf(agency, region) {
  if (region !== "") return [["scope", "region"], ["id", region]];
  return agency === "" ? [["scope", "agency"]] : [["scope", "agency"], ["id", agency]];
}

/** Whether a row of `manager_periods` meets the conditions of the address. */
export function isUnder({ agency = "", region = "" }) {
  return (row) => [row.agency, ""].includes(agency) && [row.region, ""].includes(region);
}

/** How many periods of managers there are of each status. */
function Managers() {
  const say = words();
  const view = useView("manager_periods");
  const counts = countBy(view.rows.data().filter(isUnder(query.value)), "status");
  const count = (status) => counts.get(status) ?? 0;
  const judged = ["met", "not_met", "below_first"];
  const whole = judged.reduce((sum, status) => sum + count(status), 0);
  return html`
    <section class="card statuses" aria-labelledby="statuses-title">
      <h2 id="statuses-title">${say.byStatus}</h2>
      ${!view.isKnown ? html`<${Skeleton} />` : html`
        <p class="lead">
          <b>${share(count("met"), whole)}</b> ${say.metOf(integer(count("met")), integer(whole))}
        </p>
        <${Parts} parts=${judged.map((status) => [status, count(status)])} />
        <ul class="counts">
          ${STATUSES.map((status) => html`
            <li key=${status} data-status=${status}>
              <a href=${to("managers", { period: "all", status })}>
                <${Status} status=${status} /> <b>${integer(count(status))}</b>
              </a>
            </li>
          `)}
        </ul>
      `}
    </section>
  `;
}

/** What comes in: per second, and today by channel. */
function Intake() {
  const say = words();
  const channels = ["sms", "survey", "kiosk", "epgu", "site"];
  const known = channels.map((type) => sources.value?.find((source) => source.type === type));
  const most = Math.max(1, ...known.map((source) => source?.count ?? 0));
  return html`
    <section class="card intake" aria-labelledby="intake-title">
      <h2 id="intake-title">${say.chart}</h2>
      <${RateChart} />
      <table class="plain">
        <caption class="unseen">${say.byChannel}</caption>
        <thead><tr>
          <th scope="col">${say.channel}</th>
          <td class="wide-cell"></td>
          <th scope="col" title=${say.todayAbout}>${say.today}</th>
          <th scope="col">${say.perSecond}</th>
        </tr></thead>
        <tbody>
          ${channels.map((type, at) => html`
            <tr key=${type}>
              <th scope="row">${say.channels[type]}</th>
              <td class="wide-cell">
                <${Bar} part=${known[at]?.count ?? 0} whole=${most} kind="counted" />
              </td>
              <td>${sources.value === null ? "…" : integer(known[at]?.count ?? 0)}</td>
              <td>${sources.value === null ? "…" : perSecond(known[at])}</td>
            </tr>
          `)}
        </tbody>
      </table>
      <${CountedSince} />
      <p class="about">
        ${say.acceptedAll} <b>${totals.value === null ? "…" : integer(totals.value.accepted)}</b>
      </p>
    </section>
  `;
}

/** That the node was started after midnight, and what came before is not in its counts. */
export function CountedSince() {
  const since = countedSince.value;
  if (since === null || since === new Date(since).setHours(0, 0, 0, 0)) return null;
  return html`<p class="about" id="counted-since">${words().countedSince(minutes(since))}</p>`;
}

/** What a source sends; a type of message that never came has no count. */
function perSecond(source) {
  if (source === undefined) return integer(0);
  return source.perSecond === null ? "…" : frequency(source.perSecond);
}

/** Agencies by Rf, and where they stood by the last quarter formed; those of a region by value. */
function Ranking() {
  const { agency = "", region = "" } = query.value;
  if (region !== "") return html`<${InRegion} region=${region} />`;
  return html`<${ByMean} agency=${agency} />`;
}

const agencyOf = ({ agency }) => agency;

function ByMean({ agency }) {
  const say = words();
  namesTurn.value;
  const view = useView("agencies");
  const quarters = useView("agency_quarters");
  const all = view.rows.data();
  const byQuarter = quarters.rows.data();
  const last = byQuarter.reduce((last, { quarter }) => (quarter > last ? quarter : last), "");
  const formed = byQuarter.filter((row) => row.quarter === last);
  const places = ranks(all, agencyOf, (row) => row.mean);
  const before = ranks(formed, agencyOf, (row) => row.mean);
  const rows = all.filter((row) => [row.agency, ""].includes(agency))
    .sort((a, b) => (places.get(a.agency) ?? Infinity) - (places.get(b.agency) ?? Infinity));
  const least = Math.max(0, Math.floor(Math.min(99, ...all.map((row) => row.mean ?? 100))) - 1);
  const table = (rows) => html`
    <div class="scroll" tabindex="0" role="group" aria-label=${say.ranking}>
      <table class="plain">
        <thead><tr>
          <th scope="col" class="place">${say.place}</th>
          <th scope="col">${say.agency}</th>
          <td class="wide-cell"><${Scale} least=${integer(least)} most=${target(100)} /></td>
          <th scope="col" title=${say.columns.meanAbout}>${say.columns.mean}</th>
          <th scope="col" title=${say.movedAbout}>${say.moved}</th>
        </tr></thead>
        <tbody>
          ${rows.map((row) => html`
            <tr key=${row.agency}>
              <td class="place">${places.get(row.agency) ?? NONE}</td>
              <th scope="row">
                <a href=${to("agencies", { agency: row.agency })}
                  title=${nameOf("agency", row.agency)}>
                  ${nameOf("agency", row.agency)}
                </a>
              </th>
              <td class="wide-cell"><${Dot} value=${row.mean} least=${least} most=${100} /></td>
              <td>${mean(row.mean)}</td>
              <td><${Moved} from=${before.get(row.agency)} to=${places.get(row.agency)} /></td>
            </tr>
          `)}
        </tbody>
      </table>
    </div>
  `;
  return html`
    <${ListCard} name="ranking" title=${say.ranking} list=${rows.slice(0, RANKED_MAX)}
      keyOf=${agencyOf}>${view.isKnown ? table : Skeleton}<//>
  `;
}

/** By how many places up or down; higher places have smaller numbers. */
export function Moved({ from, to }) {
  if (from === undefined || to === undefined || from === to) {
    return html`<span class="faint">${NONE}</span>`;
  }
  const direction = to < from ? "up" : "down";
  return html`
    <span class="delta" data-direction=${direction}>
      <${Icon} name=${direction} /><span class="unseen">${words()[direction]}</span>
      ${Math.abs(from - to)}
    </span>
  `;
}

/** Agencies within a region, by value: Rf is of an agency as a whole. */
function InRegion({ region }) {
  const say = words();
  namesTurn.value;
  const view = useView("territories", [["region", region]]);
  const rows = view.rows.data().filter(({ agency }) => agency !== "")
    .sort((a, b) => (b.percent ?? -1) - (a.percent ?? -1));
  const table = (rows) => html`
    <div class="scroll" tabindex="0" role="group" aria-label=${say.rankingInRegion}>
      <table class="plain">
        <thead><tr>
          <th scope="col">${say.agency}</th>
          <th scope="col" title=${say.columns.valueAbout}>R</th>
          <th scope="col" title=${say.columns.nAbout}>N</th>
        </tr></thead>
        <tbody>
          ${rows.map((row) => html`
            <tr key=${row.agency}>
              <th scope="row">
                <a href=${to("managers", { agency: row.agency })}
                  title=${nameOf("agency", row.agency)}>
                  ${nameOf("agency", row.agency)}
                </a>
              </th>
              <td>${percent(row.percent)}</td><td>${integer(row.n)}</td>
            </tr>
          `)}
        </tbody>
      </table>
    </div>
  `;
  return html`
    <${ListCard} name="ranking" title=${say.rankingInRegion} list=${rows}
      keyOf=${agencyOf}>${view.isKnown ? table : Skeleton}<//>
  `;
}

/** How many ratings there are of each score; those that count for territories (p. 16). */
function Distribution() {
  const say = words();
  const { agency = "", region = "" } = query.value;
  const conditions = [["agency", agency], ...(region === "" ? [] : [["region", region]])];
  const view = useView("territories", conditions);
  const scores = [0, 1, 2, 3, 4].map((at) => {
    return view.rows.data().reduce((sum, row) => sum + row.scores[at], 0);
  });
  return html`
    <section class="card scores" aria-labelledby="scores-title">
      <h2 id="scores-title">${say.scores}</h2>
      ${view.isKnown ? html`<${Scores} scores=${scores} />` : html`<${Skeleton} />`}
    </section>
  `;
}

/** Which managers rose and fell most in the last hour. */
function Movers() {
  const say = words();
  second.value;
  namesTurn.value;
  const { rose, fell } = movers(MOVED_MAX, isUnder(query.value));
  const list = (moved) => html`
    <p class="about">${say.moversAbout(RATINGS_MIN)}</p>
    ${moved.length === 0 && html`<p class="empty">${say.moversEmpty}</p>`}
    <ul class="moved">
      ${moved.map(({ row, by }) => html`
        <li key=${row.key}>
          <${Person} data=${row.data} />
          <span class="moved-values">
            <b>${percent(row.data.percent)}</b>
            <span class="delta" data-direction=${by > 0 ? "up" : "down"}>
              <${Icon} name=${by > 0 ? "up" : "down"} />
              <span class="unseen">${by > 0 ? say.up : say.down}</span>${signed(by)}
            </span>
          </span>
        </li>
      `)}
    </ul>
  `;
  return html`
    <${ListCard} name="movers" title=${say.movers} list=${[...rose, ...fell]}
      keyOf=${({ row }) => row.key}>${list}<//>
  `;
}

/** A manager and the unit, with the way to the figure; `more` stands before the unit. */
function Person({ data, more }) {
  const [manager, unit] = [nameOf("manager", data.manager), nameOf("unit", data.unit)];
  return html`
    <a href=${toFigure(data)} title=${`${manager}, ${unit}`}>
      <span>${manager}</span><small>${more}${unit}</small>
    </a>
  `;
}

/** What just changed: who, from which value to which, when. */
function News() {
  const say = words();
  namesTurn.value;
  const list = (items) => html`
    <p class="about" title=${say.newsFew}>${say.newsCount(integer(changesCount.value))}</p>
    ${items.length === 0 && html`<p class="empty">${say.newsEmpty}</p>`}
    <ol class="moved" tabindex="0" aria-labelledby="news-title">
      ${items.map((item) => html`
        <li key=${item.id} data-direction=${directionOf(item.from, item.to)}>
          <${Whose} item=${item} />
          <span class="moved-values">
            <b>${percent(item.to)}</b><${Delta} from=${item.from} to=${item.to} />
          </span>
        </li>
      `)}
    </ol>
  `;
  return html`
    <${ListCard} name="news" title=${say.news} list=${news.value}
      keyOf=${({ id }) => id}>${list}<//>
  `;
}

/** Whose value changed, and when; of a month which, of an agency in a territory whose. */
function Whose({ item: { data, at } }) {
  const when = html`<time>${time(at)}</time>`;
  if (data.manager) return html`<${Person} data=${data} more=${html`${when} · `} />`;
  const name = whose(data);
  const part = partOf(data);
  return html`
    <span title=${[name, part].filter(Boolean).join(", ")}>
      <span>${name}</span><small>${when}${part && ` · ${part}`}</small>
    </span>
  `;
}

function partOf(data) {
  if (data.month) return month(data.month);
  return data.region && data.agency ? nameOf("agency", data.agency) : null;
}

function whose(data) {
  if (data.scope === "region") return regionName(data.id);
  if (data.scope) return nameOf(data.scope, data.id);
  return data.region ? regionName(data.region) : nameOf("agency", data.agency);
}
