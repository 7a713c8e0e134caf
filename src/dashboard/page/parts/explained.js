// The parts of a figure that its row does not have: each criterion by channel, what surveys
// replaced, the units and months it is from, and what is beside it. All from one explanation.

import { integer, month as longMonth, percent } from "../format.js";
import { html } from "../html.js";
import { nameOf } from "../names.js";
import { to } from "../route.js";
import { words } from "../words.js";
import { Shares } from "./shares.js";
import { Fact } from "./value.js";

/** Units that are shown. */
const UNITS_MAX = 200;

/** Each criterion by channel; `criteria` and `channels` are the ids in the order of the rules. */
export function Crossed({ explained, criteria, channels }) {
  const say = words();
  const of = (list, column) => list.filter((id) =>
    explained.crossed.some((part) => part[column] === id));
  const columns = of(channels, "channel");
  return html`
    <section class="card" aria-labelledby="crossed-title" data-part="crossed">
      <h2 id="crossed-title">${say.crossed}</h2>
      ${columns.length === 0 ? html`<p class="empty">${say.noRatings}</p>` : html`
        <div class="scroll" tabindex="0" role="group" aria-label=${say.crossed}>
          <table class="plain">
            <thead><tr>
              <th scope="col">${say.criterion}</th>
              ${columns.map((channel) => html`
                <th scope="col" key=${channel}>${say.ratingChannels[channel]}</th>
              `)}
            </tr></thead>
            <tbody>
              ${of(criteria, "criterion").map((criterion) => html`
                <tr key=${criterion}>
                  <th scope="row">${say.criteria[criterion]}</th>
                  ${columns.map((channel) => html`
                    <td key=${channel}>
                      <${Share} part=${explained.crossed.find((part) =>
                        part.criterion === criterion && part.channel === channel)} />
                    </td>
                  `)}
                </tr>
              `)}
            </tbody>
          </table>
        </div>
      `}
      <${Replaced} of=${explained.replaced} value=${explained} />
    </section>
  `;
}

function Share({ part }) {
  if (part === undefined) return "–";
  return html`${percent(part.percent)} <small>${words().kOfN(part.k, part.n)}</small>`;
}

/** 7.10: what phone surveys did to the figure. */
function Replaced({ of, value }) {
  const say = words();
  return html`
    <h3>${say.replaced}</h3>
    <p class="about" data-part="replaced">
      ${of.values === 0 ? say.nothingReplaced : html`
        ${say.replacedValues(of.values, of.positive_before, of.positive_after)}
        ${" "}${say.withoutReplaced} <b>${percent(of.without.percent)}</b>,
        ${" "}${say.withReplaced} <b>${percent(value.percent)}</b>.
      `}
    </p>
  `;
}

/** The units and months the figure is from. */
export function Sources({ explained }) {
  const say = words();
  const units = explained.units.slice(0, UNITS_MAX);
  const more = explained.units.length - units.length;
  return html`
    <section class="card" aria-labelledby="sources-title" data-part="sources">
      <h2 id="sources-title">${say.figureFrom}</h2>
      <p class="about">${say.figureFromAbout}</p>
      <${Shares} name=${say.unit}
        rows=${units.map((part) => [part.unit, nameOf("unit", part.unit), part])} />
      ${more > 0 && html`<p class="about">${say.andMore(more)}</p>`}
      <${Shares} name=${say.month} rows=${[...explained.months].reverse()
        .map((part) => [part.month, longMonth(part.month), part])} />
    </section>
  `;
}

/** What waits and what was refused beside the figure, with its reason; and for whom no one answers. */
export function Beside({ explained }) {
  const say = words();
  const { beside, vacancies, others } = explained;
  const reason = ({ state, reason }) =>
    (state === "pending" ? `${say.pending}: ${say.reasons[reason]}` : say.codes[reason]);
  const held = others.reduce((sum, { n }) => sum + n, 0);
  return html`
    <section class="card" aria-labelledby="beside-title">
      <h2 id="beside-title">${say.beside}</h2>
      ${beside.length === 0 ? html`<p class="about">${say.nothingBeside}</p>` : html`
        <table class="plain" data-part="beside">
          <thead><tr>
            <th scope="col">${say.code}</th><th scope="col">${say.channel}</th>
            <th scope="col">${say.ratingsBeside}</th><th scope="col">${say.count}</th>
          </tr></thead>
          <tbody>
            ${beside.map((part) => html`
              <tr key=${`${part.reason} ${part.channel}`}>
                <th scope="row">${reason(part)}</th><td>${say.channels[part.channel]}</td>
                <td>${part.ratings === undefined ? "–" : integer(part.ratings)}</td>
                <td>${part.messages === undefined ? "–" : integer(part.messages)}</td>
              </tr>
            `)}
          </tbody>
        </table>
      `}
      <dl class="facts long">
        <${Fact} label=${say.vacantRatings} value=${integer(vacancies.n)} />
        <${Fact} label=${say.othersRatings} value=${integer(held)} />
      </dl>
      <p class="about">${say.besideAbout} <a href=${to("data")}>${say.toData}</a></p>
    </section>
  `;
}
