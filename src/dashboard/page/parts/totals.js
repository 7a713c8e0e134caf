// Where every accepted rating is: six parts that add up to what was accepted.

import { signal } from "../vendor/signals-core.mjs";
import { integer } from "../format.js";
import { html } from "../html.js";
import { totals } from "../node.js";
import { words } from "../words.js";

const PARTS = ["counted", "apart", "pending", "refused", "duplicate", "retracted"];
const REFRESH_MS = 5000;

export function Totals() {
  const say = words();
  const row = totals.value;
  const sum = row && PARTS.reduce((sum, part) => sum + row[part], 0);
  const isBalanced = row !== null && sum === row.accepted;
  return html`
    <section class="card totals" aria-label=${say.totals}>
      <dl>
        <div class="whole">
          <dt>${say.accepted}</dt>
          <dd data-total="accepted">${count(row?.accepted)}</dd>
        </div>
        ${PARTS.map((part, n) => html`
          <div key=${part} class="part" data-sign=${signOf(n)}>
            <dt title=${say[`${part}About`]}>
              <i class="swatch" data-part=${part}></i>${say[part]}
            </dt>
            <dd data-total=${part} data-sign=${signOf(n)}>${count(row?.[part])}</dd>
          </div>
        `)}
      </dl>
      <div class="balance">
        <${Bar} row=${row} />
        ${row && html`
          <p data-balanced=${isBalanced}>${isBalanced ? say.balanced : say.unbalanced}</p>
        `}
        <${Reasons} />
      </div>
    </section>
  `;
}

const signOf = (n) => (n === 0 ? "=" : "+");
const count = (number) => (number === undefined ? "…" : integer(number));

/** The same as lengths: of a drawing, because the page's policy allows no inline style. */
function Bar({ row }) {
  if (!row?.accepted) return html`<svg class="bar" aria-hidden="true"></svg>`;
  let from = 0;
  return html`
    <svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
      ${PARTS.map((part) => {
        const width = (row[part] / row.accepted) * 100;
        from += width;
        return html`
          <rect key=${part} data-part=${part} x=${from - width} width=${width} height="1" />
        `;
      })}
    </svg>
  `;
}

const reasons = signal(null);
let refreshing = null;

async function readReasons() {
  const read = async (view) => {
    const response = await fetch(`/v1/views/${view}?limit=100`);
    if (!response.ok) throw new Error(`${view}: status ${response.status}`);
    return (await response.json()).rows;
  };
  try {
    const [pending, refused] = await Promise.all([read("pending"), read("refused")]);
    reasons.value = { pending, refused };
  } catch {
    // what was read last stays; the header says that the node does not answer
  }
}

function toggled(event) {
  clearInterval(refreshing);
  if (!event.target.open) return;
  readReasons();
  refreshing = setInterval(readReasons, REFRESH_MS);
}

/** What pending and refused consist of; read while it is open. */
function Reasons() {
  const say = words();
  const { pending = [], refused = [] } = reasons.value ?? {};
  return html`
    <details class="reasons" onToggle=${toggled}>
      <summary>${say.why}</summary>
      <div>
        <${Counts} title=${say.whyPending}
          rows=${pending.map((row) => [say.reasons[row.reason] ?? row.reason, row.count])} />
        <${Counts} title=${say.whyRefused}
          rows=${refused.map((row) => {
            const channel = say.channels[row.channel] ?? row.channel;
            return [`${say.codes[row.code] ?? row.code} · ${channel}`, row.count];
          })} />
      </div>
    </details>
  `;
}

function Counts({ title, rows }) {
  const say = words();
  return html`
    <table class="counts">
      <caption>${title}</caption>
      <tbody>
        ${rows.length === 0 && html`<tr><td>${say.none}</td><td></td></tr>`}
        ${rows.map(([what, number]) => html`
          <tr key=${what}><th scope="row">${what}</th><td>${integer(number)}</td></tr>
        `)}
      </tbody>
    </table>
  `;
}
