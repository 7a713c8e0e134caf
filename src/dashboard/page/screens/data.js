// Data quality: where every rating is, what is refused and what waits, who sends; and the nodes:
// how far each is, its log, its worker, its subscribers.

import { answer } from "../client.js";
import { useView } from "../figures.js";
import { NONE, bytes, frequency, integer, lately } from "../format.js";
import { html } from "../html.js";
import { metrics, refusals, sources, vendors } from "../intake.js";
import { polled } from "../polled.js";
import { status } from "../status.js";
import { words } from "../words.js";
import { RateChart } from "../parts/chart.js";
import { Cluster } from "../parts/cluster.js";
import { duration } from "../parts/header.js";
import { Icon } from "../parts/icons.js";
import { ListCard } from "../parts/list-card.js";
import { Bar, Spark } from "../parts/spark.js";
import { Totals } from "../parts/totals.js";
import { Fact } from "../parts/value.js";
import { CountedSince } from "./overview.js";

const REFRESH_MS = 2000;
const SUBSCRIBERS_MAX = 10;

/** Who follows the node's views, the one furthest behind first. */
const useSubscribers =
  polled(() => answer(`/v1/subscribers?limit=${SUBSCRIBERS_MAX}`), REFRESH_MS);

export function Data() {
  const say = words();
  return html`
    <div class="screen-head"><h1>${say.screens.data}</h1></div>
    <div class="grid data">
      <${Totals} />
      <div class="stack"><${Refused} /><${Pending} /><${Vendors} /><${Subscribers} /></div>
      <div class="stack"><${Nodes} /><${Sources} /></div>
    </div>
  `;
}

/** What the rules refuse, by code and channel, and how it came over time. */
function Refused() {
  const say = words();
  const view = useView("refused");
  const rows = view.rows.data().sort((a, b) => b.count - a.count);
  const codes = [...new Set(rows.map(({ code }) => code))];
  const most = Math.max(1, ...rows.map(({ count }) => count));
  return html`
    <section class="card" aria-labelledby="refused-title">
      <h2 id="refused-title">${say.refusedBy}</h2>
      <p class="about">${say.refusedAbout}</p>
      ${rows.length === 0 && html`<p class="empty">${view.isKnown ? say.nothingRefused : "…"}</p>`}
      ${rows.length > 0 && html`
        <table class="plain">
          <thead><tr>
            <th scope="col">${say.code}</th>
            <td class="wide-cell"></td>
            <th scope="col">${say.count}</th>
            <th scope="col" class="aside" title=${say.overTimeAbout}>${say.overTime}</th>
          </tr></thead>
          <tbody>
            ${codes.flatMap((code) => rows.filter((row) => row.code === code).map((row, at) => html`
              <tr key=${`${code} ${row.channel}`}>
                <th scope="row">
                  ${say.codes[code] ?? code}
                  ${" "}<small>${say.channels[row.channel] ?? row.channel}</small>
                </th>
                <td class="wide-cell"><${Bar} part=${row.count} whole=${most} kind="refused" /></td>
                <td>${integer(row.count)}</td>
                <td class="aside">${at === 0 && html`<${OverTime} code=${code} />`}</td>
              </tr>
            `))}
          </tbody>
        </table>
      `}
    </section>
  `;
}

/** How many more there are since the page was opened, and when they came. */
function OverTime({ code }) {
  const line = refusals.value.get(code) ?? [];
  const more = line.reduce((sum, count) => sum + count, 0);
  return html`
    <span class="over-time"><${Spark} values=${line} least=${0} />+${integer(more)}</span>
  `;
}

function Pending() {
  const say = words();
  const view = useView("pending");
  const rows = view.rows.data().sort((a, b) => b.count - a.count);
  const most = Math.max(1, ...rows.map(({ count }) => count));
  return html`
    <section class="card" aria-labelledby="pending-title">
      <h2 id="pending-title">${say.whyPending}</h2>
      <p class="about">${say.pendingAbout}</p>
      ${rows.length === 0 && html`<p class="empty">${view.isKnown ? say.nothingPending : "…"}</p>`}
      ${rows.length > 0 && html`
        <table class="plain">
          <thead><tr>
            <th scope="col">${say.reason}</th>
            <td class="wide-cell"></td><th scope="col">${say.count}</th>
          </tr></thead>
          <tbody>
            ${rows.map(({ reason, count }) => html`
              <tr key=${reason}>
                <th scope="row">${say.reasons[reason] ?? reason}</th>
                <td class="wide-cell"><${Bar} part=${count} whole=${most} kind="pending" /></td>
                <td>${integer(count)}</td>
              </tr>
            `)}
          </tbody>
        </table>
      `}
    </section>
  `;
}

/** What comes in, by type of message. */
function Sources() {
  const say = words();
  const known = sources.value;
  const table = (list) => html`
    <p class="about">${say.sourcesAbout}</p>
    <${CountedSince} />
    ${list.length === 0 && html`<p class="empty">${known === null ? "…" : say.noSources}</p>`}
    <table class="plain">
      <thead><tr>
        <th scope="col">${say.message}</th>
        <th scope="col" title=${say.todayAbout}>${say.today}</th>
        <th scope="col">${say.perSecond}</th><th scope="col">${say.lastSeen}</th>
        <th scope="col" class="aside">${say.twoMinutes}</th>
      </tr></thead>
      <tbody>
        ${list.map(({ type, count, perSecond, lastAt, line }) => html`
          <tr key=${type}>
            <th scope="row">${say.types[type] ?? type}</th>
            <td>${integer(count)}</td>
            <td>${perSecond === null ? "…" : frequency(perSecond)}</td>
            <td>${lately(lastAt)}</td>
            <td class="aside"><${Spark} values=${line} least=${0} /></td>
          </tr>
        `)}
      </tbody>
    </table>
  `;
  return html`
    <${ListCard} name="sources" title=${say.sources} list=${known ?? []}
      keyOf=${({ type }) => type}>${table}<//>
  `;
}

/** Who sends what: how much today and in the last minute, and when the last came. */
function Vendors() {
  const say = words();
  const known = vendors.value;
  const table = (list) => html`
    <p class="about">${say.vendorsAbout}</p>
    ${list.length === 0 && html`<p class="empty">${known === null ? "…" : say.noVendors}</p>`}
    ${list.length > 0 && html`
      <div class="scroll short" tabindex="0" role="group" aria-label=${say.vendors}>
        <table class="plain">
          <thead><tr>
            <th scope="col">${say.vendor}</th>
            <th scope="col" title=${say.todayAbout}>${say.today}</th>
            <th scope="col">${say.perMinute}</th><th scope="col">${say.lastSeen}</th>
          </tr></thead>
          <tbody>
            ${list.map(({ type, vendor, others, count, perMinute, lastAt }) => html`
              <tr key=${`${type} ${vendor}`}>
                <th scope="row">
                  ${others ? say.otherVendors : vendor}
                  ${" "}<small>${say.types[type] ?? type}</small>
                </th>
                <td>${integer(count)}</td><td>${integer(perMinute)}</td>
                <td>${lately(lastAt)}</td>
              </tr>
            `)}
          </tbody>
        </table>
      </div>
    `}
  `;
  return html`
    <${ListCard} name="vendors" title=${say.vendors} list=${known ?? []}
      keyOf=${({ type, vendor }) => `${type} ${vendor}`}>${table}<//>
  `;
}

/** This node with how far it is, and the others of its cluster. */
function Nodes() {
  const say = words();
  const node = status.value;
  const known = metrics.value ?? new Map();
  const count = (name) => (known.has(name) ? integer(known.get(name)) : "…");
  const lag = (ms) => (ms === null ? NONE : duration(ms) ?? say.milliseconds(ms));
  return html`
    <section class="card nodes" aria-labelledby="nodes-title">
      <h2 id="nodes-title">${say.nodes}</h2>
      ${node === null ? html`<p class="empty">${say.standing.lost}</p>` : html`
        <h3>${location.host} <span class="stage" data-stage=${node.stage}>
          <${Icon} name=${node.stage === "ready" ? "met" : "in_progress"} />
          ${say.stages[node.stage]}
        </span></h3>
        <dl class="facts">
          <${Fact} id="epoch" label=${say.epoch} value=${String(node.epoch ?? NONE)} />
          <${Fact} id="lag" label=${say.lag} about=${say.lagAbout} value=${lag(node.age_ms)} />
          <${Fact} label=${say.owed} value=${count("epochs_owed")} about=${say.owedAbout} />
          <${Fact} label=${say.queue} value=${count("queue_batches")} about=${say.queueAbout} />
          <${Fact} label=${say.log} value=${say.logStages[node.log.stage]}
            kind=${node.log.stage === "full" ? "bad" : undefined} />
          <${Fact} label=${say.logEvents} value=${integer(node.log.events)} />
          <${Fact} label=${say.logSize} value=${bytes(node.log.bytes)} />
          <${Fact} label=${say.segments} value=${integer(node.log.segments)} />
          <${Fact} label=${say.worker} value=${say.workerStages[node.worker.stage]}
            kind=${node.worker.stage === "down" ? "bad" : undefined} />
          <${Fact} id="restarts" label=${say.restarts} value=${integer(node.worker.restarts)}
            kind=${node.worker.restarts > 0 ? "warn" : undefined} />
          <${Fact} label=${say.subscribers} value=${integer(node.subscribers)} />
        </dl>
        <p class="about rules" title=${say.rulesAbout}>
          ${say.rules}: ${say.rulesOf(node.rules.integral, node.rules.attribution)}
        </p>
        <p class="about"><a href="/docs">${say.api}</a></p>
        <${Cluster} />
        <h3>${say.chart}</h3>
        <${RateChart} />
      `}
    </section>
  `;
}

/** Who follows the node's views. */
function Subscribers() {
  const say = words();
  const known = useSubscribers();
  const table = (list) => html`
    <p class="about">${say.subscribersAbout(SUBSCRIBERS_MAX)}</p>
    <table class="plain">
      <thead><tr>
        <th scope="col">${say.view}</th><th scope="col">${say.lag}</th>
        <th scope="col">${say.frames}</th>
        <th scope="col" title=${say.mergedAbout}>${say.merged}</th>
      </tr></thead>
      <tbody>
        ${list.map((one) => html`
          <tr key=${one.subscriber}>
            <th scope="row">
              ${say.views[one.view] ?? one.view}
              ${" "}<small>${one.transport} ${one.conditions}</small>
            </th>
            <td>${duration(one.lag_ms) ?? say.milliseconds(one.lag_ms)}</td>
            <td>${integer(one.frames)}</td><td>${integer(one.merged)}</td>
          </tr>
        `)}
      </tbody>
    </table>
  `;
  return html`
    <${ListCard} name="subscribers" title=${say.subscribersBy} list=${known?.subscribers ?? []}
      keyOf=${({ subscriber }) => subscriber}>${table}<//>
  `;
}
