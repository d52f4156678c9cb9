// Keyboard shortcuts and the help that lists them.

/** @type {[key: string, description: string, act: (event: KeyInput) => void][]} */
const KEYS = [
  ["space", "play, pause", () => play()],
  ["ArrowRight", "next frame", (event) => step(event.shiftKey ? 10 : 1)],
  ["ArrowLeft", "previous frame", (event) => step(event.shiftKey ? -10 : -1)],
  [".", "next frame", () => pauseAndStep(1)],
  [",", "previous frame", () => pauseAndStep(-1)],
  ["ArrowDown", "next clip", () => moveInList(1)],
  ["ArrowUp", "previous clip", () => moveInList(-1)],
  ["j", "next clip", () => moveInList(1)],
  ["k", "previous clip", () => moveInList(-1)],
  ["]", "faster", () => changeSpeed(1)],
  ["[", "slower", () => changeSpeed(-1)],
  ["Home", "first frame", () => state.clip && update({ frame: 0 })],
  ["End", "last frame", () => state.clip && update({ frame: stageNow().frames - 1 })],
  ["p", "player", () => goToView("player")],
  ["c", "compare stages", () => goToView("compare")],
  ["o", "overlay", () => goToView("overlay")],
  ["d", "augmented views", () => goToView("augmentations")],
  ["z", "hands and face enlarged", () => update({ zoom: !state.zoom })],
  ["h", "tethers", () => update({ tethers: !state.tethers })],
  ["l", "legs", () => update({ legs: !state.legs })],
  ["f", "shared scale of all stages", () => update({ shared: !state.shared })],
  ["m", "mark, unmark", () => toggleMark()],
  ["s", "statistics, clips", () => goToTab(state.tab === "clips" ? "statistics" : "clips")],
  ["t", "light, dark", () => switchTheme()],
  ["/", "search", () => focusSearch()],
  ["?", "this help", () => byId("help").showModal()],
];

function pauseAndStep(by) {
  update({ playing: false });
  step(by);
}

function focusSearch() {
  openDrawer();
  byId("search").focus();
  byId("search").select();
}

function goToView(view) {
  if (state.clip && VIEWS[view].usable(state.clip)) update({ view, tab: "clips" });
}

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    if (event.key === "Escape" && target.id === "search") return byId("list").focus();
    if (target.id === "search" && (event.key === "Enter" || event.key === "ArrowDown")) return intoList(event);
    if (target.matches("input:not([type=range]):not([type=checkbox]), select, textarea")) return;
    if (target.matches("input[type=range]") && /^(Arrow|Home|End|Page)/.test(event.key)) return;
    if (event.key === " " && target.matches("button, a, input, summary")) return;
    if (event.key === "Enter" && target.id === "list" && state.row) openClip(state.row);
    const key = event.key === " " ? "space" : event.key;
    const act = KEYS.find(([name]) => name === key)?.[2] ?? (/^[1-9]$/.test(key) ? () => goToStage(Number(key) - 1) : null);
    if (!act) return;
    event.preventDefault();
    act(event);
  });
}

/** @param {Event} event */
function intoList(event) {
  event.preventDefault();
  byId("list").focus();
  if (listed.rows.length && !listed.rows.includes(state.row)) {
    if (isIndex) update({ row: listed.rows[0] });
    else openClip(listed.rows[0]);
  }
}

const SIGNS = { space: "Space", ArrowRight: "→", ArrowLeft: "←", ArrowDown: "↓", ArrowUp: "↑" };

function buildHelp() {
  const together = new Map();
  for (const [key, what] of KEYS) together.set(what, [...(together.get(what) ?? []), SIGNS[key] ?? key]);
  const kbd = (name) => el("kbd", {}, name);
  const line = (names, what) => el("tr", {}, el("td", {}, names), el("td", {}, what));
  const keys = [...together].map(([what, names]) => line(names.map(kbd), what));
  keys.push(line([kbd("1"), "…", kbd("9")], "stage"), line([kbd("Shift"), kbd("→")], "ten frames forward"));
  byId("help").append(
    el("h2", { id: "help-title" }, "Keys and marks"),
    el("table", { class: "keys" }, el("tbody", {}, keys)),
    el(
      "p",
      {},
      "Sides are the signer's: orange and R are right, blue and L are left. A dashed tether connects each hand to the ",
      "wrist of its own arm. It is solid and red, with a ring, if the wrist of the other arm is nearer.",
    ),
    el(
      "p",
      {},
      "“Own wrist” is the share of frames in which a hand's wrist is nearer to the wrist of its own arm than to that ",
      "of the other. Correct data is near 100%. A stage below 60% is flagged: a flip swapped the hands but not the arms, or a ",
      "detector found the same hand twice. Frames in which the wrists are close together do not count.",
    ),
    el(
      "p",
      {},
      "Triangles below the timeline are sampled frames; the marks below each bar show whether the group is present ",
      "in them. Red above a bar: the hand is at the other arm.",
    ),
    el(
      "p",
      {},
      "Marked clips are kept by this browser. Their names can be copied to a file, one per line, which datasets leave out ",
      "with filter_cfg=dict(exclude=file).",
    ),
    el("form", { method: "dialog" }, el("button", { class: "primary", autofocus: true }, "Close")),
  );
}
