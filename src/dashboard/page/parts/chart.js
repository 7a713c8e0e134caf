// What is accepted per second: all events, and ratings.

import { Component, createRef } from "../vendor/preact.mjs";
import { effect } from "../vendor/signals-core.mjs";
import { language, theme } from "../choices.js";
import { integer } from "../format.js";
import { html } from "../html.js";
import { rate, rateTurn } from "../node.js";
import { SECONDS } from "../rate.js";
import { words } from "../words.js";

const HEIGHT = 168;

export function Chart() {
  const say = words();
  rateTurn.value;
  const [, accepted, ratings] = rate.columns(performance.now());
  const last = (series) => (series.at(-1) === null ? "…" : integer(series.at(-1)));
  return html`
    <section class="card chart" aria-labelledby="chart-title">
      <h2 id="chart-title">${say.chart}</h2>
      <ul class="legend">
        <li data-series="accepted">${say.chartAccepted} <b>${last(accepted)}</b></li>
        <li data-series="ratings">${say.chartRatings} <b>${last(ratings)}</b></li>
      </ul>
      <div role="img" aria-label=${say.chartAbout(last(accepted), last(ratings))}>
        <${Plot} />
      </div>
    </section>
  `;
}

/** The drawing: made again when language or theme change, given new points every second. */
class Plot extends Component {
  box = createRef();

  shouldComponentUpdate() {
    return false; // the drawing below is not Preact's
  }

  componentDidMount() {
    const box = this.box.current;
    this.stopDrawing = effect(() => {
      language.value;
      theme.value;
      this.plot?.destroy();
      this.plot = new uPlot(options(box), rate.columns(performance.now()), box);
    });
    this.stopFeeding = effect(() => {
      rateTurn.value;
      this.plot.setData(rate.columns(performance.now()));
    });
    this.observer = new ResizeObserver(([entry]) => {
      this.plot.setSize({ width: Math.floor(entry.contentRect.width), height: HEIGHT });
    });
    this.observer.observe(box);
  }

  componentWillUnmount() {
    this.observer.disconnect();
    this.stopFeeding();
    this.stopDrawing();
    this.plot.destroy();
  }

  render() {
    return html`<div class="plot" ref=${this.box}></div>`;
  }
}

function options(box) {
  const say = words();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const font = "11px system-ui, sans-serif";
  const axis = { stroke: colour("--muted"), font, ticks: { show: false } };
  const line = { width: 1.5, points: { show: false } };
  const whole = (number) => (Number.isInteger(number) ? integer(number) : "");
  const ago = (seconds) => (seconds === 0 ? say.chartNow : say.chartMinutes(-seconds / 60));
  return {
    width: Math.floor(box.clientWidth) || 300,
    height: HEIGHT,
    padding: [8, 22, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: [1 - SECONDS, 0] },
      y: { range: (_plot, _least, most) => [0, Math.max(most * 1.1, 5)] },
    },
    axes: [
      {
        ...axis,
        size: 26,
        splits: () => [-60, 0],
        values: (_plot, splits) => splits.map(ago),
        grid: { show: false },
      },
      {
        ...axis,
        size: 46,
        space: 36,
        values: (_plot, splits) => splits.map(whole),
        grid: { stroke: colour("--line"), width: 1 },
      },
    ],
    series: [
      {},
      { ...line, stroke: colour("--accepted"), fill: colour("--accepted-area") },
      { ...line, stroke: colour("--ratings"), width: 2 },
    ],
  };
}
