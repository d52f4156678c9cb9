// The data of the page, what is being looked at, and who wants to know when that changes.

const data = JSON.parse(document.getElementById("data").textContent);
const isIndex = Boolean(data.pages?.names);
const isServed = data.server !== null;

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
const listeners = [];

function update(changes) {
  const changed = new Set(Object.keys(changes).filter((key) => state[key] !== changes[key]));
  Object.assign(state, changes);
  if (changed.size) for (const listener of listeners) listener(changed);
}

function onChange(keys, act) {
  listeners.push((changed) => keys.some((key) => changed.has(key)) && act());
}

// Columns to rows; see rows.py.
function rowsOf({ count, columns }) {
  const blank = {
    id: "",
    link: "",
    label: null,
    sign: null,
    en: "",
    ar: "",
    signer: "",
    split: "",
    category: "",
    frames: 0,
    seen: null,
    hands: null,
    wrong: [],
    page: null,
  };
  const rows = Array.from({ length: count }, (_, place) => ({ ...blank, place }));
  for (const [name, column] of Object.entries(columns)) {
    for (let i = 0; i < count; i++)
      rows[i][name] = (column.codes ? column.values[column.codes[i]] : column[i]) ?? blank[name];
  }
  return rows;
}

let rows = rowsOf(data.index);
let byLink = new Map(rows.map((row) => [row.link, row]));
const decoded = new Map(); // the clips looked at last, ready to draw
const KEPT = 24;

async function loadIndex() {
  if (!isServed) return;
  rows = rowsOf(await fetched("index.json"));
  byLink = new Map(rows.map((row) => [row.link, row]));
}

async function fetched(name) {
  const answer = await fetch(data.server.replace(/([^/])$/, "$1/") + name);
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({}));
  throw new Error(told.error || `the server answered ${answer.status} for ${name}`);
}

async function clipOf(row) {
  if (!decoded.has(row.link)) {
    const payload = isServed ? await fetched(`clips/${encodeURIComponent(row.link)}.json`) : data.clips[row.link];
    if (payload.row)
      Object.assign(row, {
        seen: payload.row.seen,
        hands: payload.row.hands,
        wrong: payload.row.wrong,
        frames: payload.row.frames,
      });
    decoded.set(row.link, await decodeClip(payload, { ...data.skeletons, ...payload.skeletons }));
    if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  }
  return decoded.get(row.link);
}

let asked = null; // the clip asked for last: a slower answer for another is dropped

async function openClip(row, where = {}) {
  if (isIndex) {
    location.href = `${encodeURIComponent(data.pages.names[row.page])}#clip=${encodeURIComponent(row.link)}`;
    return;
  }
  asked = row;
  document.body.classList.add("busy");
  try {
    const clip = await clipOf(row);
    if (asked !== row) return;
    const stage = Math.min(where.stage ?? state.stage, clip.stages.length - 1);
    const frame = Math.min(
      where.frame ?? (state.playing ? 0 : tellingFrame(clip.stages[stage])),
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
    if (asked === row) update({ row, clip: null, problem: `${row.id}: ${error.message}`, tab: "clips" });
  } finally {
    if (asked === row) document.body.classList.remove("busy");
  }
}

const usableView = (clip) =>
  (state.view === "augmentations" && !clip.augmentations.length) || (clip.stages.length === 1 && state.view !== "player")
    ? "player"
    : state.view;
const stageNow = () => state.clip.stages[state.stage];
const diskNow = () => stageNow().disk[state.frame];

// The address tells what is looked at, so that it can be sent to others.
function placeText() {
  if (!state.row) return "";
  const parts = [
    ["clip", state.row.link],
    ["stage", state.stage],
    ["frame", String(state.frame)],
    ["view", state.view === "player" ? "" : state.view],
  ];
  return `#${parts
    .filter(([, value]) => value)
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`)
    .join("&")}`;
}

function readPlace() {
  const told = new URLSearchParams(location.hash.slice(1));
  const name = told.get("clip");
  const row = name && (byLink.get(name) ?? rows.find((one) => one.id === name));
  const number = (key) => (told.has(key) ? Math.max(0, Math.floor(Number(told.get(key)) || 0)) : undefined);
  const view = ["player", "compare", "overlay", "augmentations"].find((one) => one === told.get("view")) ?? "player";
  return { row, name, where: { stage: number("stage") ?? 0, frame: number("frame"), view } };
}
