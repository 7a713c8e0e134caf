// Names beside ids: agencies, units, services and managers from the node's directory, subjects of
// the Federation from a list that comes with the page.

import { computed, signal } from "./vendor/signals-core.mjs";
import { language } from "./choices.js";
import { TILES } from "./tiles.js";

const PAGE_ROWS = 10_000;
/** Ids asked for in one request, so that its address stays short. */
const ASKED_MAX = 50;
/** Names that the node did not know are asked for again after so long. */
const AGAIN_MS = 30_000;
const KINDS = ["agency", "unit", "service", "manager"];

/** Rises when names came. */
export const namesTurn = signal(0);

const ENGLISH = new Map(TILES.map(({ okato, english }) => [okato, english]));

const entries = new Map(KINDS.map((of) => [of, new Map()]));
const askedAt = new Map();
let regions = {};
let missing = new Map();
let asking = null;

/** The row of the directory for an id; null, and asked for, where it is not known yet. */
export function entry(of, id) {
  const found = entries.get(of).get(id);
  if (found === undefined && id) ask(of, id);
  return found ?? null;
}

/** The name of an id; the id itself where there is none. */
export const nameOf = (of, id) => entry(of, id)?.name || id || "";

/** The name of a subject of the Federation by its ОКАТО prefix, in the reader's language. */
export function regionName(okato) {
  const name = language.value === "en" ? ENGLISH.get(okato) : regions[okato];
  return name ?? regions[okato] ?? okato;
}

/** All agencies, as rows of the directory. */
export const agencies = () => [...entries.get("agency").values()];

/** The ids of the units right below each unit. */
export const unitsBelow = computed(() => {
  namesTurn.value;
  const below = new Map();
  for (const { id, parent } of entries.get("unit").values()) {
    if (parent === null) continue;
    if (!below.has(parent)) below.set(parent, []);
    below.get(parent).push(id);
  }
  return below;
});

function ask(of, id) {
  const key = `${of}\n${id}`;
  if (Date.now() - (askedAt.get(key) ?? -Infinity) < AGAIN_MS) return;
  askedAt.set(key, Date.now());
  if (!missing.has(of)) missing.set(of, []);
  missing.get(of).push(id);
  asking ??= setTimeout(fetchMissing, 1000);
}

async function fetchMissing() {
  const wanted = missing;
  missing = new Map();
  for (const [of, ids] of wanted) {
    for (let from = 0; from < ids.length; from += ASKED_MAX) {
      const query = ids.slice(from, from + ASKED_MAX).map((id) => ["id", id]);
      await fetchNames([["of", of], ...query]);
    }
  }
  asking = missing.size > 0 ? setTimeout(fetchMissing, 1000) : null;
}

async function fetchNames(conditions) {
  let after = null;
  do {
    const query = new URLSearchParams([...conditions, ["limit", PAGE_ROWS]]);
    if (after !== null) query.append("after", after);
    const response = await fetch(`/v1/views/directory?${query}`).catch(() => null);
    if (!response?.ok) return false; // ids stand in for names until they are asked for again
    const { rows, next } = await response.json();
    for (const row of rows) {
      entries.get(row.of)?.set(row.id, row);
      askedAt.delete(`${row.of}\n${row.id}`);
    }
    if (rows.length > 0) namesTurn.value += 1;
    after = next;
  } while (after !== null);
  return true;
}

/** Reads the whole directory; rows that are looked up meanwhile are not asked for apart. */
export async function loadNames() {
  asking ??= 0;
  await fetchNames(KINDS.map((of) => ["of", of]));
  if (asking === 0) asking = missing.size > 0 ? setTimeout(fetchMissing, 0) : null;
}

async function loadRegions() {
  const response = await fetch(new URL("regions.json", import.meta.url));
  regions = await response.json();
  namesTurn.value += 1;
}

loadRegions();
