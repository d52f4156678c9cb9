// Around the panels: title, metadata, warning, selection of view and stage, legend, short messages.

function paintHead() {
  const { row, clip, problem } = state;
  if (!row) return;
  byId("clip-title").textContent = titleOf(row);
  byId("clip-arabic").textContent = row.ar;
  const link = el(
    "a",
    {
      href: stateToHash(),
      id: "clip-link",
      title: "link to this clip and frame; click to copy",
      onclick: copyLink,
    },
    "link",
  );
  const seen = Object.entries(row.seen ?? {})
    .filter(([name, share]) => /hand/.test(name) || share < 1)
    .map(([name, share]) => `${name} ${percent(share)}`);
  const metadata = [
    row.signer && `signer ${row.signer}`,
    row.split,
    row.category,
    clip && pluralize(clip.total, "frame"),
    ...seen,
    row.id,
  ];
  const text = metadata.filter(Boolean).join(" · ");
  const isMarked = marked.has(row.id);
  const mark = button(isMarked ? "★ marked" : "☆ mark", "mark this clip (m)", toggleMark, {
    class: "link",
    "aria-pressed": String(isMarked),
  });
  byId("clip-metadata").replaceChildren(el("span", { class: "cut", title: text }, text), mark, link);
  const wrong = clip ? [...clip.stages, ...clip.augmentations].filter((stage) => stage.wrong) : [];
  const warning = byId("warning");
  warning.hidden = !wrong.length && !problem;
  warning.textContent = problem || warningText(clip, wrong);
}

/** @type {(clip: Clip, wrong: Stage[]) => string} */
function warningText(clip, wrong) {
  if (!wrong.length) return "";
  const first = wrong[0],
    at = clip.stages.indexOf(first);
  const since = at > 0 && !clip.stages[at - 1].wrong ? ` since ${first.name}` : ` in ${first.name}`;
  const shares = Object.entries(first.own)
    .map(([side, [share]]) => `${side} ${percent(share)}`)
    .join(", ");
  const flip = "Possibly a flip swapped the hands but not the arms.";
  const doubled = "Only one side is wrong: possibly a detector found the same hand twice.";
  const both = Object.values(first.own).every(([share]) => share < 0.6);
  const figure = `share of frames with the hand at the wrist of its own arm: ${shares}`;
  return `⚠ Hands on the wrong arms${since}: ${figure}. ${both ? flip : doubled}`;
}

/** @param {Event} event */
function copyLink(event) {
  event.preventDefault();
  const link = location.href.replace(/#.*$/, "") + stateToHash();
  navigator.clipboard?.writeText(link).then(
    () => toast("link copied"),
    () => toast(link),
  ) ?? toast(link);
}

function paintToolbar() {
  const clip = state.clip;
  const views = Object.entries(VIEWS)
    .filter(([, view]) => view.usable(clip))
    .map(([key, view]) => [key, view.label, view.title]);
  const parts = views.length > 1 ? [segmented("View", views, state.view, (view) => update({ view }))] : [];
  if (clip.stages.length > 1) parts.push(stageChips(clip));
  if (state.view === "overlay") parts.push(overlayOptions(clip));
  byId("toolbar").replaceChildren(...parts);
  controls.zoom.hidden = state.view !== "player" || stageNow().detached;
  controls.legs.hidden = !hasLegs(stageNow().skeleton);
  controls.shared.hidden = state.view === "player";
  controls.sampled.hidden = !clip.stages.some((stage) => stage.inds);
}

/** @param {Clip} clip */
function stageChips(clip) {
  const chips = clip.stages.map((stage, number) => {
    const title = [stage.wrong && "hands on the wrong arms", stage.unchanged && "no change", `key ${number + 1}`]
      .filter(Boolean)
      .join("; ");
    return button(`${stage.wrong ? "⚠ " : ""}${number} · ${stage.name}`, title, () => goToStage(number), {
      "aria-pressed": String(number === state.stage),
      class: `chip ${stage.wrong ? "bad" : ""} ${stage.unchanged ? "same" : ""}`,
    });
  });
  return el("div", { class: "chips", role: "group", "aria-label": "Stage" }, chips);
}

/** @param {Clip} clip */
function overlayOptions(clip) {
  const base = select(
    "Stage below",
    clip.stages.map((stage, number) => [number, `below: ${number} · ${stage.name}`]),
    (value) => update({ base: Number(value) }),
  );
  base.value = String(state.base);
  const ghost = el("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.05,
    value: state.ghost,
    "aria-label": "Strength of the stage below",
    oninput: (event) => update({ ghost: Number(event.target.value) }),
  });
  const trail = select(
    "Neighboring frames",
    [
      [0, "no trail"],
      [1, "trail ±2"],
      [2, "trail ±4"],
      [4, "trail ±8"],
    ],
    (value) => update({ trail: Number(value) }),
  );
  trail.value = String(state.trail);
  return el("div", { class: "options" }, base, ghost, trail);
}

function paintLegend() {
  const stage = stageNow();
  const key = (mark, text) => el("span", {}, el("i", { class: `key ${mark}`, "aria-hidden": "true" }), text);
  byId("legend").replaceChildren(
    ...stage.skeleton.groups.map((group) => key(`key-${group.role}`, group.label)),
    key("key-missing", "not seen"),
    stage.skeleton.tethers.length && !stage.detached ? key("key-tether", "hand to its own wrist") : "",
    stage.detached ? "groups were centered separately: each has its own panel" : "",
  );
}

let toastTimer = 0;

/** @param {string} text */
function toast(text) {
  const box = byId("toast");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    box.hidden = true;
  }, 2500);
}

/** @param {string} text */
function announce(text) {
  byId("announcer").textContent = text;
}
