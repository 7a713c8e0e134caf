// How the figure on the card comes about: asked of the node (`GET /v1/explain/manager_periods`), and
// again each time its row has changed.

import { useEffect, useRef, useState } from "./vendor/hooks.mjs";
import { explain } from "./client.js";

/** It is asked no more often than this, however often the row changes. */
const PAUSE_MS = 1000;

/**
 * The explanation of a row of `manager_periods`, of its epoch or a later one; null until there is
 * one. While the node cannot answer, the last one stays and it is asked again.
 */
export function useExplained(row) {
  const [explained, setExplained] = useState(null);
  const asked = useRef(-Infinity); // by performance.now()
  const key = `${row.tenure}\n${row.period}`;
  const shown = useRef(key);
  shown.current = key;
  useEffect(() => {
    let timer = null;
    const ask = async () => {
      asked.current = performance.now();
      try {
        const found = await explain(row.tenure, row.period);
        if (shown.current === key) setExplained(found);
      } catch {
        if (timer !== null) timer = setTimeout(ask, PAUSE_MS);
      }
    };
    timer = setTimeout(ask, Math.max(0, asked.current + PAUSE_MS - performance.now()));
    return () => {
      clearTimeout(timer);
      timer = null;
    };
  }, [key, row]);
  const { row: of } = explained ?? {};
  return of !== undefined && `${of.tenure}\n${of.period}` === key ? explained : null;
}
