// The menu of screens: a column beside them, and on a phone a bar below them.

import { isTight } from "../choices.js";
import { html } from "../html.js";
import { SCREENS, route, to } from "../route.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";

export function Menu() {
  const say = words();
  const names = isTight.value ? say.screensShort : say.screens;
  const shown = route.value.screen === "figure" ? "managers" : route.value.screen;
  return html`
    <nav class="menu" aria-label=${say.menu}>
      <ul>
        ${SCREENS.map((screen) => html`
          <li key=${screen}>
            <a href=${to(screen)} aria-current=${screen === shown ? "page" : undefined}>
              <${Icon} name=${screen} /><span>${names[screen]}</span>
            </a>
          </li>
        `)}
      </ul>
    </nav>
  `;
}
