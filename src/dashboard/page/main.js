// The page: a frame that stays, and the screen that the address names.

import { effect } from "./vendor/signals-core.mjs";
import { useEffect } from "./vendor/hooks.mjs";
import { render } from "./vendor/preact.mjs";
import { useView } from "./figures.js";
import { html } from "./html.js";
import { loadNames } from "./names.js";
import { route } from "./route.js";
import { words } from "./words.js";
import { Header } from "./parts/header.js";
import { Menu } from "./parts/menu.js";
import { Notices } from "./parts/notices.js";
import { Agencies } from "./screens/agencies.js";
import { Data } from "./screens/data.js";
import { Figure } from "./screens/figure.js";
import { Managers } from "./screens/managers.js";
import { Overview } from "./screens/overview.js";
import { Surveys } from "./screens/surveys.js";
import { Territories } from "./screens/territories.js";

const SCREENS = {
  overview: Overview,
  territories: Territories,
  agencies: Agencies,
  managers: Managers,
  figure: Figure,
  data: Data,
  surveys: Surveys,
};

function Page() {
  // Most screens show something of the managers, and their rows take longest to come.
  useView("manager_periods");
  // How refusals come over time is heard here, and nowhere else.
  useView("refused");
  const { screen, key } = route.value;
  const name = key === null ? screen : `${screen}/${key.tenure}/${key.period}`;
  useEffect(() => {
    document.querySelector("main").scrollTop = 0;
  }, [name]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>${words().skip}</a>
    <${Header} />
    <${Menu} />
    <main id="main" tabindex="0" data-screen=${screen}>
      <${Notices} />
      <${SCREENS[screen]} key=${name} />
    </main>
  `;
}

/** The fragment of the address is the screen's, so the focus is moved by hand. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

effect(() => {
  const say = words();
  document.title = `${say.screens[route.value.screen]} · ${say.title}`;
});
render(html`<${Page} />`, document.getElementById("page"));
loadNames();
