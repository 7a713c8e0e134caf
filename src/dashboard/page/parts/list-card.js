// A card with a short live list, whose order stands still while somebody reads it, as that of a
// table does (`order.js`): while the pointer or the focus is in the card.

import { useRef, useState } from "../vendor/hooks.mjs";
import { html } from "../html.js";
import { words } from "../words.js";

/**
 * `list` is the list as it is now, `keyOf(item)` tells its items apart, and `children(list)` draws
 * them. While the card is held, the items that were there stay in their places, with the figures of
 * now where they are still in the list.
 */
export function ListCard({ name, title, list, keyOf, children }) {
  const held = useRef({ pointer: false, focus: false });
  const shown = useRef([]);
  const [, redraw] = useState(0);
  const hold = (by, isHeld) => () => (held.current[by] = isHeld);
  const renew = () => {
    shown.current = [];
    redraw((n) => n + 1);
  };
  const isHeld = held.current.pointer || held.current.focus;
  const keys = list.map(keyOf);
  if (isHeld && shown.current.length > 0) {
    const now = new Map(list.map((item, at) => [keys[at], item]));
    shown.current = shown.current.map((item) => now.get(keyOf(item)) ?? item);
  } else {
    shown.current = list;
  }
  const isOld = shown.current.length !== list.length ||
    shown.current.some((item, at) => keyOf(item) !== keys[at]);
  return html`
    <section class=${`card ${name}`} aria-labelledby=${`${name}-title`}
      onPointerEnter=${hold("pointer", true)} onPointerLeave=${hold("pointer", false)}
      onFocusIn=${hold("focus", true)} onFocusOut=${hold("focus", false)}>
      <h2 id=${`${name}-title`}>${title}</h2>
      ${children(shown.current)}
      ${isOld && html`
        <button type="button" class="newer" onClick=${renew}>${words().newerOrder}</button>
      `}
    </section>
  `;
}
