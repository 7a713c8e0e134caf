// The tables, one at a time, and what chooses between them.

import { showTab, tab, tabs } from "../choices.js";
import { integer } from "../format.js";
import { html } from "../html.js";
import { models, streams } from "../node.js";
import { words } from "../words.js";
import { Activity } from "./activity.js";
import { Agencies } from "./agencies.js";
import { Managers } from "./managers.js";
import { Territories } from "./territories.js";

const PANELS = {
  managers: Managers,
  agencies: Agencies,
  territories: Territories,
  activity: Activity,
};

export function Tables() {
  const shown = tab.value;
  return html`
    <section class="card tables">
      <div class="tabs" role="tablist" aria-label=${words().tablist} onKeyDown=${moved}>
        ${tabs.value.map((name) => html`
          <${Tab} key=${name} name=${name} isShown=${name === shown} />
        `)}
      </div>
      <div class="panel" id="tables" role="tabpanel" tabindex="-1"
        aria-labelledby=${`tab-${shown}`}>
        <${PANELS[shown]} />
      </div>
    </section>
  `;
}

function Tab({ name, isShown }) {
  models[name]?.shape.value;
  const isKnown = models[name] !== undefined && streams[name].state.value !== "resting";
  return html`
    <button type="button" role="tab" id=${`tab-${name}`} aria-selected=${isShown}
      aria-controls="tables" tabindex=${isShown ? 0 : -1} onClick=${() => showTab(name)}>
      ${words().tabs[name]}
      ${isKnown && html` <span class="number">${integer(models[name].rows.size)}</span>`}
    </button>
  `;
}

function moved(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step === undefined) return;
  const names = tabs.value;
  const name = names[(names.indexOf(tab.value) + step + names.length) % names.length];
  showTab(name);
  document.getElementById(`tab-${name}`).focus();
}
