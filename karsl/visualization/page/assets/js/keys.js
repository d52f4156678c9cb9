// Keys, and the help that lists them.

const KEYS = [
  ["space", "play, pause", () => play()],
  ["ArrowRight", "one frame on", (event) => step(event.shiftKey ? 10 : 1)],
  ["ArrowLeft", "one frame back", (event) => step(event.shiftKey ? -10 : -1)],
  [
    ".",
    "one frame on",
    () => {
      update({ playing: false });
      step(1);
    },
  ],
  [
    ",",
    "one frame back",
    () => {
      update({ playing: false });
      step(-1);
    },
  ],
  ["ArrowDown", "next clip", () => moveInList(1)],
  ["ArrowUp", "clip before", () => moveInList(-1)],
  ["j", "next clip", () => moveInList(1)],
  ["k", "clip before", () => moveInList(-1)],
  ["]", "faster", () => changeSpeed(1)],
  ["[", "slower", () => changeSpeed(-1)],
  ["Home", "first frame", () => state.clip && update({ frame: 0 })],
  ["End", "last frame", () => state.clip && update({ frame: stageNow().frames - 1 })],
  ["p", "player", () => goToView("player")],
  ["c", "compare stages", () => goToView("compare")],
  ["o", "overlay", () => goToView("overlay")],
  ["d", "augmentations", () => goToView("augmentations")],
  ["z", "hands and face enlarged", () => update({ zoom: !state.zoom })],
  ["h", "tethers", () => update({ tethers: !state.tethers })],
  ["l", "legs", () => update({ legs: !state.legs })],
  ["f", "one frame for all stages", () => update({ shared: !state.shared })],
  ["s", "statistics, clips", () => goToTab(state.tab === "clips" ? "statistics" : "clips")],
  ["t", "light, dark", () => nextTheme()],
  [
    "/",
    "search",
    () => {
      byId("sidebar").classList.add("shown");
      openDrawer();
      byId("search").focus();
      byId("search").select();
    },
  ],
  ["?", "this help", () => byId("help").showModal()],
];

function goToView(view) {
  if (state.clip && VIEWS[view].usable(state.clip)) update({ view, tab: "clips" });
}

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const target = event.target;
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
  const keys = [...together].map(([what, names]) =>
    el(
      "tr",
      {},
      el(
        "td",
        {},
        names.map((name) => el("kbd", {}, name)),
      ),
      el("td", {}, what),
    ),
  );
  keys.push(
    el("tr", {}, el("td", {}, el("kbd", {}, "1"), "…", el("kbd", {}, "9")), el("td", {}, "stage")),
    el("tr", {}, el("td", {}, el("kbd", {}, "Shift"), el("kbd", {}, "→")), el("td", {}, "ten frames on")),
  );
  byId("help").append(
    el("h2", { id: "help-title" }, "Keys and marks"),
    el("table", { class: "keys" }, el("tbody", {}, keys)),
    el(
      "p",
      {},
      "Sides are the signer's: orange and R are the right, blue and L the left. A dashed tether ties each hand to the ",
      "wrist of its own arm. It is solid and red, with a ring, where the other arm's wrist is nearer.",
    ),
    el(
      "p",
      {},
      "“Own wrist” is the share of frames in which a hand's wrist is nearer to its own arm's wrist than to the other's. ",
      "Right data stays near 100 %; below 60 % a stage is flagged: a flip swapped the hands and not the arms, or a ",
      "detector took one hand for both. Frames in which the wrists are held together do not count.",
    ),
    el(
      "p",
      {},
      "Triangles below the timeline are the frames that a sampler took; the marks below each bar tell whether the group is ",
      "there in them. Red above a bar: the hand hangs on the other arm.",
    ),
    el("form", { method: "dialog" }, el("button", { class: "primary", autofocus: true }, "Close")),
  );
}
