// The page: header, totals, tables, chart and changes of an Otklik node.

import { effect } from "./vendor/signals-core.mjs";
import { render } from "./vendor/preact.mjs";
import { isNarrow } from "./choices.js";
import { html } from "./html.js";
import { words } from "./words.js";
import { Activity } from "./parts/activity.js";
import { Header } from "./parts/header.js";
import { Notices } from "./parts/notices.js";
import { Tables } from "./parts/tables.js";
import { Totals } from "./parts/totals.js";

function Page() {
  return html`
    <a class="skip" href="#tables" onClick=${skip}>${words().skip}</a>
    <${Header} />
    <${Notices} />
    <main>
      <${Totals} />
      <div class="columns">
        <${Tables} />
        ${!isNarrow.value && html`<div class="aside"><${Activity} /></div>`}
      </div>
    </main>
  `;
}

/** The fragment of the address is the tab's, so the focus is moved by hand. */
function skip(event) {
  event.preventDefault();
  document.getElementById("tables").focus();
}

effect(() => {
  document.title = words().title;
});
render(html`<${Page} />`, document.getElementById("page"));
