// Icons: drawn on a grid of 16, in the colour of the text beside them, silent to screen readers.

import { html } from "../html.js";

const PATHS = {
  met: "M3 8.5 6.5 12 13 4.5",
  not_met: "M4 4l8 8M12 4l-8 8",
  below_first: "M8 3v6.5M8 12.6v.4",
  no_value: "M4 8h8",
  in_progress: "M8 4.5V8l2.5 1.8M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z",
  cut_short: "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0zM4 12l8-8",
  up: "M8 13V3.5M4 7.5l4-4 4 4",
  down: "M8 3v9.5M4 8.5l4 4 4-4",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  resume: "M5 3.5v9l7.5-4.5z",
  dark: "M13.5 9.6A6 6 0 1 1 6.4 2.5a4.8 4.8 0 0 0 7.1 7.1z",
  light:
    "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4" +
    "M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1",
  sort: "M5 6.5 8 3.5l3 3M5 9.5l3 3 3-3",
  ascending: "M4 10l4-4 4 4",
  descending: "M4 6l4 4 4-4",
  filter: "M2.5 4h11M4.5 8h7M6.5 12h3",
};

export function Icon({ name }) {
  return html`
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d=${PATHS[name]} />
    </svg>
  `;
}
