// Data of the page, its state, and listeners for changes of the state.

/** @type {PageData} */
const data = JSON.parse(document.getElementById("data").textContent);
const isIndex = Boolean(data.pages?.names);
const isServed = data.server !== null;

/** @type {State} */
const state = {
  tab: isIndex ? "statistics" : "clips",
  row: null,
  clip: null,
  problem: "",
  view: "player",
  stage: 0,
  frame: 0,
  playing: false,
  speed: 1,
  zoom: true,
  tethers: true,
  legs: false,
  shared: true,
  sampled: false,
  base: 0,
  ghost: 0.6,
  trail: 0,
};
/** @type {((changed: Set<string>) => void)[]} */
const listeners = [];

/** @param {Partial<State>} changes */
function update(changes) {
  const changed = new Set(Object.keys(changes).filter((key) => state[key] !== changes[key]));
  Object.assign(state, changes);
  if (changed.size) for (const listener of listeners) listener(changed);
}

/** @type {(keys: (keyof State)[], act: () => void) => void} */
function onChange(keys, act) {
  listeners.push((changed) => {
    if (keys.some((key) => changed.has(key))) act();
  });
}

// Convert columns to rows; see `encode_index` in encode.py.
/** @type {(index: Index) => Row[]} */
function rowsOf({ count, columns }) {
  const texts = { id: "", link: "", en: "", ar: "", signer: "", split: "", category: "" };
  const blank = { ...texts, label: null, sign: null, frames: 0, seen: null, hands: null, wrong: [], page: null };
  const rows = Array.from({ length: count }, (_, index) => ({ ...blank, index }));
  for (const [name, column] of Object.entries(columns)) {
    for (let i = 0; i < count; i++)
      rows[i][name] = (column.codes ? column.values[column.codes[i]] : column[i]) ?? blank[name];
  }
  return rows;
}

let rows = rowsOf(data.index);
let byLink = new Map(rows.map((row) => [row.link, row]));
/** @type {Map<string, Clip>} */
const decoded = new Map(); // the clips shown last
const MAX_DECODED = 24;

async function loadIndex() {
  if (!isServed) return;
  rows = rowsOf(await fetchJson("index.json"));
  byLink = new Map(rows.map((row) => [row.link, row]));
}

/** @param {string} name */
async function fetchJson(name) {
  const response = await fetch(data.server.replace(/([^/])$/, "$1/") + name);
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  throw new Error(body.error || `the server responded with ${response.status} to ${name}`);
}

/** @param {Row} row */
async function clipOf(row) {
  if (!decoded.has(row.link)) {
    /** @type {Payload} */
    const payload = isServed ? await fetchJson(`clips/${encodeURIComponent(row.link)}.json`) : data.clips[row.link];
    if (payload.row) {
      const { seen, hands, wrong, frames } = payload.row;
      Object.assign(row, { seen, hands, wrong, frames });
    }
    decoded.set(row.link, await decodeClip(payload, { ...data.skeletons, ...payload.skeletons }));
    if (decoded.size > MAX_DECODED) decoded.delete(decoded.keys().next().value);
  }
  return decoded.get(row.link);
}

/** @type {Row | null} */
let requested = null; // the clip requested last: slower responses for others are ignored

/**
 * @param {Row} row
 * @param {{ stage?: number, frame?: number, view?: ViewName }} where
 */
async function openClip(row, where = {}) {
  if (isIndex) {
    location.href = `${encodeURIComponent(data.pages.names[row.page])}#clip=${encodeURIComponent(row.link)}`;
    return;
  }
  requested = row;
  document.body.classList.add("busy");
  try {
    const clip = await clipOf(row);
    if (requested !== row) return;
    const stage = Math.min(where.stage ?? state.stage, clip.stages.length - 1);
    const frame = Math.min(
      where.frame ?? (state.playing ? 0 : bestFrame(clip.stages[stage])),
      clip.stages[stage].frames - 1,
    );
    update({
      row,
      clip,
      stage,
      frame,
      problem: "",
      tab: "clips",
      view: where.view ?? usableView(clip),
      base: Math.min(state.base, stage),
    });
  } catch (error) {
    if (requested === row) update({ row, clip: null, problem: `${row.id}: ${error.message}`, tab: "clips" });
  } finally {
    if (requested === row) document.body.classList.remove("busy");
  }
}

/** @param {Clip} clip */
const usableView = (clip) =>
  (state.view === "augmentations" && !clip.augmentations.length) || (clip.stages.length === 1 && state.view !== "player")
    ? "player"
    : state.view;
const stageNow = () => state.clip.stages[state.stage];
const diskNow = () => stageNow().disk[state.frame];

// The address of the page identifies what is shown, so that it can be shared.
function stateToHash() {
  if (!state.row) return "";
  const values = [
    ["clip", state.row.link],
    ["stage", state.stage && String(state.stage)],
    ["frame", String(state.frame)],
    ["view", state.view === "player" ? "" : state.view],
  ];
  return `#${values
    .filter(([, value]) => value)
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join("&")}`;
}

function hashToState() {
  const values = new URLSearchParams(location.hash.slice(1));
  const name = values.get("clip");
  const row = name && (byLink.get(name) ?? rows.find((one) => one.id === name));
  const number = (key) => (values.has(key) ? Math.max(0, Math.floor(Number(values.get(key)) || 0)) : undefined);
  /** @type {ViewName[]} */
  const views = ["player", "compare", "overlay", "augmentations"];
  const view = views.find((one) => one === values.get("view")) ?? "player";
  return { row, name, where: { stage: number("stage") ?? 0, frame: number("frame"), view } };
}
