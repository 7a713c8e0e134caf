// The header: whose page it is, under which conditions it is looked at, how it stands to the node,
// and the reader's choices.

import { choose, isPaused, language, theme, type } from "../choices.js";
import { time } from "../format.js";
import { html } from "../html.js";
import { standing } from "../figures.js";
import { nameOf, namesTurn, regionName } from "../names.js";
import { query, set } from "../route.js";
import { age, figuresAt } from "../status.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";

export function Header() {
  const say = words();
  return html`
    <header class="header">
      <div class="brand">
        <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
          <circle cx="8" cy="24" r="3.5" />
          <path d="M8 14a10 10 0 0 1 10 10M8 5a19 19 0 0 1 19 19" />
        </svg>
        <p><b>${say.title}</b><span title=${say.subtitle}>${say.subtitle}</span></p>
      </div>
      <${Conditions} />
      <${Standing} />
      <div class="choices">
        <${Choice} icon=${isPaused.value ? "resume" : "pause"} isPressed=${isPaused.value}
          about=${isPaused.value ? say.resume : say.pause} id="pause"
          onClick=${() => (isPaused.value = !isPaused.value)} />
        <${Choice} icon="type" id="type" isPressed=${type.value === "large"} about=${say.largeType}
          onClick=${() => choose("type", type, type.value === "large" ? "normal" : "large")} />
        <${Choice} icon=${theme.value === "dark" ? "light" : "dark"} id="theme"
          about=${theme.value === "dark" ? say.themeLight : say.themeDark}
          onClick=${() => choose("theme", theme, theme.value === "dark" ? "light" : "dark")} />
        <button class="choice" id="language" type="button" title=${say.languageOther}
          lang=${language.value === "ru" ? "en" : "ru"}
          onClick=${() => choose("language", language, language.value === "ru" ? "en" : "ru")}>
          ${say.languageCode}<span class="unseen"> ${say.languageOther}</span>
        </button>
      </div>
    </header>
  `;
}

/** The conditions that hold on every screen, each of which can be lifted. */
function Conditions() {
  const say = words();
  namesTurn.value;
  const { agency, region } = query.value;
  return html`
    <div class="conditions">
      ${region && html`
        <${Condition} name="region" label=${say.region} value=${regionName(region)} />
      `}
      ${agency && html`
        <${Condition} name="agency" label=${say.agency} value=${nameOf("agency", agency)} />
      `}
    </div>
  `;
}

function Condition({ name, label, value }) {
  return html`
    <span class="condition" data-condition=${name}>
      <span title=${`${label}: ${value}`}><span class="unseen">${label}: </span>${value}</span>
      <button type="button" aria-label=${words().lift(`${label}: ${value}`)}
        onClick=${() => set({ [name]: "" })}><${Icon} name="close" /></button>
    </span>
  `;
}

function Choice({ icon, about, id, isPressed, onClick }) {
  return html`
    <button class="choice" id=${id} type="button" title=${about} aria-label=${about}
      aria-pressed=${isPressed} onClick=${onClick}>
      <${Icon} name=${icon} />
    </button>
  `;
}

/** The state in a word, said aloud when it changes; the age beside it changes silently. */
function Standing() {
  const state = isPaused.value ? "paused" : standing.value;
  return html`
    <div class="standing" data-state=${state}>
      <span class="pill" role="status">${words().standing[state]}</span>
      <${Age} />
    </div>
  `;
}

function Age() {
  if (figuresAt.value === null) return null;
  const say = words();
  return html`
    <span class="age">
      <time dateTime=${new Date(figuresAt.value).toISOString()}>
        ${say.figuresAt(time(figuresAt.value))}
      </time>
      <span>${duration(age.value) === null ? say.ageNow : say.age(duration(age.value))}</span>
    </span>
  `;
}

/** `12 s`, `3 min`, `2 h`; null below two seconds, which is how things are when all is well. */
export function duration(ms) {
  const say = words();
  const seconds = Math.floor(ms / 1000);
  if (seconds < 2) return null;
  if (seconds < 100) return say.seconds(seconds);
  if (seconds < 6000) return say.minutes(Math.floor(seconds / 60));
  return say.hours(Math.floor(seconds / 3600));
}
