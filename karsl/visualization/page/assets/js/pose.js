// Geometry: present points, their bounds, and how they are fitted to a panel.

/** @type {(stage: Stage, t: number, v: number) => boolean} */
function isSeen(stage, t, v) {
  return !Number.isNaN(stage.xy[2 * (t * stage.skeleton.names.length + v)]);
}

/** @type {(stage: Stage, t: number, v: number) => Point} */
function point(stage, t, v) {
  const i = 2 * (t * stage.skeleton.names.length + v);
  return [stage.xy[i], stage.xy[i + 1]];
}

/** @type {(stage: Stage, t: number, group: Group) => boolean} */
function groupSeen(stage, t, group) {
  for (let v = group.at[0]; v < group.at[1]; v++) if (isSeen(stage, t, v)) return true;
  return false;
}

/** @type {(a: Point, b: Point) => number} */
const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

// Return true if the hand of a side is nearer to the wrist of the other arm.
/** @type {(stage: Stage, t: number, side: Side) => boolean} */
function onWrongArm(stage, t, side) {
  const [own, other] = [true, false].map((same) => stage.skeleton.tethers.find((tie) => (tie[2] === side) === same));
  if (!own || !other || stage.detached || ![own[0], own[1], other[1]].every((v) => isSeen(stage, t, v))) return false;
  const hand = point(stage, t, own[0]);
  return distance(hand, point(stage, t, other[1])) < distance(hand, point(stage, t, own[1]));
}

// Return the frame of the middle half with the most groups; of equal ones, the nearest to the middle.
/** @type {(stage: Stage) => number} */
function bestFrame(stage) {
  const middle = (stage.frames - 1) / 2;
  let best = Math.round(middle),
    most = -1;
  for (let t = 0; t < stage.frames; t++) {
    if (Math.abs(t - middle) > stage.frames / 4) continue;
    const seen =
      stage.skeleton.groups.filter((group) => groupSeen(stage, t, group)).length - Math.abs(t - middle) / stage.frames;
    if (seen > most) {
      best = t;
      most = seen;
    }
  }
  return best;
}

// Return the range of values without outliers, or null without values.
/** @type {(values: number[]) => [number, number] | null} */
function range(values) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  const cut = sorted.length < 200 ? 0 : Math.floor(sorted.length * 0.005);
  return [sorted[cut], sorted[sorted.length - 1 - cut]];
}

// Return the bounds of groups over all frames. Outliers are found per group, so that large groups do not hide small ones.
/** @type {(stage: Stage, groups?: Group[]) => Box} */
function boundsOf(stage, groups = stage.skeleton.groups) {
  const key = `${state.legs}${groups.map((group) => group.name)}`;
  stage.bounds ??= {};
  return (stage.bounds[key] ??= unionBox(groups.map((group) => groupBounds(stage, group))));
}

// Legs are excluded unless requested: detectors guess them, and hands would be a few pixels.
const isLeg = (name) => /(^|_)(knee|ankle|heel|foot|toe)(_|$)/.test(name);
/** @param {Skeleton} skeleton */
const hasLegs = (skeleton) => (skeleton.legs ??= skeleton.names.map(isLeg)).includes(true);

/** @type {(stage: Stage, group: Pick<Group, "at">) => Box | null} */
function groupBounds(stage, group) {
  const x = [],
    y = [];
  const excluded = hasLegs(stage.skeleton) && !state.legs ? stage.skeleton.legs : [];
  for (let t = 0; t < stage.frames; t++) {
    for (let v = group.at[0]; v < group.at[1]; v++) {
      const [px, py] = point(stage, t, v);
      if (!excluded[v] && !Number.isNaN(px)) {
        x.push(px);
        y.push(py);
      }
    }
  }
  const [across, down] = [range(x), range(y)];
  return across && [across[0], down[0], across[1], down[1]];
}

/** @type {(boxes: (Box | null)[]) => Box} */
function unionBox(boxes) {
  const found = boxes.filter(Boolean);
  if (!found.length) return [0, 0, 1, 1];
  const edge = (i, pick) => pick(...found.map((box) => box[i]));
  return [edge(0, Math.min), edge(1, Math.min), edge(2, Math.max), edge(3, Math.max)];
}

// Group stages of similar scale and position, which share one box. Centering and scaling start a new group.
/** @type {(stages: Stage[]) => Map<Stage, { box: Box, number: number }>} */
function sharedBoxes(stages) {
  /** @type {{ first: Box, box: Box, stages: Stage[] }[]} */
  const frames = [];
  for (const stage of stages) {
    const box = boundsOf(stage);
    const frame = frames.find((one) => isNear(one.first, box));
    if (frame) {
      frame.stages.push(stage);
      frame.box = unionBox([frame.box, box]);
    } else frames.push({ first: box, box, stages: [stage] });
  }
  const found = new Map();
  frames.forEach((frame, number) => {
    for (const stage of frame.stages) found.set(stage, { box: frame.box, number });
  });
  return found;
}

/** @type {(a: Box, b: Box) => boolean} */
function isNear(a, b) {
  const size = ([x0, y0, x1, y1]) => Math.max(x1 - x0, y1 - y0) || 1;
  const ratio = size(a) / size(b);
  const away = Math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2;
  return ratio > 0.4 && ratio < 2.5 && away < 1.5 * Math.max(size(a), size(b));
}

// Fit a box to a panel.
/** @type {(box: Box, width: number, height: number, pad?: number) => View} */
function fitted([x0, y0, x1, y1], width, height, pad = 18) {
  const unit = Math.max((x1 - x0) / Math.max(width - 2 * pad, 10), (y1 - y0) / Math.max(height - 2 * pad, 10)) || 1;
  return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, unit, width, height };
}

/** @type {(view: View, point: Point) => Point} */
const toPixels = (view, [x, y]) => [(x - view.x) / view.unit + view.width / 2, (y - view.y) / view.unit + view.height / 2];

// Follow a group at one scale for the whole clip; the center is smoothed, so that the panel does not shake.
/** @type {(stage: Stage, group: Group, t: number, width: number, height: number) => View} */
function following(stage, group, t, width, height) {
  stage.follow ??= {};
  const path = (stage.follow[group.name] ??= followPath(stage, group));
  const view = fitted([0, 0, path.span[0], path.span[1]], width, height, 16);
  return { ...view, x: path.x[t], y: path.y[t] };
}

/** @type {(stage: Stage, group: Group) => { x: number[], y: number[], span: Point }} */
function followPath(stage, group) {
  const boxes = Array.from({ length: stage.frames }, (_, t) => frameBox(stage, group, t));
  const spans = boxes.filter(Boolean).map((box) => [box[2] - box[0], box[3] - box[1]]);
  const largest = (axis) => range(spans.map((span) => span[axis]))?.[1] ?? 1;
  const center = (axis) =>
    smooth(
      boxes.map((box) => (box ? (box[axis] + box[axis + 2]) / 2 : NaN)),
      0.3 * largest(axis),
    );
  return { x: center(0), y: center(1), span: [1.12 * largest(0), 1.12 * largest(1)] };
}

/** @type {(stage: Stage, group: Group, t: number) => Box | null} */
function frameBox(stage, group, t) {
  /** @type {Box} */
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let v = group.at[0]; v < group.at[1]; v++) {
    const [x, y] = point(stage, t, v);
    if (Number.isNaN(x)) continue;
    box[0] = Math.min(box[0], x);
    box[1] = Math.min(box[1], y);
    box[2] = Math.max(box[2], x);
    box[3] = Math.max(box[3], y);
  }
  return box[0] <= box[2] ? box : null;
}

// Average each value with its neighbors, but not across a jump.
/** @type {(values: number[], jump: number) => number[]} */
function smooth(values, jump) {
  return values.map((own, t) => {
    const near = values
      .slice(Math.max(0, t - 1), t + 2)
      .filter((value) => !Number.isNaN(value) && !(Math.abs(value - own) > jump));
    return near.length ? near.reduce((a, b) => a + b) / near.length : 0;
  });
}
