// What just changed: who, from which value to which, when.

import { difference, integer, percent, time } from "../format.js";
import { html } from "../html.js";
import { nameOf, namesTurn, regionName } from "../names.js";
import { changesCount, news } from "../news.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";

export function Changes() {
  const say = words();
  return html`
    <section class="card changes" aria-labelledby="changes-title">
      <h2 id="changes-title">${say.news}</h2>
      <p class="about" title=${say.newsFew}>${say.newsCount(integer(changesCount.value))}</p>
      ${news.value.length === 0 && html`<p class="empty">${say.newsEmpty}</p>`}
      <ol tabindex="0" aria-labelledby="changes-title">
        ${news.value.map((item) => html`<${Item} key=${item.id} item=${item} />`)}
      </ol>
    </section>
  `;
}

function Item({ item }) {
  namesTurn.value;
  const { from, to, at } = item;
  const direction = directionOf(from, to);
  const [name, about] = whose(item);
  return html`
    <li data-direction=${direction}>
      <span class="whose"><span>${name}</span><small>${about}</small></span>
      <span class="values">
        <span>${percent(from)} → <b>${percent(to)}</b></span>
        <small><${Delta} from=${from} to=${to} /> <time>${time(at)}</time></small>
      </span>
    </li>
  `;
}

/** Whose value it is: `[name, where]`. */
function whose({ table, data }) {
  const tabs = words().tabs;
  switch (table) {
    case "managers":
      return [nameOf("manager", data.manager), nameOf("unit", data.unit)];
    case "agencies":
      return [nameOf("agency", data.agency), tabs.agencies];
    default:
      return [regionName(data.region), tabs.territories];
  }
}

/** "up", "down", or none where a value came or went. */
export function directionOf(from, to) {
  if (from === null || to === null || from === to) return undefined;
  return to > from ? "up" : "down";
}

/** By how much a value changed: arrow, sign and word say the same as the colour. */
export function Delta({ from, to }) {
  const direction = directionOf(from, to);
  if (direction === undefined) return null;
  return html`
    <span class="delta" data-direction=${direction}>
      <${Icon} name=${direction} /><span class="unseen">${words()[direction]}</span>
      ${difference(from, to)}
    </span>
  `;
}
