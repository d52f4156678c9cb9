// The clock, the controls, and what stands above the panels.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];
const RATE = 25; // frames a second at speed 1
const controls = {};
let painting = 0;

function paintSoon() {
  painting ||= requestAnimationFrame(() => { painting = 0; paint(); });
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
  const stage = stageNow(), taken = state.clip.stages.find((one) => one.inds);
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
  controls.range = el("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Frame", id: "scrubber", oninput: (event) => update({ frame: Number(event.target.value), playing: false }) });
  controls.counter = el("output", { class: "counter" });
  controls.speed = select("Speed", SPEEDS.map((speed) => [speed, `× ${speed}`]), (value) => update({ speed: Number(value) }));
  controls.speed.value = state.speed;
  const flag = (key, text, title) => (controls[key] = toggle(text, title, state[key], (on) => update({ [key]: on })));
  byId("controls").append(
    controls.play, button("◀", "one frame back (←)", () => step(-1), { "aria-label": "one frame back" }), button("▶", "one frame on (→)", () => step(1), { "aria-label": "one frame on" }),
    controls.range, controls.counter, controls.speed,
    flag("zoom", "Zoom", "hands and face enlarged (z)"), flag("tethers", "Tethers", "tie each hand to its own arm (h)"),
    flag("legs", "Legs", "fit the legs into the picture too (l)"), flag("shared", "One frame", "all stages in the same frame of coordinates, or each fitted to its own panel (f)"),
    flag("sampled", "Sampled only", "step through the frames that the sampler took"));
}

function paintHead() {
  const { row, clip, problem } = state;
  if (!row) return;
  byId("clip-title").textContent = titleOf(row);
  byId("clip-arabic").textContent = row.ar;
  const link = el("a", { href: placeText(), id: "clip-link", title: "a stable link to this clip and frame; a click copies it", onclick: copyLink }, "link");
  const seen = Object.entries(row.seen ?? {}).filter(([name, share]) => /hand/.test(name) || share < 1).map(([name, share]) => `${name} ${percent(share)}`);
  const facts = [row.signer && `signer ${row.signer}`, row.split, row.chapter, clip && many(clip.total, "frame"), ...seen, row.id];
  const text = facts.filter(Boolean).join(" · ");
  byId("clip-facts").replaceChildren(el("span", { class: "cut", title: text }, text), link);
  const wrong = clip ? [...clip.stages, ...clip.draws].filter((stage) => stage.wrong) : [];
  const warning = byId("warning");
  warning.hidden = !wrong.length && !problem;
  warning.textContent = problem || warningText(clip, wrong);
}

function warningText(clip, wrong) {
  if (!wrong.length) return "";
  const first = wrong[0], at = clip.stages.indexOf(first);
  const since = at > 0 && !clip.stages[at - 1].wrong ? ` since ${first.name}` : ` in ${first.name}`;
  const shares = Object.entries(first.own).map(([side, [share]]) => `${side} ${percent(share)}`).join(", ");
  const flip = "A flip that swaps the hands but not the arms looks like this.";
  const doubled = "Only one side is wrong, which looks like a detector that took one hand for both.";
  return `⚠ Hands hang on the wrong arms${since}: share of frames with the hand on its own wrist: ${shares}. ${Object.values(first.own).every(([share]) => share < 0.6) ? flip : doubled}`;
}

function copyLink(event) {
  event.preventDefault();
  const link = location.href.replace(/#.*$/, "") + placeText();
  navigator.clipboard?.writeText(link).then(() => toast("link copied"), () => toast(link)) ?? toast(link);
}

function paintToolbar() {
  const clip = state.clip;
  const views = Object.entries(VIEWS).filter(([, view]) => view.usable(clip)).map(([key, view]) => [key, view.label, view.title]);
  const parts = views.length > 1 ? [segmented("View", views, state.view, (view) => update({ view }))] : [];
  if (clip.stages.length > 1) parts.push(stageChips(clip));
  if (state.view === "overlay") parts.push(overlayOptions(clip));
  byId("toolbar").replaceChildren(...parts);
  controls.zoom.hidden = state.view !== "player" || stageNow().floats;
  controls.legs.hidden = !hasLegs(stageNow().skeleton);
  controls.shared.hidden = state.view === "player";
  controls.sampled.hidden = !clip.stages.some((stage) => stage.inds);
}

function stageChips(clip) {
  const chips = clip.stages.map((stage, number) => {
    const about = [stage.wrong && "hands on the wrong arms", stage.unchanged && "changes nothing", stage.note, `key ${number + 1}`].filter(Boolean).join("; ");
    return button(`${stage.wrong ? "⚠ " : ""}${number} · ${stage.name}`, about, () => goToStage(number), { "aria-pressed": String(number === state.stage), class: `chip ${stage.wrong ? "bad" : ""} ${stage.unchanged ? "same" : ""}` });
  });
  return el("div", { class: "chips", role: "group", "aria-label": "Stage" }, chips);
}

function overlayOptions(clip) {
  const base = select("Stage below", clip.stages.map((stage, number) => [number, `below: ${number} · ${stage.name}`]), (value) => update({ base: Number(value) }));
  base.value = state.base;
  const ghost = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: state.ghost, "aria-label": "Strength of the stage below", oninput: (event) => update({ ghost: Number(event.target.value) }) });
  const trail = select("Neighbouring frames", [[0, "no trail"], [1, "trail ±2"], [2, "trail ±4"], [4, "trail ±8"]], (value) => update({ trail: Number(value) }));
  trail.value = state.trail;
  return el("div", { class: "options" }, base, ghost, trail);
}

function paintLegend() {
  const stage = stageNow();
  const key = (mark, text) => el("span", {}, el("i", { class: `key ${mark}`, "aria-hidden": "true" }), text);
  byId("legend").replaceChildren(
    ...stage.skeleton.groups.map((group) => key(`key-${group.role}`, group.label)), key("key-missing", "not seen"),
    stage.skeleton.tethers.length && !stage.floats ? key("key-tether", "hand to its own wrist") : "",
    stage.floats ? "parts were centred by themselves: each has a panel of its own" : "");
}

function toast(text) {
  const box = byId("toast");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(box.timer);
  box.timer = setTimeout(() => { box.hidden = true; }, 2500);
}

function announce(text) {
  byId("announcer").textContent = text;
}
