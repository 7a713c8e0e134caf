// A table of live rows, of any length: only the rows in sight are there, headings sort, rows follow
// their figures one by one, and the order stands still while the table is held.
//
// A column is `{ id, label, about?, width, kind, of(data, row), cell(data, row) }`: `of` is what it
// is sorted by (a number, a text, or null, which comes last), `kind` is "text" or "figure", `width`
// a track of a grid, `isWide` where it is left out on a narrow screen.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.mjs";
import { isNarrow, language, type } from "../choices.js";
import { second } from "../figures.js";
import { compareNames, integer } from "../format.js";
import { html } from "../html.js";
import { namesTurn } from "../names.js";
import { Order, parseSort } from "../order.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";

/** Rows drawn above and below those in sight, so that scrolling and the tab key find some. */
const SPARE_ROWS = 8;
/** Rows of a printed table: more than anybody reads on paper. */
const PRINTED_MAX = 1000;

/**
 * The table of a followed view. `sort` is `"-n"` for descending by the column n; `onSort(sort)`
 * changes it; `matches(row)` says which rows there are; `empty(isNone)` is what stands in their
 * place where there are none, or none that match; `onSeen(data)` hears which rows are in sight, and
 * `onList(rows)` of the whole list whenever it is another.
 */
export function DataTable(props) {
  const { name, caption, view, sort, onSort, matches, empty, onSeen, onList } = props;
  const isOneColumn = isNarrow.value;
  const columns = useMemo(() => {
    return props.columns.filter(({ isWide }) => !(isOneColumn && isWide));
  }, [props.columns, isOneColumn]);
  const order = useMemo(() => new Order(view.rows), [view]);
  const held = useRef({ pointer: false, focus: false });
  const [, redraw] = useState(0);
  useArranged(order, props.columns, sort, matches);
  useEffect(() => second.subscribe(() => {
    const wasOld = order.isOld;
    const isHeld = held.current.pointer || held.current.focus;
    if (order.settle(isHeld) || order.isOld !== wasOld) redraw((n) => n + 1);
  }), [order]);
  const window = useWindow(order.list.length);
  const shown = order.list.slice(window.from, window.until);
  useEffect(() => onSeen?.(shown.map(({ data }) => data)));
  useEffect(() => onList?.(order.list), [order.list]);
  const renew = () => {
    order.renew();
    redraw((n) => n + 1);
  };
  const hold = (by, isHeld) => () => (held.current[by] = isHeld);
  const isLoading = !view.isKnown;
  const tracks = columns.map(({ width }) => width).join(" ");
  return html`
    <div class="table" onPointerEnter=${hold("pointer", true)}
      onPointerLeave=${hold("pointer", false)} onFocusIn=${hold("focus", true)}
      onFocusOut=${hold("focus", false)}>
      <div class="scroll" tabindex="0" role="region" aria-label=${caption} ref=${window.box}
        onScroll=${window.onScroll}>
        <table role="table" class="figures" data-table=${name} aria-label=${caption}
          aria-busy=${isLoading} aria-rowcount=${order.list.length + 1}
          style=${{ "--tracks": tracks }}>
          <thead role="rowgroup">
            <tr role="row" aria-rowindex="1">
              ${columns.map((column) => html`
                <${Heading} key=${column.id} column=${column} sort=${sort} onSort=${onSort} />
              `)}
            </tr>
          </thead>
          <tbody role="rowgroup" onKeyDown=${moved}
            style=${{ height: `${order.list.length * window.rowHeight}px` }}>
            ${shown.map((row, at) => html`
              <${Row} key=${row.key} row=${row} columns=${columns} at=${window.from + at}
                top=${(window.from + at) * window.rowHeight} language=${language.value} />
            `)}
          </tbody>
        </table>
        ${isLoading && html`<${Coming} progress=${view.progress.value} /><${Skeleton} />`}
        ${order.list.length === 0 && !isLoading && html`
          <div class="empty">${empty(view.rows.rows.size === 0)}</div>
        `}
      </div>
      <div class="table-foot">
        <p class="count">${words().rowCount(integer(order.list.length))}</p>
        ${order.isOld && html`
          <button type="button" class="newer" onClick=${renew}>${words().newerOrder}</button>
        `}
        ${props.children}
      </div>
    </div>
  `;
}

/** Arranges the order when it is asked for another, and not when only figures changed. */
function useArranged(order, columns, sort, matches) {
  const turn = namesTurn.value;
  const { id, isDescending } = parseSort(sort);
  const column = columns.find((other) => other.id === id) ?? columns[0];
  useMemo(() => {
    order.arrange(matches, (row) => column.of(row.data, row), compareNames, isDescending);
  }, [order, column.id, isDescending, matches, language.value, column.kind === "text" && turn]);
}

/** Which rows are in sight: `{ box, onScroll, from, until, rowHeight }`. */
function useWindow(count) {
  const box = useRef(null);
  const [place, setPlace] = useState({ top: 0, height: 900, rowHeight: 48, isPrinted: false });
  const measure = () => {
    const element = box.current;
    if (element === null) return;
    const root = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const rems = parseFloat(getComputedStyle(element).getPropertyValue("--row"));
    const next = { top: element.scrollTop, height: element.clientHeight, rowHeight: rems * root };
    setPlace((last) => ({ ...last, ...next }));
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    const print = (isPrinted) => () => setPlace((last) => ({ ...last, isPrinted }));
    const [before, after] = [print(true), print(false)];
    addEventListener("beforeprint", before);
    addEventListener("afterprint", after);
    return () => {
      observer.disconnect();
      removeEventListener("beforeprint", before);
      removeEventListener("afterprint", after);
    };
  }, []);
  useLayoutEffect(measure, [type.value, isNarrow.value]);
  const { top, height, rowHeight, isPrinted } = place;
  // A list that became shorter leaves the box scrolled beyond its end until it is measured again.
  const first = Math.min(Math.floor(top / rowHeight), Math.max(0, count - 1));
  const last = Math.ceil((top + height) / rowHeight);
  return {
    box,
    onScroll: measure,
    rowHeight,
    from: isPrinted ? 0 : Math.max(0, first - SPARE_ROWS),
    until: isPrinted ? Math.min(count, PRINTED_MAX) : Math.min(count, last + SPARE_ROWS),
  };
}

function Heading({ column, sort, onSort }) {
  const { id, isDescending } = parseSort(sort);
  const isSorted = id === column.id;
  const direction = isDescending ? "descending" : "ascending";
  const click = () => {
    // Figures are looked at from the greatest, names from the first.
    const first = column.kind !== "text";
    onSort((isSorted ? !isDescending : first) ? `-${column.id}` : column.id);
  };
  return html`
    <th role="columnheader" scope="col" data-column=${column.id} data-kind=${column.kind}
      aria-sort=${isSorted ? direction : undefined}>
      <button type="button" title=${column.about ?? column.label} onClick=${click}>
        <span>${column.label}</span>
        <${Icon} name=${isSorted ? direction : "sort"} />
      </button>
    </th>
  `;
}

/** Drawn anew when its own figures change, and not when its neighbours do. */
function Row({ row, columns, at, top }) {
  const { data, mark } = row.shown.value;
  namesTurn.value;
  return html`
    <tr role="row" data-key=${row.key} data-mark=${mark} aria-rowindex=${at + 2}
      style=${{ transform: `translateY(${top}px)` }}>
      ${columns.map((column) => html`
        <td role="cell" key=${column.id} data-column=${column.id} data-kind=${column.kind}>
          ${column.cell(data, row)}
        </td>
      `)}
    </tr>
  `;
}

/** The arrow keys go from the link of one row to that of the next. */
function moved(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const row = event.target.closest("tr");
  if (step === undefined || row === null) return;
  const wanted = Number(row.getAttribute("aria-rowindex")) + step;
  const next = row.parentElement.querySelector(`[aria-rowindex="${wanted}"] a`);
  if (next === null) return;
  event.preventDefault();
  next.focus();
}

/** How many rows have come, where there are many. */
function Coming({ progress }) {
  if (progress === null) return null;
  const { sent, total } = progress;
  return html`
    <p class="coming" role="status">${words().coming(integer(sent), integer(total))}</p>
  `;
}

/** What stands for rows that are being read. */
export function Skeleton() {
  return html`
    <div class="skeleton" aria-hidden="true">
      ${[1, 2, 3, 4, 5, 6, 7, 8].map((n) => html`<i key=${n}></i>`)}
    </div>
  `;
}
