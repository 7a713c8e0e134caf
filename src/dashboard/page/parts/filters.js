// Which managers are looked at: period, agency, region, status, a text to look for.

import { signal } from "../vendor/signals-core.mjs";
import { compareNames } from "../format.js";
import { html } from "../html.js";
import { nameOf, namesTurn, regionName } from "../names.js";
import { models, periods, showPeriods } from "../node.js";
import { words } from "../words.js";

/** Stands for the heads of МФЦ, whose `agency` is null. */
export const NO_AGENCY = "mfc";
const NONE = { agency: "", region: "", status: "", search: "" };

/** The conditions; an empty text is none. */
export const filter = signal(NONE);

const set = (name) => (event) => (filter.value = { ...filter.value, [name]: event.target.value });

export function Filters({ sort, columns }) {
  const say = words();
  namesTurn.value;
  models.managers.shape.value;
  const { agency, region, status, search } = filter.value;
  const isAny = [agency, region, status, search].some((value) => value !== "");
  return html`
    <form class="filters" onSubmit=${(event) => event.preventDefault()}>
      <fieldset class="periods">
        <legend class="unseen">${say.periods.label}</legend>
        ${["running", "judged", "cut"].map((name) => html`
          <label key=${name}>
            <input type="radio" name="period" value=${name} checked=${periods.value === name}
              onChange=${() => choosePeriods(name)} />
            <span>${say.periods[name]}</span>
          </label>
        `)}
      </fieldset>
      <input id="search" type="search" value=${search} placeholder=${say.searchHint}
        aria-label=${`${say.search}: ${say.searchHint}`} onInput=${set("search")} />
      <${Select} name="agency" label=${say.agency} value=${agency} options=${agencies()} />
      <${Select} name="region" label=${say.region} value=${region} options=${regions()} />
      ${periods.value === "judged" && html`
        <${Select} name="status" label=${say.status} value=${status} options=${judged()} />
      `}
      <label class="narrow sorting">
        <span class="unseen">${say.sortBy}</span>
        <select value=${sort.value.column} onChange=${(event) => sortBy(sort, columns, event)}>
          ${columns.map((column) => html`
            <option key=${column.id} value=${column.id}>${say.sortBy}: ${column.label}</option>
          `)}
        </select>
      </label>
      ${isAny && html`
        <button type="button" class="plain" onClick=${() => (filter.value = NONE)}>
          ${say.reset}
        </button>
      `}
    </form>
  `;
}

function choosePeriods(name) {
  filter.value = { ...filter.value, status: "" };
  showPeriods(name);
}

function sortBy(sort, columns, event) {
  const { id, kind } = columns.find((column) => column.id === event.target.value);
  sort.value = { column: id, isDescending: kind !== "text" };
}

function Select({ name, label, value, options }) {
  const all = words().all;
  return html`
    <label>
      <span class="unseen">${label}</span>
      <select id=${`filter-${name}`} value=${value} data-is-set=${value !== ""}
        onChange=${set(name)}>
        <option value="">${label}: ${all}</option>
        ${options.map(([id, text]) => html`<option key=${id} value=${id}>${text}</option>`)}
      </select>
    </label>
  `;
}

/** `[[id, name]]` of what occurs in a column of the managers, by name. */
function occurring(column, nameOfId) {
  const ids = new Set();
  for (const row of models.managers.rows.values()) ids.add(row.data[column]);
  return [...ids].map(nameOfId).sort(([, a], [, b]) => compareNames(a, b));
}

const agencies = () =>
  occurring("agency", (id) => {
    return id === null ? [NO_AGENCY, words().mfc] : [id, nameOf("agency", id)];
  });

const regions = () => occurring("region", (id) => [id, regionName(id)]);

function judged() {
  const statuses = words().statuses;
  return ["met", "not_met", "below_first", "no_value"].map((status) => [status, statuses[status]]);
}
