// The node that the page is looked at on: one that is there already, or one of the test's own.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";

const { OTKLIK, OTKLIK_URL, OTKLIK_WORK, OTKLIK_FAKETIME } = process.env;
const DAY_MS = 86_400_000;
const START_MS_MAX = 60_000;
/** The wall clock of two days ago; clocks that measure how long something takes go as they do. */
const PAST = { LD_PRELOAD: OTKLIK_FAKETIME, FAKETIME: "-2d", FAKETIME_DONT_FAKE_MONOTONIC: "1" };

const date = (ms) => new Date(ms).toISOString().slice(0, 10);

/** A node with data. `isOwn` where it can be killed and started again. */
export class Node {
  isOwn = !OTKLIK_URL;

  async start() {
    if (!this.isOwn) {
      this.url = OTKLIK_URL.replace(/\/$/, "");
      return;
    }
    this.port = await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    // It hears of the past two days ago, so that an hour has passed when it starts again, and the
    // lists of the days before are drawn.
    await this.run(PAST);
    const made = join(OTKLIK_WORK, "made");
    // A year and a bit up to tomorrow, so that periods are running.
    const span = ["--from", date(Date.now() - 400 * DAY_MS), "--until", date(Date.now() + DAY_MS)];
    const generate = ["generate", "--events", "20000", "--seed", "5", ...span, "--out", made];
    const { status, stderr } = spawnSync(OTKLIK, generate, { encoding: "utf8" });
    if (status !== 0) throw new Error(`otklik generate failed: ${stderr}`);
    for (const file of ["reference.ndjson", "events.ndjson"]) {
      await this.post(readFileSync(join(made, file), "utf8"));
    }
    await this.kill();
    await this.run();
    // It is ready with what was shown before it was killed, which may be less than it was sent.
    await fetch(`${this.url}/v1/views/conservation?min_epoch=${this.epoch}&wait_seconds=60`);
  }

  /** Starts the process, and waits until it serves figures. */
  async run(environment = {}) {
    const data = join(OTKLIK_WORK, "data");
    const serve = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data", data];
    const env = { ...process.env, ...environment };
    this.process = spawn(OTKLIK, serve, { stdio: "ignore", env });
    const until = Date.now() + START_MS_MAX;
    while (!(await fetch(`${this.url}/readyz`).catch(() => null))?.ok) {
      if (this.process.exitCode !== null) throw new Error("the node ended as it started");
      if (Date.now() > until) throw new Error("the node is not ready in time");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends the process as a crash would. */
  async kill() {
    const ended = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await ended;
  }

  async post(lines) {
    const response = await fetch(`${this.url}/v1/events`, { method: "POST", body: lines });
    if (!response.ok) throw new Error(`events were answered with ${response.status}`);
    const { refused, epoch } = await response.json();
    this.epoch = epoch;
    if (refused.length > 0) throw new Error(`refused: ${JSON.stringify(refused[0])}`);
  }

  async rows(view, conditions = {}) {
    const query = new URLSearchParams({ limit: 100_000, ...conditions });
    const response = await fetch(`${this.url}/v1/views/${view}?${query}`);
    return (await response.json()).rows;
  }

  /** How a row of `manager_periods` comes about. */
  async explain(tenure, period) {
    const query = new URLSearchParams({ tenure, period });
    const response = await fetch(`${this.url}/v1/explain/manager_periods?${query}`);
    return response.json();
  }

  /** Rates a listed service of a unit at a kiosk, now; all five criteria get the same score. */
  async rate({ unit, agency }, score) {
    const [service] = await this.rows("directory", { of: "service", agency, listed: true });
    const now = new Date();
    const scores = Object.fromEntries([1, 2, 3, 4, 5].map((criterion) => [criterion, score]));
    const event = {
      type: "kiosk",
      record: now.getTime() * 1000 + Math.floor(Math.random() * 1000),
      unit,
      service: service.id,
      provided_on: date(now.getTime()),
      scores,
      received_at: now.toISOString(),
    };
    await this.post(`${JSON.stringify(event)}\n`);
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
