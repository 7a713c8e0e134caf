// What is wrong at the moment, what that means for the figures, and what is being done.

import { time } from "../format.js";
import { broken, retry, standing } from "../figures.js";
import { html } from "../html.js";
import { age, figuresAt } from "../status.js";
import { words } from "../words.js";
import { Waiting } from "./cluster.js";
import { duration } from "./header.js";
import { Icon } from "./icons.js";

export function Notices() {
  const notice = current();
  if (notice === null) return null;
  const [kind, text] = notice;
  return html`
    <div class="notice" data-kind=${kind} role=${kind === "error" ? "alert" : "note"}>
      <${Icon} name=${kind === "error" ? "not_met" : "below_first"} />
      <p>${text} ${kind === "wait" && html`<${Waiting} />`}</p>
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
      return ["wait", say.noticeStale(duration(age.value) ?? say.ageNow)];
    default: {
      const names = broken.value.map((view) => say.views[view] ?? view);
      return names.length > 0 ? ["error", say.noticeBroken(names.join(", "))] : null;
    }
  }
}
