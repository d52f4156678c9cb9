// The clock and the controls.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];
const RATE = 25; // frames a second at speed 1
const controls = {};
let painting = 0;

function paintSoon() {
  painting ||= requestAnimationFrame(() => {
    painting = 0;
    paint();
  });
}

function paint() {
  if (!state.clip || state.tab !== "clips") return;
  shown.paint();
  paintTimeline(controls.timeline);
  const stage = stageNow();
  controls.range.max = stage.frames - 1;
  controls.range.value = state.frame;
  controls.range.setAttribute("aria-valuetext", `frame ${state.frame + 1} of ${stage.frames}`);
  controls.counter.textContent = `${state.frame + 1} / ${stage.frames}`;
}

let clock = { last: 0, owed: 0 };

function tick(now) {
  if (!state.playing) return;
  clock.owed += ((now - clock.last) / 1000) * RATE * state.speed;
  clock.last = now;
  const steps = Math.floor(clock.owed);
  clock.owed -= steps;
  if (steps && state.clip) step(steps % stageNow().frames || 1);
  requestAnimationFrame(tick);
}

function play(on = !state.playing) {
  if (on && !state.clip) return;
  clock = { last: performance.now(), owed: 0 };
  update({ playing: on });
  if (on) requestAnimationFrame(tick);
}

// Where the player may rest: every frame, or only those that the sampler took.
function restingFrames() {
  const stage = stageNow(),
    taken = state.clip.stages.find((one) => one.inds);
  if (!state.sampled || stage.inds || !taken) return null;
  return [...new Set([...taken.disk].map((disk) => frameAt(stage, disk)))].sort((a, b) => a - b);
}

function step(by) {
  if (!state.clip) return;
  const rests = restingFrames();
  if (!rests) {
    const count = stageNow().frames;
    update({ frame: (((state.frame + by) % count) + count) % count });
    return;
  }
  const at = by > 0 ? rests.findLastIndex((t) => t <= state.frame) : rests.findIndex((t) => t >= state.frame);
  update({ frame: rests[(((at + by) % rests.length) + rests.length) % rests.length] });
}

function changeSpeed(by) {
  const speed = SPEEDS[Math.min(Math.max(SPEEDS.indexOf(state.speed) + by, 0), SPEEDS.length - 1)];
  update({ speed });
  announce(`speed ${speed}`);
}

function buildControls() {
  controls.timeline = buildTimeline();
  controls.play = button("▶ Play", "play or pause (space)", () => play(), { class: "primary", id: "play" });
  controls.range = el("input", {
    type: "range",
    min: 0,
    max: 0,
    value: 0,
    "aria-label": "Frame",
    id: "scrubber",
    oninput: (event) => update({ frame: Number(event.target.value), playing: false }),
  });
  controls.counter = el("output", { class: "counter" });
  controls.speed = select(
    "Speed",
    SPEEDS.map((speed) => [speed, `× ${speed}`]),
    (value) => update({ speed: Number(value) }),
  );
  controls.speed.value = state.speed;
  const flag = (key, text, title) => (controls[key] = toggle(text, title, state[key], (on) => update({ [key]: on })));
  byId("controls").append(
    controls.play,
    button("◀", "one frame back (←)", () => step(-1), { "aria-label": "one frame back" }),
    button("▶", "one frame on (→)", () => step(1), { "aria-label": "one frame on" }),
    controls.range,
    controls.counter,
    controls.speed,
    flag("zoom", "Zoom", "hands and face enlarged (z)"),
    flag("tethers", "Tethers", "tie each hand to its own arm (h)"),
    flag("legs", "Legs", "fit the legs into the picture too (l)"),
    flag("shared", "One frame", "all stages in the same frame of coordinates, or each fitted to its own panel (f)"),
    flag("sampled", "Sampled only", "step through the frames that the sampler took"),
  );
}
