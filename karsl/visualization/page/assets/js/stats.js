// Statistics of the clips in the list, after search and filters.

function paintStats() {
  const chosen = listed.rows;
  const parts = chosen.length
    ? [tiles(chosen), lengths(chosen), missingHands(chosen), bySigner(chosen), classes(chosen), wrists(chosen), source()]
    : [el("p", { class: "empty muted" }, "no clip matches the filters"), source()];
  byId("stats-view").replaceChildren(
    el("h2", {}, "Statistics"),
    el("p", { class: "muted" }, statsNote(chosen)),
    el("div", { class: "cards" }, parts),
  );
}

const statsNote = (chosen) =>
  chosen.length === rows.length
    ? `all ${pluralize(rows.length, "clip")}`
    : `${pluralize(chosen.length, "clip")} in the list, of ${rows.length.toLocaleString("en")}`;

function tiles(chosen) {
  const frames = chosen.map((row) => row.frames).filter(Boolean);
  const known = chosen.filter((row) => row.hands);
  const total = sum(frames, (count) => count);
  const none = missingShare(known, "any") ?? 0;
  const tile = (value, text) => el("div", { class: "tile" }, el("b", {}, value), el("span", { class: "muted" }, text));
  const wrong = chosen.filter((row) => row.wrong.length).length;
  return el(
    "div",
    { class: "tiles" },
    tile(chosen.length.toLocaleString("en"), "clips"),
    tile(distinct(chosen, (row) => row.sign ?? row.label).toLocaleString("en"), "signs"),
    tile(String(distinct(chosen, (row) => row.signer || null)), "signers"),
    frames.length ? tile(total.toLocaleString("en"), "frames") : null,
    frames.length ? tile(median(frames), "median frames per clip") : null,
    known.length && allRead(chosen) ? tile(percent(none), "of frames without a hand") : null,
    wrong ? wrongTile(wrong) : allRead(chosen) ? tile(0, "clips with hands on the wrong arms") : null,
  );
}

function wrongTile(count) {
  const list = () => {
    filters.wrong = true;
    if (byId("only-wrong")) byId("only-wrong").checked = true;
    refilter();
    openDrawer();
  };
  return el(
    "button",
    { type: "button", class: "tile bad", title: "list these clips", onclick: list },
    el("b", {}, `⚠ ${count}`),
    `${count === 1 ? "clip" : "clips"} with hands on the wrong arms`,
  );
}

// Return true if all clips were read: those of a server are read when opened.
const allRead = (chosen) => chosen.every((row) => row.seen || row.page !== null);

function lengths(chosen) {
  const frames = chosen.map((row) => row.frames).filter(Boolean);
  if (!frames.length) return card("Lengths", "not known");
  const low = Math.min(...new Set(frames)),
    high = Math.max(...new Set(frames));
  const width = Math.max(1, Math.ceil((high - low + 1) / 24));
  const bins = Array.from({ length: Math.ceil((high - low + 1) / width) }, (_, i) => ({
    from: low + i * width,
    to: low + (i + 1) * width - 1,
    count: 0,
  }));
  for (const value of frames) bins[Math.floor((value - low) / width)].count++;
  const label = (bin) => (width === 1 ? `${bin.from}` : `${bin.from}–${bin.to}`);
  /** @type {[label: string, count: number][]} */
  const counts = bins.map((bin) => [label(bin), bin.count]);
  return card("Lengths", `${span(low, high)} frames; median ${median(frames)}`, histogram(counts, "frames", "clips"));
}

function missingHands(chosen) {
  const known = chosen.filter((row) => row.hands);
  if (!known.length && !isServed) return card("Frames without a hand", "the skeleton has no hands");
  if (!allRead(chosen))
    return card(
      "Frames without a hand",
      `served clips are read when opened: ${known.length} of ${chosen.length.toLocaleString("en")} so far; ` +
        "--format html reads all clips",
    );
  /** @type {[label: string, count: number][]} */
  const bins = Array.from({ length: 10 }, (_, i) => [`${10 * i}–${10 * (i + 1)}%`, 0]);
  for (const row of known) bins[Math.min(9, Math.floor((1 - row.hands.any) * 10 + 1e-9))][1]++;
  return card(
    "Frames without a hand",
    "clips by the share of frames in which neither hand is seen",
    histogram(bins, "share of frames", "clips"),
  );
}

function bySigner(chosen) {
  const signers = [...new Set(chosen.map((row) => row.signer))].sort();
  const splits = [...new Set(chosen.map((row) => row.split))].sort();
  const head = ["signer", ...splits.map((split) => split || "clips"), "median frames", "no hand", "no right", "no left"];
  const line = (name, group) => {
    const counts = splits.map((split) => group.filter((row) => row.split === split).length.toLocaleString("en"));
    return lineOf(
      name || "–",
      counts.map((count) => numberCell(count)),
      numberCell(median(group.map((row) => row.frames)) || "–"),
      shareCell(missingShare(group, "any"), "ink"),
      shareCell(missingShare(group, "right"), "right"),
      shareCell(missingShare(group, "left"), "left"),
    );
  };
  const lines = signers.map((signer) =>
    line(
      signer,
      chosen.filter((row) => row.signer === signer),
    ),
  );
  if (signers.length > 1) lines.push(line("all", chosen));
  const about = "clips by split, and the share of frames in which hands are missing";
  return card("Signers", about, scrollable(tableOf(head, lines)));
}

function missingShare(group, side) {
  const known = group.filter((row) => row.hands && row.hands[side] !== undefined);
  if (!allRead(group)) return null;
  const frames = sum(known, (row) => row.frames);
  return frames ? sum(known, (row) => (1 - row.hands[side]) * row.frames) / frames : null;
}

// Return the number of clips per sign.
function classes(chosen) {
  const groups = new Map();
  for (const row of chosen) {
    const key = row.sign ?? row.label ?? "";
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  const sorted = [...groups.values()].sort((a, b) => (a[0].sign ?? a[0].label) - (b[0].sign ?? b[0].label));
  const max = Math.max(...sorted.map((group) => group.length));
  const lines = sorted.slice(0, 600).map((group) => {
    const title = group[0].en ? titleOf(group[0]) : signText(group[0]);
    return lineOf(
      button(title, "list these clips", () => listSign(group[0]), { class: "link" }),
      el("td", { lang: "ar", dir: "rtl" }, group[0].ar),
      numberCell(cellBar(svg("rect", { width: (60 * group.length) / max, height: 8, class: "bar-fill" })), group.length),
      numberCell(median(group.map((row) => row.frames)) || "–"),
      shareCell(missingShare(group, "any"), "ink"),
    );
  });
  const counts = sorted.map((group) => group.length);
  const table = tableOf(["sign", "", "clips", "median frames", "no hand"], lines);
  return card("Signs", `${span(Math.min(...counts), max)} clips per sign`, scrollable(table));
}

function listSign(row) {
  byId("search").value = filters.query = row.sign !== null ? signText(row) : row.en || row.id;
  refilter();
  openDrawer();
}

// Return the number of clips with hands on the wrong arms per stage.
/** @type {(chosen: Row[]) => HTMLElement} */
function wrists(chosen) {
  const found = new Map();
  for (const row of chosen) {
    const payload = data.clips[row.link];
    for (const stage of payload ? [...payload.stages, ...payload.augmentations] : []) {
      const shares = Object.values(stage.own).map(([share]) => share);
      if (!shares.length) continue;
      const counts = found.get(stage.name) ?? { clips: 0, wrong: 0, lowest: 1 };
      found.set(stage.name, {
        clips: counts.clips + 1,
        wrong: counts.wrong + (stage.wrong ? 1 : 0),
        lowest: Math.min(counts.lowest, ...shares),
      });
    }
  }
  if (!found.size) return flaggedStages(chosen);
  const lines = [...found].map(([name, { clips, wrong, lowest }]) => {
    const line = lineOf(`${wrong ? "⚠ " : ""}${name}`, numberCell(clips), numberCell(percent(lowest)), numberCell(wrong));
    line.classList.toggle("bad-line", wrong > 0);
    return line;
  });
  const about = "per stage: lowest share of frames with a hand on its own arm, and clips in which it is too low";
  return card("Own wrist", about, scrollable(tableOf(["stage", "clips", "lowest", "flagged"], lines)));
}

// Return the flags alone, for an index of many pages.
function flaggedStages(chosen) {
  const counts = new Map();
  for (const name of chosen.flatMap((row) => row.wrong)) counts.set(name, (counts.get(name) ?? 0) + 1);
  const lines = [...counts].map(([name, count]) =>
    el("tr", { class: "bad-line" }, el("th", { scope: "row" }, `⚠ ${name}`), numberCell(count)),
  );
  return lines.length
    ? card("Own wrist", "stages with hands on the wrong arms", scrollable(tableOf(["stage", "clips flagged"], lines)))
    : null;
}

function source() {
  const metadata = { ...data.metadata, "written by": `karsl ${data.version}` };
  const terms = Object.entries(metadata).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  return card("Source", "", el("dl", {}, terms));
}
