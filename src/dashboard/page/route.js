// The address: which screen is looked at, and under which conditions. All of it is in the fragment,
// so a view can be shared by copying the address, and the node serves one page.
//
// `#/managers?agency=10000001011&sort=-n` is the screen "managers" with two parameters;
// `#/managers/t-01870/4` is the card of a period, the screen "figure" with its key.

import { computed, signal } from "./vendor/signals-core.mjs";

export const SCREENS = ["overview", "territories", "agencies", "managers", "data", "surveys"];
/** Conditions that hold on every screen, and go along from one to another. */
const LASTING = ["agency", "region"];

/** `{ screen, key, query }` of a fragment; what cannot be read is the overview. */
export function parse(fragment) {
  const [path, query = ""] = fragment.replace(/^#\/?/, "").split("?");
  const [screen, ...rest] = path.split("/").map(decode);
  const parameters = Object.fromEntries(new URLSearchParams(query));
  if (screen === "managers" && rest.length === 2) {
    return { screen: "figure", key: { tenure: rest[0], period: rest[1] }, query: parameters };
  }
  const isKnown = SCREENS.includes(screen) && rest.length === 0;
  return { screen: isKnown ? screen : "overview", key: null, query: parameters };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // half of an escape: no screen has that name
  }
}

/** Where the reader is. */
export const route = signal(parse(location.hash));
/** The parameters of the address. */
export const query = computed(() => route.value.query);

function fragment(path, parameters) {
  const set = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null);
  const text = new URLSearchParams(set).toString();
  return `#/${path}${text === "" ? "" : `?${text}`}`;
}

/** The address of a screen: with the lasting conditions, and others on top of them. */
export function to(screen, parameters = {}) {
  const lasting = LASTING.map((name) => [name, query.value[name] ?? ""]);
  return fragment(screen, { ...Object.fromEntries(lasting), ...parameters });
}

/** The address of the card of a manager's period. */
export function toFigure({ tenure, period }) {
  return to(`managers/${encodeURIComponent(tenure)}/${period}`);
}

/** Changes parameters of the address without a step in the history; an empty one goes. */
export function set(parameters) {
  const { screen, key } = route.peek();
  const path = key === null ? screen : `managers/${encodeURIComponent(key.tenure)}/${key.period}`;
  history.replaceState(null, "", fragment(path, { ...query.peek(), ...parameters }));
  route.value = parse(location.hash);
}

addEventListener("hashchange", () => (route.value = parse(location.hash)));
