// One view of the node, kept up to date by server-sent events.
//
// The browser resumes a stream that breaks, with the id of the last event; what it gives up on (an
// answer that is an error) or what falls silent is opened anew here, from the epoch reached.

import { signal } from "./vendor/signals-core.mjs";

const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 10_000;
/** The node says something every second; a stream silent for so long is dead. */
const SILENT_MS_MAX = 20_000;

/**
 * A stream of a view.
 *
 * - `state`: "resting" until it is opened, "connecting" until rows are there, "live", "broken"
 * - `onSnapshot(rows)`, `onChanges(changes)`, `onEpoch(epoch)` are called as they come; a snapshot
 *   and changes are followed by their epoch
 */
export class Stream {
  constructor(view, parameters, handlers) {
    this.view = view;
    this.parameters = parameters;
    this.handlers = handlers;
    this.state = signal("resting");
    this.epoch = null;
    this.delay = RETRY_MS_MIN;
  }

  /** Follows other rows of the view, from a new snapshot. */
  follow(parameters) {
    this.parameters = parameters;
    this.epoch = null;
    this.open();
  }

  /** Opens the stream now, in place of what is open or waited for. */
  open() {
    this.close();
    if (this.state.peek() !== "broken") this.state.value = "connecting";
    const query = new URLSearchParams(this.parameters);
    if (this.epoch !== null) query.append("last_event_id", this.epoch);
    const source = new EventSource(`/v1/views/${this.view}/live?${query}`);
    source.addEventListener("snapshot", (event) => {
      const { epoch, rows } = JSON.parse(event.data);
      this.handlers.onSnapshot(rows);
      this.reached(epoch);
    });
    source.addEventListener("changes", (event) => {
      const { epoch, changes } = JSON.parse(event.data);
      this.handlers.onChanges(changes);
      this.reached(epoch);
    });
    source.addEventListener("progress", (event) => this.reached(JSON.parse(event.data).epoch));
    source.addEventListener("error", () => this.failed());
    this.source = source;
    this.heardAt = performance.now();
    this.watchdog = setInterval(() => this.watch(), SILENT_MS_MAX / 4);
  }

  /** Lets the connection go until `open`. */
  rest() {
    this.close();
    this.state.value = "resting";
  }

  close() {
    clearTimeout(this.timer);
    clearInterval(this.watchdog);
    this.source?.close();
  }

  reached(epoch) {
    this.epoch = epoch;
    this.delay = RETRY_MS_MIN;
    this.state.value = "live";
    this.heardAt = performance.now();
    this.handlers.onEpoch(epoch);
  }

  failed() {
    this.state.value = "broken";
    if (this.source.readyState !== EventSource.CLOSED) return; // the browser tries again
    this.close();
    this.timer = setTimeout(() => this.open(), this.delay);
    this.delay = Math.min(this.delay * 2, RETRY_MS_MAX);
  }

  watch() {
    if (performance.now() - this.heardAt < SILENT_MS_MAX) return;
    this.state.value = "broken";
    this.open();
  }
}
