// Views of a clip: one stage enlarged, all stages, one over another, augmented views.

/** @type {Layout} */
let shown = { panels: [], paint: () => {} };

/** @type {Record<ViewName, ViewType>} */
const VIEWS = {
  player: { label: "Player", title: "one stage, hands and face enlarged (p)", build: playerView, usable: () => true },
  compare: {
    label: "Compare",
    title: "all stages side by side (c)",
    build: compareView,
    usable: (clip) => clip.stages.length > 1,
  },
  overlay: {
    label: "Overlay",
    title: "one stage over another (o)",
    build: overlayView,
    usable: (clip) => clip.stages.length > 1,
  },
  augmentations: {
    label: "Augmentations",
    title: "further augmented views (d)",
    build: augmentationsView,
    usable: (clip) => clip.augmentations.length > 0,
  },
};

function buildView() {
  shown = VIEWS[state.view].build(state.clip);
  const box = byId("panels");
  box.className = `panels ${state.view} ${shown.layout ?? ""}`;
  box.replaceChildren(...shown.panels.map((panel) => panel.node));
  resizes.disconnect();
  resizes.observe(box);
  for (const panel of shown.panels) resizes.observe(panel.canvas.parentElement);
  arrange();
}

const resizes = new ResizeObserver(() => {
  arrange();
  paintSoon();
});
const CAPTION = 58; // pixels of a panel's title and tags

// Select the number of columns that shows the common box of the panels largest.
function arrange() {
  const box = byId("panels"),
    count = shown.panels.length;
  const inFlow = getComputedStyle(box).flexGrow === "0"; // a narrow window scrolls
  if (!shown.frame || inFlow) {
    box.style.gridTemplateColumns = "";
    return;
  }
  const [across, down] = [shown.frame[2] - shown.frame[0], shown.frame[3] - shown.frame[1]];
  let best = Math.max(1, Math.min(count, Math.floor(box.clientWidth / 170))),
    largest = 0;
  for (let columns = 1; columns <= count; columns++) {
    const width = box.clientWidth / columns,
      height = box.clientHeight / Math.ceil(count / columns) - CAPTION;
    const scale = Math.min(width / across, height / down);
    if (scale > largest && (width >= 150 || columns === 1) && (height >= 120 || !largest)) {
      best = columns;
      largest = scale;
    }
  }
  box.style.gridTemplateColumns = `repeat(${best}, minmax(0, 1fr))`;
}

/** @type {(clip: Clip) => Layout} */
function playerView(clip) {
  const stage = stageNow(),
    groups = stage.skeleton.groups;
  /** @type {[Panel, (t: number) => void][]} */
  const parts = [];
  const name = `${state.stage} · ${stage.name}`;
  if (!stage.detached) {
    const body = makePanel({ title: name, stage, area: "body", own: true });
    parts.push([
      body,
      (t) => paintStage(body, stage, t, (w, h) => fitted(boundsOf(stage), w, h), { tethers: state.tethers, size: 1.3 }),
    ]);
  }
  const zoomed = stage.detached
    ? groups
    : groups.filter((group) => group.side || group.role === "face").sort((a, b) => zoomRank(a) - zoomRank(b));
  const few = groups.length === 1;
  if (stage.detached || (state.zoom && !few)) {
    for (const group of zoomed) {
      const panel = makePanel({ title: stage.detached ? `${name}: ${group.label}` : group.label, stage });
      parts.push([panel, (t) => paintGroup(panel, stage, group, t)]);
    }
    if (!stage.detached && groups.some((group) => group.side)) {
      const panel = makePanel({ title: "path of the wrists", area: "path" });
      panel.canvas.setAttribute("aria-label", "path of the hands' wrists through the clip");
      parts.push([
        panel,
        (t) =>
          paintPanel(panel, (pen, w, h) => {
            drawPathPanel(pen, stage, t, w, h);
          }),
      ]);
    }
  }
  const layout = stage.detached ? "detached" : parts.length > 1 ? "zoomed" : "alone";
  return {
    panels: parts.map(([panel]) => panel),
    layout,
    paint: () =>
      parts.forEach(([panel, paint], i) => {
        if (i === 0) describeFrame(panel, stage, state.frame);
        paint(state.frame);
      }),
  };
}

/** @type {(pen: Pen, stage: Stage, t: number, width: number, height: number) => void} */
function drawPathPanel(pen, stage, t, width, height) {
  stage.pathBox ??= pathBounds(stage);
  const view = fitted(stage.pathBox, width, height);
  drawFrame(pen, stage, t, view, { ghost: true, alpha: 0.22 });
  drawPaths(pen, stage, t, view);
}

/** @param {Group} group */
const zoomRank = (group) => ({ right: 0, left: 1 })[group.side] ?? 2;

/** @type {(panel: Panel, stage: Stage, group: Group, t: number) => void} */
function paintGroup(panel, stage, group, t) {
  panel.note.textContent = `seen ${percent(stage.seen[group.label] ?? 0)}`;
  const viewOf = (w, h) => (stage.detached ? fitted(boundsOf(stage, [group]), w, h) : following(stage, group, t, w, h));
  paintStage(panel, stage, t, viewOf, { group, size: 1.4 });
  label(panel, `${group.label} in frame ${t + 1}: ${groupSeen(stage, t, group) ? "seen" : "not seen"}`);
}

/** @type {(panel: Panel, stage: Stage, t: number) => void} */
function describeFrame(panel, stage, t) {
  const from = stage.inds ? ` ← ${Number(stage.disk[t] + 1).toFixed(1)}` : "";
  panel.note.textContent = `${state.view === "player" ? "frame " : ""}${t + 1}/${stage.frames}${from}`;
  panel.note.title = `frame ${t + 1} of ${stage.frames}${from && `, sampled from ${from.slice(3)} of the clip on disk`}`;
  const parts = stage.skeleton.groups.map((group) => `${group.label} ${groupSeen(stage, t, group) ? "seen" : "not seen"}`);
  label(panel, `${stage.name}, frame ${t + 1} of ${stage.frames}: ${parts.join(", ")}`);
}

// Set the label for screen readers, unless the player runs: not 25 times per second.
/** @type {(panel: Panel, text: string) => void} */
function label(panel, text) {
  if (!state.playing) panel.canvas.setAttribute("aria-label", text);
}

/** @type {(stages: Stage[], titles: string[], chosen: (number: number) => (() => void) | null) => Layout} */
function gridView(stages, titles, chosen) {
  const boxes = sharedBoxes(stages);
  const parts = stages.map((stage, number) => {
    const remark = stage.detached ? "groups detached" : boxes.get(stage).number ? "different scale" : "";
    const panel = makePanel({ title: titles[number], stage, own: true, choose: chosen(number), remark });
    const viewOf = (w, h) => fitted(state.shared ? boxes.get(stage).box : boundsOf(stage), w, h, 14);
    return { panel, stage, viewOf };
  });
  const paint = () => {
    for (const { panel, stage, viewOf } of parts) {
      const t = stage === stageNow() ? state.frame : frameAt(stage, diskNow());
      describeFrame(panel, stage, t);
      panel.node.classList.toggle("current", stage === stageNow());
      if (stage.detached)
        paintPanel(panel, (pen, w, h) => {
          drawDetached(pen, stage, t, w, h);
        });
      else paintStage(panel, stage, t, viewOf, { tethers: state.tethers });
    }
  };
  return { panels: parts.map(({ panel }) => panel), paint, frame: boxes.get(stages[0]).box };
}

/** @type {(clip: Clip) => Layout} */
function compareView(clip) {
  const choose = (number) => () => goToStage(number);
  return gridView(
    clip.stages,
    clip.stages.map((stage, k) => `${k} · ${stage.name}`),
    choose,
  );
}

/** @type {(clip: Clip) => Layout} */
function augmentationsView(clip) {
  const last = clip.stages.length - 1;
  const titles = [`${last} · ${clip.stages[last].name}`, ...clip.augmentations.map((stage) => stage.name)];
  return gridView([clip.stages[last], ...clip.augmentations], titles, (number) => (number ? null : () => goToStage(last)));
}

/** @type {(clip: Clip) => Layout} */
function overlayView(clip) {
  const below = clip.stages[state.base],
    above = stageNow();
  const boxes = sharedBoxes([below, above]);
  const remark = boxes.get(above).number ? "different scales, fitted separately" : "";
  const panel = makePanel({
    title: `${state.stage} · ${above.name} over ${state.base} · ${below.name}`,
    stage: above,
    own: true,
    remark,
  });
  const box = (stage) => (state.shared ? boxes.get(stage).box : boundsOf(stage));
  const paint = () => {
    describeFrame(panel, above, state.frame);
    paintPanel(panel, (pen, w, h) => {
      if (above.detached || below.detached) {
        drawDetached(pen, below, frameAt(below, diskNow()), w, h, { ghost: true, alpha: state.ghost });
        return drawDetached(pen, above, state.frame, w, h);
      }
      const view = fitted(box(above), w, h);
      drawFrame(pen, below, frameAt(below, diskNow()), fitted(box(below), w, h), {
        ghost: true,
        alpha: state.ghost,
        size: 1.2,
      });
      drawTrail(pen, above, view);
      drawFrame(pen, above, state.frame, view, { tethers: state.tethers, size: 1.3 });
      return { stage: above, t: state.frame, view };
    });
  };
  return { panels: [panel], paint, layout: "alone" };
}

// Draw frames before and after, fainter with distance.
/** @type {(pen: Pen, stage: Stage, view: View) => void} */
function drawTrail(pen, stage, view) {
  for (let away = state.trail; away > 0; away--) {
    for (const t of [state.frame - 2 * away, state.frame + 2 * away]) {
      if (t >= 0 && t < stage.frames) drawFrame(pen, stage, t, view, { alpha: 0.3 / away, size: 0.8 });
    }
  }
}

/** @param {number} number */
function goToStage(number) {
  if (!state.clip || number >= state.clip.stages.length) return;
  update({ stage: number, frame: frameAt(state.clip.stages[number], diskNow()) });
}
