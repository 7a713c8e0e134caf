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
  close: "M4 4l8 8M12 4l-8 8",
  back: "M10 3.5 5.5 8l4.5 4.5",
  save: "M8 2.5v7.5M4.8 7 8 10.2 11.2 7M3 13.2h10",
  type: "M1.5 12.5 5 3.5l3.5 9M2.7 9.5h4.6M10 12.5l2.2-6 2.3 6M10.8 10.5h3",
  overview: "M2.5 2.5h4.5v6h-4.5zM9 2.5h4.5v3.5h-4.5zM9 8h4.5v5.5h-4.5zM2.5 10.5h4.5v3h-4.5z",
  territories: "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h4v4h-4z",
  agencies: "M2 6.5 8 2.5l6 4zM3.5 6.5v6M6.5 6.5v6M9.5 6.5v6M12.5 6.5v6M2 13.5h12",
  managers:
    "M6 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM1.5 13.5a4.5 4.5 0 0 1 9 0" +
    "M10.5 2.900a2.5 2.5 0 0 1 0 4.300M12 9.600a4.5 4.5 0 0 1 2.5 3.9",
  data:
    "M13.5 4c0 1.1-2.5 2-5.5 2s-5.5-.9-5.5-2 2.5-2 5.5-2 5.5.9 5.5 2zM2.5 4v8c0 1.1" +
    " 2.5 2 5.5 2s5.5-.9 5.5-2V4M2.5 8c0 1.1 2.5 2 5.5 2s5.5-.9 5.5-2",
  surveys:
    "M4.5 2.5 6.3 5.6 5 7.2a8 8 0 0 0 3.8 3.8l1.6-1.3 3.1 1.8v2.2c-6.5 0-11.2-4.7-11.2" +
    "-11.2z",
};

export function Icon({ name }) {
  return html`
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d=${PATHS[name]} />
    </svg>
  `;
}
