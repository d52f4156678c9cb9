// Clock and controls of the player.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];
const RATE = 25; // frames per second at speed 1
/** @type {Record<string, any>} */
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

let clock = { last: 0, frames: 0 };

function tick(now) {
  if (!state.playing) return;
  clock.frames += ((now - clock.last) / 1000) * RATE * state.speed;
  clock.last = now;
  const steps = Math.floor(clock.frames);
  clock.frames -= steps;
  if (steps && state.clip) step(steps % stageNow().frames || 1);
  requestAnimationFrame(tick);
}

function play(on = !state.playing) {
  if (on && !state.clip) return;
  clock = { last: performance.now(), frames: 0 };
  update({ playing: on });
  if (on) requestAnimationFrame(tick);
}

// Return the frames that the player shows, or null for all: only sampled ones if selected.
function playableFrames() {
  const stage = stageNow(),
    sampled = state.clip.stages.find((one) => one.inds);
  if (!state.sampled || stage.inds || !sampled) return null;
  return [...new Set([...sampled.disk].map((disk) => frameAt(stage, disk)))].sort((a, b) => a - b);
}

function step(by) {
  if (!state.clip) return;
  const frames = playableFrames();
  if (!frames) {
    const count = stageNow().frames;
    update({ frame: (((state.frame + by) % count) + count) % count });
    return;
  }
  const at = by > 0 ? frames.findLastIndex((t) => t <= state.frame) : frames.findIndex((t) => t >= state.frame);
  update({ frame: frames[(((at + by) % frames.length) + frames.length) % frames.length] });
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
    button("◀", "previous frame (←)", () => step(-1), { "aria-label": "previous frame" }),
    button("▶", "next frame (→)", () => step(1), { "aria-label": "next frame" }),
    controls.range,
    controls.counter,
    controls.speed,
    flag("zoom", "Zoom", "hands and face enlarged (z)"),
    flag("tethers", "Tethers", "connect each hand to its own arm (h)"),
    flag("legs", "Legs", "fit the legs into the panel too (l)"),
    flag("shared", "Shared scale", "all stages at the same scale and position, or each fitted to its own panel (f)"),
    flag("sampled", "Sampled only", "show sampled frames only"),
  );
}
