// Panels: a title line and a canvas with one stage; the name of the keypoint near the pointer is shown.

/**
 * @param {{ title: string, stage?: Stage, choose?: () => void, area?: string, own?: boolean, remark?: string }} options
 * @returns {Panel}
 */
function makePanel({ title, stage = null, choose = null, area = "", own = false, remark = "" }) {
  const canvas = el("canvas", { role: "img" });
  const note = el("span", { class: "muted" });
  const name = choose
    ? button(title, "show this stage", choose, { class: "panel-title" })
    : el("span", { class: "panel-title" }, title);
  const unchanged =
    stage?.unchanged && el("span", { class: "tag", title: "this transform did not change the points" }, "no change");
  const tags = [
    unchanged,
    remark &&
      el(
        "span",
        {
          class: "tag",
          title: "its coordinates differ in scale or position from those of the first stage, so it is fitted separately",
        },
        remark,
      ),
    ownTag(stage),
  ];
  const node = el(
    "figure",
    { class: "panel", "data-area": area },
    el("figcaption", {}, name, own ? el("span", { class: "tags" }, tags) : null, el("span", { class: "spring" }), note),
    el("div", { class: "canvas-box" }, canvas),
  );
  const panel = { node, canvas, note, shown: null };
  canvas.addEventListener("pointermove", (event) => readPoint(panel, event));
  canvas.addEventListener("pointerleave", () => {
    byId("reading")?.remove();
  });
  return panel;
}

// Return the shares of frames with each hand on its own arm.
/** @type {(stage: Stage) => HTMLElement | null} */
function ownTag(stage) {
  const sides = Object.entries(stage?.own ?? {});
  if (!sides.length) return null;
  const text = sides.map(([side, [share]]) => `${side[0].toUpperCase()} ${percent(share)}`).join(" · ");
  const details = sides
    .map(([side, [share, count]]) => `${side} hand on its own arm in ${percent(share)} of ${pluralize(count, "frame")}`)
    .join("; ");
  const description = `Own wrist: ${details}`;
  return el(
    "span",
    { class: stage.wrong ? "tag bad" : "tag", title: description, "aria-label": description },
    stage.wrong ? "⚠ " : "",
    el("span", { class: "own" }, "own wrist "),
    text,
  );
}

// Paint a panel; `paintWith` returns what the pointer can read.
/** @type {(panel: Panel, paintWith: (pen: Pen, width: number, height: number) => Shown | void) => void} */
function paintPanel(panel, paintWith) {
  const [pen, width, height] = clearedPen(panel.canvas);
  if (width && height) panel.shown = paintWith(pen, width, height) || null;
}

/**
 * @param {Panel} panel
 * @param {Stage} stage
 * @param {number} t
 * @param {(width: number, height: number) => View} viewOf
 * @param {DrawOptions} options
 */
function paintStage(panel, stage, t, viewOf, options = {}) {
  paintPanel(panel, (pen, width, height) => {
    const view = viewOf(width, height);
    drawPicture(pen, stage, t, view);
    const seen = (options.group ? [options.group] : stage.skeleton.groups).some((group) => groupSeen(stage, t, group));
    if (!seen) drawText(pen, "not seen in this frame", [width / 2, height / 2], 13, "center", "middle");
    else drawFrame(pen, stage, t, view, options);
    return { stage, t, view, group: options.group };
  });
}

// Draw groups that were centered separately, each in its own field of one panel.
/** @type {(pen: Pen, stage: Stage, t: number, width: number, height: number, options?: DrawOptions) => void} */
function drawDetached(pen, stage, t, width, height, options = {}) {
  const groups = stage.skeleton.groups;
  const columns = Math.ceil(Math.sqrt(groups.length)),
    lines = Math.ceil(groups.length / columns);
  const w = width / columns,
    h = height / lines;
  groups.forEach((group, number) => {
    pen.save();
    pen.translate((number % columns) * w, Math.floor(number / columns) * h);
    pen.beginPath();
    pen.rect(0, 0, w, h);
    pen.clip();
    if (!options.ghost) drawText(pen, group.label, [7, 5], 11, "left", "top");
    drawFrame(pen, stage, t, fitted(boundsOf(stage, [group]), w, h, 14), { ...options, group });
    pen.restore();
  });
}

/** @type {(panel: Panel, event: PointerEvent) => void} */
function readPoint(panel, event) {
  byId("reading")?.remove();
  const found = panel.shown && nearestPoint(panel.shown, [event.offsetX, event.offsetY]);
  if (!found) return;
  const { stage, t } = panel.shown;
  const [x, y] = point(stage, t, found.v);
  const reading = el(
    "div",
    { id: "reading", class: "reading" },
    stage.skeleton.names[found.v],
    el("br"),
    `x ${x.toFixed(3)}  y ${y.toFixed(3)}`,
  );
  panel.canvas.parentElement.append(reading);
  reading.style.left = `${Math.min(found.at[0] + 12, panel.canvas.clientWidth - 150)}px`;
  reading.style.top = `${Math.max(found.at[1] - 44, 4)}px`;
}

/** @type {(shown: Shown, pointer: Point) => { v: number, at: Point } | null} */
function nearestPoint({ stage, t, view, group }, pointer) {
  /** @type {{ v: number, at: Point } | null} */
  let best = null;
  let reach = 10;
  for (let v = group ? group.at[0] : 0; v < (group ? group.at[1] : stage.skeleton.names.length); v++) {
    if (!isSeen(stage, t, v)) continue;
    const at = toPixels(view, point(stage, t, v));
    const away = distance(at, pointer);
    if (away < reach) {
      best = { v, at };
      reach = away;
    }
  }
  return best;
}
