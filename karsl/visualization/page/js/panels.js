// A panel: a title line and a canvas that shows one stage; a pointer near a keypoint reads its name.

const byId = (id) => document.getElementById(id);

function makePanel({ title, stage = null, choose = null, area = "", own = false, remark = "" }) {
  const canvas = el("canvas", { role: "img" });
  const note = el("span", { class: "muted" });
  const name = choose
    ? button(title, "show this stage", choose, { class: "panel-title" })
    : el("span", { class: "panel-title" }, title);
  const unchanged =
    stage?.unchanged && el("span", { class: "tag", title: "this step left the points as they were" }, "no change");
  const tags = [
    unchanged,
    remark &&
      el(
        "span",
        {
          class: "tag",
          title: "its coordinates are of another size or place than the first stage's, so it has a frame of its own",
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

// How often each hand hangs on its own arm.
function ownTag(stage) {
  const sides = Object.entries(stage?.own ?? {});
  if (!sides.length) return null;
  const text = sides.map(([side, [share]]) => `${side[0].toUpperCase()} ${percent(share)}`).join(" · ");
  const told = sides
    .map(([side, [share, count]]) => `${side} hand on its own arm in ${percent(share)} of ${many(count, "frame")}`)
    .join("; ");
  return el(
    "span",
    { class: stage.wrong ? "tag bad" : "tag", title: `Own wrist: ${told}`, "aria-label": `Own wrist: ${told}` },
    stage.wrong ? "⚠ " : "",
    el("span", { class: "own" }, "own wrist "),
    text,
  );
}

// `paintWith(pen, width, height)` returns what a pointer can read: {stage, t, view, group}.
function paintPanel(panel, paintWith) {
  const [pen, width, height] = clearedPen(panel.canvas);
  if (width && height) panel.shown = paintWith(pen, width, height) ?? null;
}

function paintStage(panel, stage, t, viewOf, options = {}) {
  paintPanel(panel, (pen, width, height) => {
    const view = viewOf(width, height);
    const seen = (options.group ? [options.group] : stage.skeleton.groups).some((group) => groupSeen(stage, t, group));
    if (!seen) drawNote(pen, "not seen in this frame", width, height);
    else drawFrame(pen, stage, t, view, options);
    return { stage, t, view, group: options.group };
  });
}

// Groups that were centered by themselves: each in a field of its own, side by side in one panel.
function drawParted(pen, stage, t, width, height, options = {}) {
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
    if (!options.ghost) drawCorner(pen, group.label);
    drawFrame(pen, stage, t, fitted(boundsOf(stage, [group]), w, h, 14), { ...options, group });
    pen.restore();
  });
}

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

function nearestPoint({ stage, t, view, group }, pointer) {
  let best = null,
    reach = 10;
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
