// The page of a node that is one of several: how all stand, and which of them the figures wait for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LOST, NOT_OURS, agree, eventually, integerText, isLive, open } from "./page.mjs";
import { Node, freePort, made } from "./node.mjs";

const NODES = 3;
const AGREE_MS = 60_000;
let clusters = 0;

/** Nodes that compute together, with some events in the logs of the first two. */
async function cluster(t) {
  clusters += 1;
  const ports = [];
  for (let n = 0; n < NODES; n += 1) ports.push(await freePort());
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join();
  const nodes = ports.map((_, process) => {
    return new Node(`cluster-${clusters}-${process}`, ["--hosts", hosts, "--process", String(process)]);
  });
  t.after(() => Promise.all(nodes.map((node) => node.process && node.kill())));
  for (const node of nodes) {
    await node.settle();
    node.spawn();
  }
  for (const node of nodes) await node.isReady();
  const { reference, events } = made(2000);
  await nodes[0].post(reference);
  await nodes[1].post(events);
  return nodes;
}

const known = async (node) => (await fetch(`${node.url}/v1/cluster`)).json();

test("a cluster: every node has its row, and a node that is away is named on all screens",
  { skip: NOT_OURS }, async (t) => {
    const nodes = await cluster(t);
    const page = await open(t, "data", { of: nodes[2], expects: LOST });
    await isLive(page);
    const rows = page.locator("#cluster tbody tr");
    const shown = () => rows.evaluateAll((rows) => rows.map(({ dataset, cells }) =>
      [dataset.process, dataset.connected, cells[1].innerText, cells[3].innerText]));
    await agree(shown, async () => (await known(nodes[2])).nodes.map((node) =>
      [String(node.process), "true", "running", integerText(node.log_events)]), "all nodes");
    assert.match(await rows.nth(2).locator("th").innerText(), /2 \(this one\)/);
    assert.equal(await page.locator("#frontier").count(), 0, "nobody is waited for");

    await nodes[1].kill();
    const away = page.locator('#cluster tr[data-process="1"][data-connected="false"]');
    await away.waitFor();
    assert.equal(await away.locator("td").first().innerText(), "away");
    const held = /Node 1 holds the figures of all back: away/;
    await eventually(async () => held.test(await page.locator("#frontier").innerText()), 5000,
      "who holds the figures back");
    // Whoever looks at another screen is told as well.
    await page.locator('.menu a[href*="overview"]').click();
    const notice = page.locator(".notice", { hasText: /Figures are \d+ s old/ });
    await eventually(async () => (await notice.count()) === 1 &&
      held.test(await notice.innerText()), 10_000, "the notice says whom the figures wait for");

    await nodes[1].run();
    await page.locator('.standing[data-state="live"]').waitFor({ timeout: AGREE_MS });
    assert.equal(await notice.count(), 0);
    await page.locator('.menu a[href*="data"]').click();
    await agree(shown, async () => (await known(nodes[2])).nodes.map((node) =>
      [String(node.process), "true", "running", integerText(node.log_events)]), "all are back");
    await agree(() => page.locator('[data-total="accepted"]').innerText(), async () => {
      return integerText((await nodes[0].rows("conservation"))[0].accepted);
    }, "the figures of another node");
  });

test("a cluster: without the first node little is known, which is said", { skip: NOT_OURS },
  async (t) => {
    const nodes = await cluster(t);
    const page = await open(t, "data", { of: nodes[1], expects: LOST });
    await isLive(page);
    await nodes[0].kill();
    await page.locator("p", { hasText: "The first node is away" }).waitFor();
    await page.locator('.standing[data-state="stale"]').waitFor();
  });
