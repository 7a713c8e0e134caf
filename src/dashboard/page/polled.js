// What a part of the page asks the node for again and again while it is looked at: that of which
// there is no view to follow.

import { signal } from "./vendor/signals-core.mjs";
import { useEffect } from "./vendor/hooks.mjs";
import { isPaused } from "./choices.js";

/**
 * A hook that gives what `read()` gave last, and null until it has. It is read at once and then so
 * often, while a component uses it, and neither while the display is paused nor out of sight. Where
 * reading fails, what was read last stays: the notice says that the node does not answer.
 */
export function polled(read, everyMs) {
  const last = signal(null);
  let readers = 0;
  let waiting = null;
  const renew = async () => {
    const isStill = document.hidden || isPaused.peek();
    if (last.peek() === null || !isStill) {
      try {
        last.value = await read();
      } catch {
        // the next time
      }
    }
    clearTimeout(waiting);
    if (readers > 0) waiting = setTimeout(renew, everyMs);
  };
  return () => {
    useEffect(() => {
      readers += 1;
      if (readers === 1) renew();
      return () => {
        readers -= 1;
        if (readers === 0) clearTimeout(waiting);
      };
    }, []);
    return last.value;
  };
}
