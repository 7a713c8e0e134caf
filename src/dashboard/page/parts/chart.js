// Charts that are drawn by uPlot: what is accepted per second, and values by month.

import { Component, createRef } from "../vendor/preact.mjs";
import { effect } from "../vendor/signals-core.mjs";
import { isNarrow, language, theme, type } from "../choices.js";
import { rate, second } from "../figures.js";
import { compact, integer, percent, shortMonth, target } from "../format.js";
import { html } from "../html.js";
import { SECONDS } from "../rate.js";
import { words } from "../words.js";

/** Heights in rems. */
const RATE_HEIGHT = 8;
const MONTHS_HEIGHT = 13;
/** Steps of an axis of counts: 1, 2, 5, 10, … */
const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((power) => [1, 2, 5].map((n) => n * 10 ** power));

/** What is accepted per second: all events, and ratings. */
export function RateChart() {
  const say = words();
  second.value;
  const columns = rate.columns(performance.now());
  const [, accepted, ratings] = columns;
  const last = (series) => (series.at(-1) === null ? "…" : integer(series.at(-1)));
  return html`
    <ul class="legend">
      <li data-series="accepted">${say.chartAccepted} <b>${last(accepted)}</b></li>
      <li data-series="ratings">${say.chartRatings} <b>${last(ratings)}</b></li>
    </ul>
    <div role="img" aria-label=${say.chartAbout(last(accepted), last(ratings))}>
      <${Plot} data=${columns} height=${RATE_HEIGHT} options=${rateOptions} />
    </div>
  `;
}

/** Values by month, `[{ month, percent, n }]`: a line of values above bars of how many ratings. */
export function MonthChart({ months }) {
  const say = words();
  const [first, last] = [months[0], months.at(-1)];
  const about = say.monthsAbout(
    shortMonth(first.month), percent(first.percent), shortMonth(last.month), percent(last.percent),
  );
  const data = [
    months.map((_, at) => at),
    months.map(({ n }) => n),
    months.map(({ percent }) => percent),
  ];
  const names = months.map(({ month }) => month);
  return html`
    <div role="img" aria-label=${about}>
      <${Plot} key=${names.join()} data=${data} height=${MONTHS_HEIGHT}
        options=${(box) => monthOptions(box, names)} />
    </div>
  `;
}

/** The drawing: made again when what it is drawn with changes, given new points otherwise. */
class Plot extends Component {
  box = createRef();

  shouldComponentUpdate({ data }) {
    this.plot?.setData(data);
    return false; // the drawing below is not Preact's
  }

  componentDidMount() {
    const box = this.box.current;
    this.stopDrawing = effect(() => {
      [language.value, theme.value, type.value, isNarrow.value];
      this.plot?.destroy();
      const size = { width: Math.floor(box.clientWidth) || 300, height: this.height };
      const options = { ...COMMON, ...size, ...this.props.options(box) };
      this.plot = new uPlot(options, this.props.data, box);
    });
    this.observer = new ResizeObserver(([entry]) => {
      this.plot.setSize({ width: Math.floor(entry.contentRect.width), height: this.height });
    });
    this.observer.observe(box);
  }

  componentWillUnmount() {
    this.observer.disconnect();
    this.stopDrawing();
    this.plot.destroy();
  }

  render() {
    return html`
      <div class="plot" ref=${this.box} style=${{ height: `${this.props.height}rem` }}></div>
    `;
  }

  get height() {
    return this.props.height * rem();
  }
}

const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);
/** One on a laptop, and more where type is larger, so that lines are seen from as far. */
const pixel = () => rem() / 14;
const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const COMMON = { legend: { show: false }, cursor: { show: false } };

function axis() {
  const font = `${0.75 * rem()}px system-ui, sans-serif`;
  return { stroke: colour("--muted"), font, ticks: { show: false } };
}

function rateOptions() {
  const say = words();
  const line = { width: 1.5 * pixel(), points: { show: false } };
  const ago = (seconds) => (seconds === 0 ? say.chartNow : say.chartMinutes(-seconds / 60));
  return {
    padding: [0.6 * rem(), 1.5 * rem(), 0, 0],
    scales: {
      x: { time: false, range: [1 - SECONDS, 0] },
      y: { range: (_plot, _least, most) => [0, Math.max(most * 1.1, 5)] },
    },
    axes: [
      {
        ...axis(),
        size: 1.6 * rem(),
        splits: () => [-60, 0],
        values: (_plot, splits) => splits.map(ago),
        grid: { show: false },
      },
      {
        ...axis(),
        size: 3.6 * rem(),
        space: 2.4 * rem(),
        incrs: WHOLE,
        values: (_plot, splits) => splits.map(compact),
        grid: { stroke: colour("--line"), width: pixel() },
      },
    ],
    series: [
      {},
      { ...line, stroke: colour("--accepted"), fill: colour("--accepted-area") },
      { ...line, stroke: colour("--ratings"), width: 2 * pixel() },
    ],
  };
}

function monthOptions(box, months) {
  // A little above 100 %, where a line at the top has room.
  const around = (least, most) => [Math.floor(least - 1), Math.min(100.4, Math.ceil(most + 1))];
  const isNamed = (at) => (months.length - 1 - at) % room === 0;
  const room = Math.max(1, Math.ceil(months.length / (box.clientWidth / (4.5 * rem()))));
  return {
    padding: [0.6 * rem(), 1.5 * rem(), 0, 0],
    scales: {
      x: { time: false, range: [-0.6, months.length - 0.4] },
      y: { range: (_plot, least, most) => around(least, most) },
      ratings: { range: (_plot, _least, most) => [0, most * 2.5] },
    },
    axes: [
      {
        ...axis(),
        size: 1.6 * rem(),
        splits: () => months.map((_, at) => at).filter(isNamed),
        values: (_plot, splits) => splits.map((at) => shortMonth(months[at])),
        grid: { show: false },
      },
      {
        ...axis(),
        size: 3.6 * rem(),
        space: 2.4 * rem(),
        values: (_plot, splits) => splits.map(target),
        grid: { stroke: colour("--line"), width: pixel() },
      },
    ],
    series: [
      {},
      {
        scale: "ratings",
        paths: uPlot.paths.bars({ size: [0.5, 3 * rem()] }),
        fill: colour("--accepted-area"),
        width: 0,
        points: { show: false },
      },
      {
        stroke: colour("--ratings"),
        width: 2 * pixel(),
        points: { show: true, size: 5 * pixel(), width: pixel() },
      },
    ],
  };
}
