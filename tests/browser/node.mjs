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

/**
 * A node with data, in a folder `name`. `isOwn` where it can be killed and started again; `flags`
 * are what it is served with besides.
 */
export class Node {
  isOwn = !OTKLIK_URL;

  constructor(name = "data", flags = []) {
    this.data = join(OTKLIK_WORK, name);
    this.flags = flags;
  }

  async start() {
    if (!this.isOwn) {
      this.url = OTKLIK_URL.replace(/\/$/, "");
      return;
    }
    await this.settle();
    // It hears of the past two days ago, so that an hour has passed when it starts again, and the
    // lists of the days before are drawn.
    await this.run(PAST);
    const { reference, events } = made(20_000);
    await this.post(reference);
    await this.post(events);
    await this.kill();
    await this.run();
    // It is ready with what was shown before it was killed, which may be less than it was sent.
    await fetch(`${this.url}/v1/views/conservation?min_epoch=${this.epoch}&wait_seconds=60`);
  }

  /** Takes a port of its own. */
  async settle() {
    this.port = await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** Starts the process, and waits until it serves figures. */
  async run(environment = {}) {
    this.spawn(environment);
    await this.isReady();
  }

  spawn(environment = {}) {
    const listen = `127.0.0.1:${this.port}`;
    const serve = ["serve", "--listen", listen, "--data", this.data, ...this.flags];
    const env = { ...process.env, ...environment };
    this.process = spawn(OTKLIK, serve, { stdio: "ignore", env });
  }

  async isReady() {
    const until = Date.now() + START_MS_MAX;
    while (!(await fetch(`${this.url}/readyz`).catch(() => null))?.ok) {
      if (this.process.exitCode !== null) throw new Error("the node ended as it started");
      if (Date.now() > until) throw new Error("the node is not ready in time");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Ends the process as a crash would. */
  async kill() {
    const { exitCode, signalCode } = this.process;
    if (exitCode !== null || signalCode !== null) return;
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

/** Events of a year and a bit up to tomorrow, so that periods are running, as two texts. */
export function made(count) {
  const out = join(OTKLIK_WORK, `made-${count}`);
  const span = ["--from", date(Date.now() - 400 * DAY_MS), "--until", date(Date.now() + DAY_MS)];
  const generate = ["generate", "--events", String(count), "--seed", "5", ...span, "--out", out];
  const { status, stderr } = spawnSync(OTKLIK, generate, { encoding: "utf8" });
  if (status !== 0) throw new Error(`otklik generate failed: ${stderr}`);
  const text = (name) => readFileSync(join(out, `${name}.ndjson`), "utf8");
  return { reference: text("reference"), events: text("events") };
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
