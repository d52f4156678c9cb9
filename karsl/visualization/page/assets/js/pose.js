// Places: what is seen in a frame, what bounds it, and how it is fitted to a panel.

function isSeen(stage, t, v) {
  return !Number.isNaN(stage.xy[2 * (t * stage.skeleton.names.length + v)]);
}

function point(stage, t, v) {
  const i = 2 * (t * stage.skeleton.names.length + v);
  return [stage.xy[i], stage.xy[i + 1]];
}

function groupSeen(stage, t, group) {
  for (let v = group.at[0]; v < group.at[1]; v++) if (isSeen(stage, t, v)) return true;
  return false;
}

const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

// Whether the hand of a side is nearer to the wrist of the other arm.
function onWrongArm(stage, t, side) {
  const [own, other] = [true, false].map((same) => stage.skeleton.tethers.find((tie) => (tie[2] === side) === same));
  if (!own || !other || stage.detached || ![own[0], own[1], other[1]].every((v) => isSeen(stage, t, v))) return false;
  const hand = point(stage, t, own[0]);
  return distance(hand, point(stage, t, other[1])) < distance(hand, point(stage, t, own[1]));
}

// Where a clip is shown first: of the middle half the frame in which most groups are seen, the nearest to the middle.
function tellingFrame(stage) {
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

// Of many values, the range without strays.
function range(values) {
  if (!values.length) return null;
  const sorted = Float64Array.from(values).sort();
  const cut = sorted.length < 200 ? 0 : Math.floor(sorted.length * 0.005);
  return [sorted[cut], sorted[sorted.length - 1 - cut]];
}

// [x0, y0, x1, y1] of groups over all frames; each group by itself, so that many points of one make no strays of another's.
function boundsOf(stage, groups = stage.skeleton.groups) {
  const key = `${state.legs}${groups.map((group) => group.name)}`;
  stage.bounds ??= {};
  return (stage.bounds[key] ??= joined(groups.map((group) => groupBounds(stage, group))));
}

// Signs are made above the hips: what a detector guesses below them does not make the picture small, unless one asks.
const isLeg = (name) => /(^|_)(knee|ankle|heel|foot|toe)(_|$)/.test(name);
const hasLegs = (skeleton) => (skeleton.legs ??= skeleton.names.map(isLeg)).includes(true);

function groupBounds(stage, group) {
  const x = [],
    y = [];
  const left = hasLegs(stage.skeleton) && !state.legs ? stage.skeleton.legs : [];
  for (let t = 0; t < stage.frames; t++) {
    for (let v = group.at[0]; v < group.at[1]; v++) {
      const [px, py] = point(stage, t, v);
      if (!left[v] && !Number.isNaN(px)) {
        x.push(px);
        y.push(py);
      }
    }
  }
  const [across, down] = [range(x), range(y)];
  return across && [across[0], down[0], across[1], down[1]];
}

function joined(boxes) {
  const found = boxes.filter(Boolean);
  if (!found.length) return [0, 0, 1, 1];
  return [0, 1, 2, 3].map((i) => (i < 2 ? Math.min : Math.max)(...found.map((box) => box[i])));
}

// Stages that can share one frame of coordinates: of about the same size and place. Centring and scaling begin a new one.
function framesOf(stages) {
  const frames = [];
  for (const stage of stages) {
    const box = boundsOf(stage);
    const frame = frames.find((one) => isNear(one.first, box));
    if (frame) {
      frame.stages.push(stage);
      frame.box = joined([frame.box, box]);
    } else frames.push({ first: box, box, stages: [stage] });
  }
  return new Map(frames.flatMap((frame, number) => frame.stages.map((stage) => [stage, { box: frame.box, number }])));
}

function isNear(a, b) {
  const size = ([x0, y0, x1, y1]) => Math.max(x1 - x0, y1 - y0) || 1;
  const ratio = size(a) / size(b);
  const away = Math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2;
  return ratio > 0.4 && ratio < 2.5 && away < 1.5 * Math.max(size(a), size(b));
}

// A view is a centre and how many units of the clip fill one pixel; the same across and down.
function fitted([x0, y0, x1, y1], width, height, pad = 18) {
  const unit = Math.max((x1 - x0) / Math.max(width - 2 * pad, 10), (y1 - y0) / Math.max(height - 2 * pad, 10)) || 1;
  return { x: (x0 + x1) / 2, y: (y0 + y1) / 2, unit, width, height };
}

const toPixels = (view, [x, y]) => [(x - view.x) / view.unit + view.width / 2, (y - view.y) / view.unit + view.height / 2];

// Follows a group at one scale for the whole clip; the centre is smoothed, so that the panel does not shake.
function following(stage, group, t, width, height) {
  stage.follow ??= {};
  const path = (stage.follow[group.name] ??= followPath(stage, group));
  const view = fitted([0, 0, path.span[0], path.span[1]], width, height, 16);
  return { ...view, x: path.x[t], y: path.y[t] };
}

function followPath(stage, group) {
  const boxes = Array.from({ length: stage.frames }, (_, t) => frameBox(stage, group, t));
  const spans = boxes.filter(Boolean).map((box) => [box[2] - box[0], box[3] - box[1]]);
  const largest = (axis) => range(spans.map((span) => span[axis]))?.[1] ?? 1;
  const centre = (axis) =>
    smooth(
      boxes.map((box) => (box ? (box[axis] + box[axis + 2]) / 2 : NaN)),
      0.3 * largest(axis),
    );
  return { x: centre(0), y: centre(1), span: [1.12 * largest(0), 1.12 * largest(1)] };
}

function frameBox(stage, group, t) {
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

// The mean with the frames before and after, but not across a jump.
function smooth(values, jump) {
  return values.map((own, t) => {
    const near = values
      .slice(Math.max(0, t - 1), t + 2)
      .filter((value) => !Number.isNaN(value) && !(Math.abs(value - own) > jump));
    return near.length ? near.reduce((a, b) => a + b) / near.length : 0;
  });
}
