// Which managers are looked at, and what of them: all of it stands in the address.

import { isNarrow } from "../choices.js";
import { compareNames } from "../format.js";
import { html } from "../html.js";
import { nameOf, namesTurn, regionName } from "../names.js";
import { parseSort } from "../order.js";
import { query, set } from "../route.js";
import { words } from "../words.js";

const PERIODS = ["running", "judged", "cut", "all"];
const JUDGED = ["met", "not_met", "below_first", "no_value"];
const EXTRA = ["criteria", "channels"];
const LEAST = ["10", "30", "100", "1000"];

/** `view` holds the rows to choose from, `columns` are those of its table. */
export function Filters({ view, columns, sort }) {
  const say = words();
  namesTurn.value;
  view.rows.shape.value;
  const { agency = "", region = "", status = "", q = "", body = "", least = "" } = query.value;
  const period = query.value.period ?? "running";
  const isAny = [agency, region, status, q, body, least].some((value) => value !== "");
  const isJudged = period === "judged" || period === "all";
  return html`
    <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
      <fieldset class="segments">
        <legend class="unseen">${say.periods.label}</legend>
        ${PERIODS.map((name) => html`
          <label key=${name}>
            <input type="radio" name="period" value=${name} checked=${period === name}
              onChange=${() => set({ period: name === "running" ? "" : name, status: "" })} />
            <span>${say.periods[name]}</span>
          </label>
        `)}
      </fieldset>
      <input id="search" type="search" value=${q} placeholder=${say.searchHint}
        aria-label=${`${say.search}: ${say.searchHint}`}
        onInput=${(event) => set({ q: event.target.value })} />
      <${Select} name="agency" label=${say.agency} value=${agency}
        options=${occurring(view, "agency", (id) => nameOf("agency", id))} />
      <${Select} name="region" label=${say.region} value=${region}
        options=${occurring(view, "region", regionName)} />
      <${Select} name="body" label=${say.body} value=${body}
        options=${[["agency", say.bodies.agency], ["mfc", say.mfc]]} />
      ${isJudged && html`
        <${Select} name="status" label=${say.status} value=${status}
          options=${(period === "all" ? [...JUDGED, "in_progress", "cut_short"] : JUDGED)
            .map((id) => [id, say.statuses[id]])} />
      `}
      <${Select} name="least" label=${say.least} value=${least}
        options=${LEAST.map((number) => [number, say.leastOf(number)])} />
      ${isNarrow.value && html`<${Sorting} columns=${columns} sort=${sort} />`}
      ${!isNarrow.value && html`<${Extra} />`}
      ${isAny && html`
        <button type="button" class="link" onClick=${() => set(NONE)}>${say.reset}</button>
      `}
    </form>
  `;
}

const NONE = { agency: "", region: "", status: "", q: "", body: "", least: "" };

/** Where there is no room for headings, they can be sorted by from here. */
function Sorting({ columns, sort }) {
  const say = words();
  const change = ({ target }) => {
    const { id, kind } = columns.find((column) => column.id === target.value);
    set({ sort: kind === "text" ? id : `-${id}` });
  };
  return html`
    <label>
      <span class="unseen">${say.sortBy}</span>
      <select value=${parseSort(sort).id} onChange=${change}>
        ${columns.map((column) => html`
          <option key=${column.id} value=${column.id}>${say.sortBy}: ${column.label}</option>
        `)}
      </select>
    </label>
  `;
}

/** Columns that are there on demand. */
function Extra() {
  const say = words();
  const shown = (query.value.show ?? "").split(",").filter(Boolean);
  const toggle = (name) => () => {
    const next = EXTRA.filter((other) => shown.includes(other) !== (other === name));
    set({ show: next.join(",") });
  };
  return html`
    <fieldset class="extra">
      <legend class="unseen">${say.moreColumns}</legend>
      ${EXTRA.map((name) => html`
        <label key=${name}>
          <input type="checkbox" checked=${shown.includes(name)} onChange=${toggle(name)} />
          ${say.extra[name]}
        </label>
      `)}
    </fieldset>
  `;
}

function Select({ name, label, value, options }) {
  const all = words().all;
  return html`
    <label>
      <span class="unseen">${label}</span>
      <select id=${`filter-${name}`} value=${value} data-is-set=${value !== ""}
        onChange=${({ target }) => set({ [name]: target.value })}>
        <option value="">${label}: ${all}</option>
        ${options.map(([id, text]) => html`<option key=${id} value=${id}>${text}</option>`)}
      </select>
    </label>
  `;
}

/** `[[id, name]]` of what occurs in a column, by name. */
function occurring(view, column, nameOfId) {
  const ids = new Set();
  for (const { data } of view.rows.rows.values()) if (data[column] !== null) ids.add(data[column]);
  return [...ids].map((id) => [id, nameOfId(id)]).sort(([, a], [, b]) => compareNames(a, b));
}
