// How many ratings there are of each score, 5 first: bars beside their numbers.

import { integer, percent } from "../format.js";
import { html } from "../html.js";
import { percentOf } from "../sums.js";
import { words } from "../words.js";
import { Bar } from "./spark.js";

/** `scores` are counts of the scores 1..5. */
export function Scores({ scores }) {
  const say = words();
  const whole = scores.reduce((sum, count) => sum + count, 0);
  const most = Math.max(1, ...scores);
  return html`
    <table class="plain score-table">
      <caption class="unseen">${say.scores}</caption>
      <thead><tr>
        <th scope="col">${say.score}</th><td class="wide-cell"></td>
        <th scope="col">${say.share}</th>
        <th scope="col">${say.ratings}</th>
      </tr></thead>
      <tbody>
        ${[5, 4, 3, 2, 1].map((score) => html`
          <tr key=${score}>
            <th scope="row">${score}</th>
            <td class="wide-cell">
              <${Bar} part=${scores[score - 1]} whole=${most} kind=${`score-${score}`} />
            </td>
            <td>${percent(percentOf(scores[score - 1], whole))}</td>
            <td>${integer(scores[score - 1])}</td>
          </tr>
        `)}
      </tbody>
    </table>
    <p class="about">${say.scoresAbout}</p>
  `;
}
