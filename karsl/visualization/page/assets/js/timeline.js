// Timeline below the panels: presence of each group over the frames on disk, sampled frames, current frame.

const [BAR, GAP, STRIP, LABEL, TICKS] = [11, 5, 4, 88, 18]; // pixels

function buildTimeline() {
  const canvas = el("canvas", { "aria-hidden": "true" });
  byId("timeline").append(canvas);
  const seek = (event) => {
    if (!state.clip || event.buttons !== 1) return;
    const raw = (event.offsetX - LABEL) / (canvas.clientWidth - LABEL - 8);
    const frame = frameAt(stageNow(), Math.floor(Math.min(Math.max(raw, 0), 0.9999) * state.clip.total));
    update({ frame, playing: false });
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    seek(event);
  });
  canvas.addEventListener("pointermove", seek);
  return canvas;
}

// Return the stage whose sampled frames are marked: the current one, or the first sampled one.
/** @type {(clip: Clip) => Stage | null} */
const sampledStage = (clip) => (stageNow().inds ? stageNow() : (clip.stages.find((stage) => stage.inds) ?? null));

/** @param {HTMLCanvasElement} canvas */
function paintTimeline(canvas) {
  const clip = state.clip,
    raw = clip.stages[0],
    sampled = sampledStage(clip);
  const groups = raw.skeleton.groups;
  const row = BAR + GAP + (sampled ? STRIP : 0);
  byId("timeline").style.height = `${8 + groups.length * row + (sampled ? TICKS : 0) + 4}px`;
  const [pen, width] = clearedPen(canvas);
  const span = width - LABEL - 8;
  const x = (disk) => LABEL + (span * Math.min(Math.max(disk + 0.5, 0), clip.total)) / clip.total;
  groups.forEach((group, number) => paintBar(pen, raw, group, 8 + number * row, span, sampled, x));
  const top = 8 + groups.length * row;
  if (sampled) paintTicks(pen, sampled, x, top);
  const here = x(diskNow());
  pen.strokeStyle = pen.fillStyle = colors.accent;
  pen.lineWidth = 2;
  line(pen, [here, 2], [here, top + (sampled ? TICKS : 0)]);
  disc(pen, [here, 4], 4);
}

/**
 * @param {Pen} pen
 * @param {Stage} raw
 * @param {Group} group
 * @param {number} top
 * @param {number} span
 * @param {Stage | null} sampled
 * @param {(disk: number) => number} x
 */
function paintBar(pen, raw, group, top, span, sampled, x) {
  drawText(pen, group.label, [8, top + BAR / 2], 12, "left", "middle");
  pen.fillStyle = colors.missing;
  pen.fillRect(LABEL, top, span, BAR);
  pen.fillStyle = colors[group.role];
  const step = span / raw.frames;
  for (let t = 0; t < raw.frames; t++) {
    if (groupSeen(raw, t, group)) pen.fillRect(LABEL + t * step, top, step + (step > 6 ? -0.75 : 0.3), BAR);
  }
  paintWrongArms(pen, group, top, x, span);
  const same = sampled?.skeleton.groups.find((one) => one.name === group.name);
  if (!same) return;
  for (let t = 0; t < sampled.frames; t++) {
    pen.fillStyle = groupSeen(sampled, t, same) ? colors[group.role] : colors.missing;
    pen.fillRect(x(sampled.disk[t]) - 1.5, top + BAR + 1, 3, STRIP);
  }
}

// Mark the frames of the current stage in which a hand is at the other arm, above its bar.
/** @type {(pen: Pen, group: Group, top: number, x: (disk: number) => number, span: number) => void} */
function paintWrongArms(pen, group, top, x, span) {
  const stage = stageNow();
  if (!group.side || stage.detached) return;
  pen.fillStyle = colors.alert;
  const width = Math.max(span / Math.max(stage.frames, 1), 3);
  for (let t = 0; t < stage.frames; t++) {
    if (onWrongArm(stage, t, group.side)) pen.fillRect(x(stage.disk[t]) - width / 2, top - 3, width, 3);
  }
}

/** @type {(pen: Pen, stage: Stage, x: (disk: number) => number, top: number) => void} */
function paintTicks(pen, stage, x, top) {
  drawText(pen, "sampled", [8, top + TICKS / 2], 12, "left", "middle");
  for (let t = 0; t < stage.frames; t++) {
    const now = stage === stageNow() && t === state.frame;
    const at = x(stage.disk[t]);
    pen.fillStyle = now ? colors.accent : colors.ink;
    pen.beginPath();
    pen.moveTo(at, top + 2);
    pen.lineTo(at - 4, top + 13);
    pen.lineTo(at + 4, top + 13);
    pen.fill();
  }
}
