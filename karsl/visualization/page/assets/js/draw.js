// Drawing of one frame on a canvas.

// Draw a frame. Options: `group` draws only that group, `ghost` uses one faint color, `tethers` connects hands to arms,
// `size` scales lines and dots.
/** @type {(pen: Pen, stage: Stage, t: number, view: View, options?: DrawOptions) => void} */
function drawFrame(pen, stage, t, view, { group = null, ghost = false, tethers = false, size = 1, alpha = 1 } = {}) {
  pen.globalAlpha = alpha;
  const inGroup = (v) => !group || (v >= group.at[0] && v < group.at[1]);
  if (tethers && !group) drawTethers(pen, stage, t, view);
  for (const [start, end, role, width] of stage.skeleton.bones) {
    if (!inGroup(start) || !inGroup(end) || !isSeen(stage, t, start) || !isSeen(stage, t, end)) continue;
    pen.strokeStyle = ghost ? colors.muted : colors[role];
    pen.lineWidth = (role === "face" ? 0.9 : width * 1.25) * size;
    line(pen, toPixels(view, point(stage, t, start)), toPixels(view, point(stage, t, end)));
  }
  for (const [v, role] of stage.skeleton.dots) {
    if (!inGroup(v) || !isSeen(stage, t, v)) continue;
    pen.fillStyle = ghost ? colors.muted : colors[role];
    disc(pen, toPixels(view, point(stage, t, v)), dotSize(stage.skeleton, v, role) * Math.sqrt(size) * (ghost ? 0.7 : 1));
  }
  if (!ghost && !group) drawLetters(pen, stage, t, view);
  pen.globalAlpha = 1;
}

// Draw the frame of the video below the points, whose unit is its height.
/** @type {(pen: Pen, stage: Stage, t: number, view: View) => void} */
function drawPicture(pen, stage, t, view) {
  const picture = stage.pictures[t];
  if (!picture?.naturalHeight) return;
  const [left, top] = toPixels(view, [0, 0]);
  const [right, bottom] = toPixels(view, [picture.naturalWidth / picture.naturalHeight, 1]);
  pen.globalAlpha = 0.75;
  pen.drawImage(picture, left, top, right - left, bottom - top);
  pen.globalAlpha = 1;
}

// Return the radius of a dot: large for joints of arms, small for the many points of hands, face and feet.
/** @type {(skeleton: Skeleton, v: number, role: string) => number} */
function dotSize(skeleton, v, role) {
  return role === "right" || role === "left" ? 2.1 : /shoulder|elbow|(^|_)wrist|hip/.test(skeleton.names[v]) ? 3 : 1.7;
}

/** @type {(pen: Pen, from: Point, to: Point) => void} */
function line(pen, from, to) {
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

/** @type {(pen: Pen, center: Point, radius: number, paint?: "fill" | "stroke") => void} */
function disc(pen, [x, y], radius, paint = "fill") {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen[paint]();
}

// Draw a line from each hand to the wrist of its own arm. One that crosses the body shows a wrong flip.
/** @type {(pen: Pen, stage: Stage, t: number, view: View) => void} */
function drawTethers(pen, stage, t, view) {
  for (const [hand, arm, side] of stage.skeleton.tethers) {
    if (!isSeen(stage, t, hand) || !isSeen(stage, t, arm)) continue;
    const from = toPixels(view, point(stage, t, hand));
    const to = toPixels(view, point(stage, t, arm));
    const wrong = onWrongArm(stage, t, side);
    pen.strokeStyle = wrong ? colors.alert : colors[side];
    pen.lineWidth = wrong ? 2.5 : 1.5;
    pen.setLineDash(wrong ? [] : [4, 4]);
    line(pen, from, to);
    pen.setLineDash([]);
    if (wrong) disc(pen, to, 8, "stroke");
  }
}

// Draw a letter next to each hand, for readers who cannot distinguish the colors.
/** @type {(pen: Pen, stage: Stage, t: number, view: View) => void} */
function drawLetters(pen, stage, t, view) {
  pen.font = "700 12px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const group of stage.skeleton.groups) {
    const box = group.side && frameBox(stage, group, t);
    if (!box) continue;
    const [x0, y0] = toPixels(view, [box[0], box[1]]);
    const [x1, y1] = toPixels(view, [box[2], box[3]]);
    const x = (x0 + x1) / 2 < view.width / 2 ? x0 - 12 : x1 + 12,
      y = (y0 + y1) / 2; // away from the body
    pen.lineWidth = 4;
    pen.strokeStyle = colors.paper;
    pen.strokeText(group.side === "right" ? "R" : "L", x, y);
    pen.fillStyle = colors[group.role];
    pen.fillText(group.side === "right" ? "R" : "L", x, y);
  }
}

/** @type {(pen: Pen, text: string, at: Point, size: number, align: CanvasTextAlign, baseline: CanvasTextBaseline) => void} */
function drawText(pen, text, [x, y], size, align, baseline) {
  pen.font = `${size}px system-ui, sans-serif`;
  pen.textAlign = align;
  pen.textBaseline = baseline;
  pen.fillStyle = colors.muted;
  pen.fillText(text, x, y);
}

// Draw the paths of the hands' wrists through the clip, stronger up to the current frame.
/** @type {(pen: Pen, stage: Stage, t: number, view: View) => void} */
function drawPaths(pen, stage, t, view) {
  for (const group of stage.skeleton.groups.filter((one) => one.side)) {
    const tip = pathPoint(stage, group);
    pen.strokeStyle = pen.fillStyle = colors[group.role];
    for (let s = 1; s < stage.frames; s++) {
      if (!isSeen(stage, s - 1, tip) || !isSeen(stage, s, tip)) continue;
      pen.globalAlpha = s <= t ? 0.9 : 0.25;
      pen.lineWidth = s <= t ? 2 : 1.2;
      line(pen, toPixels(view, point(stage, s - 1, tip)), toPixels(view, point(stage, s, tip)));
    }
    pen.globalAlpha = 1;
    if (isSeen(stage, t, tip)) disc(pen, toPixels(view, point(stage, t, tip)), 5);
  }
}

// Return the bounds of the paths, at least a share of the body, so that a resting hand does not look like a movement.
/** @type {(stage: Stage) => Box} */
function pathBounds(stage) {
  const tips = stage.skeleton.groups.filter((one) => one.side).map((group) => pathPoint(stage, group));
  const [x0, y0, x1, y1] = unionBox(tips.map((tip) => groupBounds(stage, { at: [tip, tip + 1] })));
  const body = boundsOf(stage);
  const least = 0.45 * Math.max(body[2] - body[0], body[3] - body[1]);
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  const [w, h] = [Math.max(x1 - x0, least) / 2, Math.max(y1 - y0, least) / 2];
  return [x - w, y - h, x + w, y + h];
}

/** @type {(stage: Stage, group: Group) => number} */
const pathPoint = (stage, group) => Math.max(group.at[0], stage.skeleton.names.indexOf(`${group.side}_hand_wrist`));
