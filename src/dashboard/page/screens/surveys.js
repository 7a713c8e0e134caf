// Surveys and deadlines: each day's list of the phone centre with its shortfall (p. 7.8), and what
// is due or overdue: SMS offers, calls, answers to reviews (p. 7.4, 7.9, 9.5).

import { computed } from "../vendor/signals-core.mjs";
import { rows } from "../client.js";
import { useView } from "../figures.js";
import { integer, moment } from "../format.js";
import { html } from "../html.js";
import { entry, nameOf, namesTurn, regionName } from "../names.js";
import { polled } from "../polled.js";
import { query, set } from "../route.js";
import { nodeNow } from "../status.js";
import { words } from "../words.js";
import { numberColumn } from "../parts/columns.js";
import { DataTable } from "../parts/data-table.js";
import { Icon } from "../parts/icons.js";
import { Fact } from "../parts/value.js";

const DAY_MS = 86_400_000;
/** How far back a day with lists is looked for: longer than any holidays. */
const DAYS_BACK = 14;
const REFRESH_MS = 10_000;
const LAST_DAY_MS = 60_000;
/** Deadlines read of a kind and state: more than anybody works through, few enough to send. */
const DEADLINES_MAX = 2000;
const SHOWN_MAX = 50;
const KINDS = ["sms", "call", "review"];
const STATES = ["overdue", "open"];

export function Surveys() {
  const say = words();
  return html`
    <div class="screen-head"><h1>${say.screens.surveys}</h1></div>
    <div class="grid surveys"><${Deadlines} /><${Lists} /></div>
  `;
}

/** The last day that has lists; "" where there is none. */
const useLastDay = polled(findLastDay, LAST_DAY_MS);

async function findLastDay() {
  const date = (ms) => new Date(ms).toISOString().slice(0, 10);
  for (let back = 0; back <= DAYS_BACK; back += 1) {
    const day = date(nodeNow() - back * DAY_MS);
    const answer = await rows("survey_lists", [["day", day], ["limit", 1]]);
    if (answer.rows.length > 0) return day;
  }
  return "";
}

function Lists() {
  const say = words();
  const lastDay = useLastDay();
  const day = query.value.day ?? lastDay ?? "";
  return html`
    <div class="card fill">
      <div class="card-head">
        <h2>${say.surveyLists}</h2>
        <label class="field">${say.day}
          <input type="date" value=${day} onChange=${({ target }) => set({ day: target.value })} />
        </label>
      </div>
      <p class="about">${say.surveyAbout}</p>
      ${day === "" ? html`
        <p class="empty">${lastDay === null ? "…" : say.noLists(DAYS_BACK)}</p>
      ` : html`<${Day} key=${day} day=${day} />`}
    </div>
  `;
}

const columns = computed(() => {
  const say = words();
  return [
    {
      id: "unit",
      label: say.unit,
      kind: "text",
      width: "minmax(12rem, 1fr)",
      of: (data) => nameOf("unit", data.unit),
      cell: (data) => html`
        <span class="name" title=${nameOf("unit", data.unit)}>${nameOf("unit", data.unit)}</span>
        <small>${regionName(entry("unit", data.unit)?.region ?? "")}</small>
      `,
    },
    numberColumn("replies", say.replies, say.repliesAbout),
    { ...numberColumn("wanted", say.wanted, say.wantedAbout), isWide: true },
    numberColumn("drawn", say.drawn, say.drawnAbout),
    {
      id: "shortfall",
      label: say.shortfall,
      about: say.shortfallAbout,
      kind: "figure",
      width: "9rem",
      of: (data) => data.wanted - data.drawn,
      cell: (data) => html`<${Shortfall} count=${data.wanted - data.drawn} />`,
    },
  ];
});

function Shortfall({ count }) {
  if (count <= 0) return html`<span class="ok"><${Icon} name="met" />${words().full}</span>`;
  return html`<span class="short-of"><${Icon} name="below_first" />−${integer(count)}</span>`;
}

function Day({ day }) {
  const say = words();
  namesTurn.value;
  const view = useView("survey_lists", [["day", day]]);
  const { agency = "", region = "", sort = "-shortfall" } = query.value;
  const isWanted = matching(agency, region, namesTurn.value);
  const rows = view.rows.data();
  const sum = (column) => rows.reduce((sum, row) => sum + row[column], 0);
  return html`
    <dl class="facts">
      <${Fact} label=${say.replies} value=${integer(sum("replies"))} />
      <${Fact} label=${say.wanted} value=${integer(sum("wanted"))} />
      <${Fact} label=${say.drawn} value=${integer(sum("drawn"))} />
      <${Fact} label=${say.shortfall} value=${integer(sum("wanted") - sum("drawn"))} />
    </dl>
    <${DataTable} name="lists" view=${view} caption=${say.surveyLists} columns=${columns.value}
      sort=${sort} onSort=${(sort) => set({ sort })} matches=${isWanted}
      empty=${(isNone) => (isNone ? say.noListsThatDay : say.emptyFilter)} />
  `;
}

/** The same function for the same conditions, so that a table is not put in order for nothing. */
const matching = (() => {
  let known = null;
  return (agency, region, turn) => {
    const name = `${agency} ${region} ${turn}`;
    if (known?.name !== name) {
      const matches = ({ data }) => {
        const unit = entry("unit", data.unit);
        return [unit?.agency, ""].includes(agency) && [unit?.region, ""].includes(region);
      };
      known = { name, matches };
    }
    return known.matches;
  };
})();

/** `{ [kind]: { [state]: { rows, isMore } } }`. */
const useDeadlines = polled(readDeadlines, REFRESH_MS);

async function readDeadlines() {
  const read = async (kind, state) => {
    const conditions = [["kind", kind], ["state", state], ["limit", DEADLINES_MAX]];
    const answer = await rows("deadlines", conditions);
    const sorted = answer.rows.sort((a, b) => Date.parse(a.due_at) - Date.parse(b.due_at));
    return { rows: sorted, isMore: answer.next !== null };
  };
  const known = {};
  for (const kind of KINDS) {
    known[kind] = {};
    for (const state of STATES) known[kind][state] = await read(kind, state);
  }
  return known;
}

function Deadlines() {
  const say = words();
  const known = useDeadlines();
  return html`
    <section class="card deadlines" aria-labelledby="deadlines-title">
      <h2 id="deadlines-title">${say.deadlines}</h2>
      <div class="trio">
        ${KINDS.map((kind) => html`
          <div key=${kind} class="deadline" data-kind=${kind}>
            <h3>${say.deadlineKinds[kind]}</h3>
            <dl class="facts">
              ${STATES.map((state) => html`
                <${Fact} key=${state} id=${`${kind}-${state}`} label=${say.deadlineStates[state]}
                  kind=${isLate(state, known?.[kind]) ? "bad" : undefined}
                  value=${counted(known?.[kind][state])} />
              `)}
            </dl>
            <${Due} lists=${known?.[kind]} />
          </div>
        `)}
      </div>
    </section>
  `;
}

const isLate = (state, lists) => state === "overdue" && lists?.overdue.rows.length > 0;

function counted(list) {
  if (list === undefined) return "…";
  const count = integer(list.rows.length);
  return list.isMore ? words().atLeast(count) : count;
}

/** What is due first: open ones before those that are overdue already. */
function Due({ lists }) {
  const say = words();
  namesTurn.value;
  if (lists === undefined) return null;
  const due = [...lists.open.rows, ...lists.overdue.rows].slice(0, SHOWN_MAX);
  if (due.length === 0) return html`<p class="empty">${say.nothingDue}</p>`;
  return html`
    <div class="scroll short" tabindex="0" role="group" aria-label=${say.due}>
      <table class="plain">
        <thead><tr>
          <th scope="col">${say.record}</th><th scope="col">${say.dueAt}</th>
        </tr></thead>
        <tbody>
          ${due.map(({ record, due_at, state, unit }) => html`
            <tr key=${record} data-state=${state}>
              <th scope="row">
                ${record}<br /><small>${unit === null ? "–" : nameOf("unit", unit)}</small>
              </th>
              <td>${moment(due_at)}</td>
            </tr>
          `)}
        </tbody>
      </table>
    </div>
  `;
}
