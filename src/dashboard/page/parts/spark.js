// Small drawings of figures: a line by month, a bar, a bar of parts. Drawn as SVG, because the
// page's policy allows no style in its text; each stands beside its figures, and is silent to
// screen readers.

import { html } from "../html.js";

const [WIDTH, HEIGHT] = [100, 24];

/** A line through `values` (null where there is none), oldest first, within `[least, most]`. */
export function Spark({ values, least = null, most = null }) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return html`<svg class="spark" aria-hidden="true"></svg>`;
  const low = least ?? Math.min(...known);
  const high = most ?? Math.max(...known);
  // A line that never moves lies in the middle, but one at the bottom of its scale at the bottom.
  const level = least === null ? 0.5 : 0;
  const heightOf = (value) => (high === low ? level : (value - low) / (high - low));
  const x = (at) => (at / (values.length - 1)) * (WIDTH - 4) + 2;
  const y = (value) => HEIGHT - 3 - heightOf(value) * (HEIGHT - 6);
  let pen = "M";
  const path = values.map((value, at) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const point = `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
    return point;
  });
  const last = values.findLastIndex((value) => value !== null);
  return html`
    <svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true" focusable="false">
      <path d=${path.join("")} />
      <circle cx=${x(last)} cy=${y(values[last])} r="2" />
    </svg>
  `;
}

/** A bar of `part` in `whole`, and a mark at `mark` of it where there is one. */
export function Bar({ part, whole, mark = null, kind }) {
  const width = whole === 0 ? 0 : (part / whole) * 100;
  return html`
    <svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"
      focusable="false">
      <rect class="bar-part" data-part=${kind} width=${width} height="8" />
      ${mark !== null && html`
        <rect class="bar-mark" x=${Math.min(99, (mark / whole) * 100)} width="1" height="8" />
      `}
    </svg>
  `;
}

/** Where `value` lies between `least` and `most`: a dot, because a bar would begin at nothing. */
export function Dot({ value, least, most }) {
  const place = `${(((value ?? least) - least) / (most - least)) * 100}%`;
  return html`
    <svg class="dot" aria-hidden="true" focusable="false">
      <line x1="0" y1="50%" x2="100%" y2="50%" />
      ${value !== null && html`<circle cx=${place} cy="50%" />`}
    </svg>
  `;
}

/** The ends of a scale, above the dots that lie on it. */
export function Scale({ least, most }) {
  return html`
    <span class="scale" aria-hidden="true"><span>${least}</span><span>${most}</span></span>
  `;
}

/** A bar of several parts, `[[kind, count], …]`, side by side. */
export function Parts({ parts }) {
  const whole = parts.reduce((sum, [, count]) => sum + count, 0);
  let from = 0;
  return html`
    <svg class="bar parts" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"
      focusable="false">
      ${whole > 0 && parts.map(([kind, count]) => {
        const width = (count / whole) * 100;
        from += width;
        return html`
          <rect key=${kind} data-part=${kind} x=${from - width} width=${width} height="8" />
        `;
      })}
    </svg>
  `;
}
