// What is wrong at the moment, what that means for the figures, and what is being done.

import { time } from "../format.js";
import { age, figuresAt } from "../freshness.js";
import { html } from "../html.js";
import { retry, standing, streams } from "../node.js";
import { words } from "../words.js";
import { duration } from "./header.js";

export function Notices() {
  const notice = current();
  if (notice === null) return null;
  const [kind, text] = notice;
  return html`
    <div class="notice" data-kind=${kind}>
      <p>${text}</p>
      ${kind === "error" && html`
        <button type="button" onClick=${retry}>${words().retry}</button>
      `}
    </div>
  `;
}

/** `[kind, text]`, or null. */
function current() {
  const say = words();
  const at = figuresAt.value;
  switch (standing.value) {
    case "lost":
      return ["error", at === null ? say.noticeNever : say.noticeLost(time(at))];
    case "recovering":
    case "replaying":
      return ["wait", say.noticeReplaying];
    case "stale":
      return ["wait", say.noticeStale(duration(age.value))];
    case "behind": {
      const broken = Object.keys(streams).filter((name) => streams[name].state.value === "broken");
      const text = broken.map((name) => say.tabs[name].toLowerCase()).join(", ");
      return broken.length > 0 ? ["error", say.noticeBroken(text)] : null;
    }
    default:
      return null;
  }
}
