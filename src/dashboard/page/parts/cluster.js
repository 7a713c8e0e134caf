// The nodes that compute together (`GET /v1/cluster`): how each stands, and which of them the
// others wait for.

import { answer } from "../client.js";
import { NONE, bytes, integer } from "../format.js";
import { html } from "../html.js";
import { polled } from "../polled.js";
import { words } from "../words.js";
import { Icon } from "./icons.js";

const REFRESH_MS = 2000;

/** How all nodes of the cluster stand, as this one was told. */
const useCluster = polled(() => answer("/v1/cluster"), REFRESH_MS);

/** The nodes that compute together, and who holds the figures back; nothing for a single node. */
export function Cluster() {
  const say = words();
  const known = useCluster();
  if (known === null || (known.nodes.length < 2 && known.generation === 0)) return null;
  return html`
    <h3>${say.clusterOf(known.nodes.length)}</h3>
    ${!known.linked && html`<p class="about" data-kind="warn">${say.firstNodeAway}</p>`}
    ${known.frontier && html`<p class="about" id="frontier"><${HeldBack} known=${known} /></p>`}
    <div class="scroll" tabindex="0" role="group" aria-label=${say.nodes}>
      <table class="plain" id="cluster">
        <thead><tr>
          <th scope="col">${say.node}</th><th scope="col">${say.worker}</th>
          <th scope="col">${say.epoch}</th><th scope="col">${say.logEvents}</th>
          <th scope="col">${say.logSize}</th><th scope="col">${say.restarts}</th>
        </tr></thead>
        <tbody>
          ${known.nodes.map((node) => html`
            <tr key=${node.process} data-process=${node.process}
              data-connected=${node.connected}>
              <th scope="row" title=${node.http ?? ""}>
                <${Icon} name=${node.connected ? "met" : "not_met"} /> ${node.process}
                ${node.process === known.process && html` (${say.thisNode})`}
              </th>
              <td>${node.connected ? say.workerStages[node.worker] ?? NONE : say.away}</td>
              <td>${String(node.served ?? NONE)}</td>
              <td>${node.log_events === null ? NONE : integer(node.log_events)}</td>
              <td>${node.log_bytes === null ? NONE : bytes(node.log_bytes)}</td>
              <td title=${node.error ?? ""}>
                ${node.restarts === null ? NONE : integer(node.restarts)}
              </td>
            </tr>
          `)}
        </tbody>
      </table>
    </div>
    <p class="about" title=${known.error ?? ""}>
      ${say.generation(known.generation, known.ended)}
    </p>
  `;
}

/** Which node the figures of all wait for, and why; nothing where they do not. */
export function Waiting() {
  const known = useCluster();
  if (!known?.frontier || known.nodes.length < 2) return null;
  return html`<span class="waiting"><${HeldBack} known=${known} />.</span>`;
}

function HeldBack({ known: { frontier, nodes } }) {
  const { process } = frontier;
  return html`${words().holdsBack(process)}: <${Why} node=${nodes[process]} why=${frontier.why} />`;
}

/** Why a node holds the others back: in the reader's language as far as its row tells. */
function Why({ node, why }) {
  const say = words();
  if (node?.connected === false) return say.away;
  if (node && node.log !== null && node.log !== "open") {
    return `${say.log}: ${say.logStages[node.log] ?? node.log}`;
  }
  if (node && node.worker !== null && node.worker !== "running") {
    return `${say.worker}: ${say.workerStages[node.worker] ?? node.worker}`;
  }
  return html`<span lang="en">${why}</span>`;
}
