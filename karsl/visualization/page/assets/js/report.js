// The page of `karsl report`: tiles, confusion matrix with the clips of a cell, tables.

/** @type {ReportData} */
const content = JSON.parse(document.getElementById("data").textContent);
const MAX_CLIPS = 500;

let model = content.models[0];
let orderName = "class";

/** @param {number} value */
const points = (value) => (100 * value).toFixed(1);
/** @param {Estimate} estimate */
const estimateText = ({ value, low, high }) => `${points(value)} [${points(low)}, ${points(high)}]`;

function classRows() {
  return model.report.classes.map((row) => ({ ...row, en: row.name, ar: row.arabic, id: "", link: "" }));
}

const METRICS = { top1: "top-1", top5: "top-5", mean1: "mean of the classes" };

function paintTiles() {
  const { metrics, calibration, macro } = model.report;
  const tile = (value, name, more) => el("div", { class: "tile" }, el("b", {}, value), name, el("small", {}, more));
  const tiles = Object.entries(metrics).map(([name, estimate]) =>
    tile(`${points(estimate.value)} %`, METRICS[name] ?? name, `95 %: ${points(estimate.low)} to ${points(estimate.high)}`),
  );
  tiles.push(
    tile(`${points(macro.f1)} %`, "macro F1", `precision ${points(macro.precision)}, recall ${points(macro.recall)}`),
  );
  if (calibration) tiles.push(tile(`${points(calibration.ece)} %`, "calibration error (ECE)", "0 is best"));
  byId("tiles").replaceChildren(...tiles);
}

// ---- the selected cell ----

/** @param {number[]} cell */
function describeCell([row, column]) {
  const [label, guess] = [matrix.order[row], matrix.order[column]];
  const [count, support] = [cellCount(row, column), matrix.support[label]];
  const name = (at) => [
    el("b", {}, classTitle(matrix.classes[at])),
    " ",
    el("span", { lang: "ar", dir: "rtl" }, matrix.classes[at].ar),
  ];
  const share = support ? ` of ${support} (${percent(count / support)})` : "";
  const text = label === guess ? [name(label), " recognized: "] : [name(label), " classified as ", name(guess), ": "];
  byId("cell").replaceChildren(...text.flat(), `${pluralize(count, "clip")}${share}`);
  const [first, second] = [label, guess].map((at) => `${classTitle(matrix.classes[at])} ${matrix.classes[at].ar}`);
  byId("matrix").setAttribute(
    "aria-label",
    `confusion matrix: true ${first}, predicted ${second}: ${pluralize(count, "clip")}`,
  );
}

/** @param {number[]} cell */
function listClips([row, column]) {
  const [label, guess] = [matrix.order[row], matrix.order[column]];
  const { id, link, signer, confidence } = model.clips;
  const found = model.clips.label.flatMap((own, clip) =>
    own === label && model.clips.predicted[clip] === guess ? [clip] : [],
  );
  const lines = found.slice(0, MAX_CLIPS).map((clip) => {
    const address = clipAddress(link[clip] ?? id[clip]);
    const about = [signer[clip] && `signer ${signer[clip]}`, `score ${confidence[clip].toFixed(2)}`]
      .filter(Boolean)
      .join(", ");
    const name = address
      ? el("a", { href: address, target: "karsl-clip", rel: "noopener" }, id[clip])
      : el("span", {}, id[clip]);
    return el("li", {}, name, el("span", { class: "muted" }, ` ${about}`));
  });
  const rest = found.length - lines.length;
  byId("cell-clips").replaceChildren(el("ol", {}, lines), rest ? `and ${pluralize(rest, "more clip")}` : "");
}

// Return the address of a clip in the browse page, or null if there is none.
function clipAddress(link) {
  const page = byId("browse").value.trim().replace(/#.*$/, "");
  const scheme = page.match(/^([a-z][a-z0-9+.-]*):/i)?.[1].toLowerCase();
  if (!page || (scheme && !["http", "https", "file"].includes(scheme))) return null;
  return `${page}#clip=${encodeURIComponent(link)}`;
}

/** @type {(cell: number[], isChosen: boolean) => void} */
function cellChanged(cell, isChosen) {
  describeCell(cell);
  if (isChosen) listClips(cell);
}

// Select the cell of two classes, and scroll to the matrix.
function openCell(label, guess) {
  chooseCell(matrix.position[label], matrix.position[guess], cellChanged, true);
  byId("matrix").scrollIntoView({ block: "nearest" });
}

// ---- tools of the matrix ----

const ORDERS = [
  ["class", "order: class"],
  ["cluster", "order: confused classes together"],
  ["recall", "order: lowest recall first"],
  ["name", "order: name"],
];

function orderOf(name) {
  const classes = model.report.classes;
  const all = classes.map((_, label) => label);
  if (name === "cluster") return model.cluster;
  if (name === "recall") return all.sort((a, b) => (classes[a].recall ?? 2) - (classes[b].recall ?? 2) || a - b);
  if (name === "name") return all.sort((a, b) => (classes[a].name < classes[b].name ? -1 : 1));
  return all;
}

function buildTools() {
  const repaintPicture = () => {
    matrix.picture = null;
    paintMatrix();
  };
  const flag = (label, title, key) => {
    const one = toggle(label, title, matrix[key], (on) => {
      matrix[key] = on;
      one.setAttribute("aria-pressed", String(on));
      repaintPicture();
    });
    return one;
  };
  byId("matrix-tools").append(
    select("Order", ORDERS, (name) => {
      orderName = name;
      orderMatrix(orderOf(name));
      fitMatrix();
    }),
    flag("Shares", "percent of the clips of the true class, not counts", "share"),
    flag("Recognized clips", "show the diagonal", "correct"),
    button("−", "zoom out (-)", () => zoomMatrix(1 / 1.4)),
    button("+", "zoom in (+)", () => zoomMatrix(1.4)),
    button("Fit", "show all classes (0)", fitMatrix),
    button("Save picture", "save what is shown as PNG", savePicture),
  );
  byId("search").addEventListener("input", searchClasses);
  byId("search").addEventListener("keydown", (event) => event.key === "Enter" && nextFound());
  byId("browse").value = content.browse;
  byId("browse").addEventListener("input", () => matrix.selected && listClips(matrix.selected));
}

function searchClasses() {
  const query = byId("search").value;
  const matches = matcher(query);
  const found = query.trim() ? matrix.classes.flatMap((row, label) => (matches(row) ? [label] : [])) : [];
  matrix.found = new Set(found);
  byId("found").value = query.trim() ? (found.length === 1 ? "1 class" : `${found.length} classes`) : "";
  paintMatrix();
}

function nextFound() {
  const places = [...matrix.found].map((label) => matrix.position[label]).sort((a, b) => a - b);
  if (!places.length) return;
  const at = matrix.selected?.[0] ?? -1;
  const next = places.find((place) => place > at) ?? places[0];
  chooseCell(next, next, cellChanged, true);
}

function savePicture() {
  const canvas = byId("matrix");
  const copy = el("canvas", { width: canvas.width, height: canvas.height });
  const pen = copy.getContext("2d");
  pen.fillStyle = colors.paper;
  pen.fillRect(0, 0, copy.width, copy.height);
  pen.drawImage(canvas, 0, 0);
  copy.toBlob((blob) => {
    const address = URL.createObjectURL(blob);
    el("a", { href: address, download: "confusion.png" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  });
}

// ---- tables ----

/** @type {(name: string, groups: GroupRow[]) => Element[]} */
function groupCard(name, groups) {
  if (!groups.length) return [];
  const metrics = Object.keys(groups[0].metrics);
  const lines = groups.map((group) =>
    lineOf(group.name, numberCell(group.clips), ...metrics.map((key) => numberCell(estimateText(group.metrics[key])))),
  );
  return [
    card(
      `Per ${name}`,
      "Percent, with 95 % intervals.",
      scrollable(tableOf([name, "clips", ...metrics.map((key) => METRICS[key] ?? key)], lines)),
    ),
  ];
}

function pairCard() {
  const lines = model.report.confused.map((pair) => {
    const [row, guess] = [model.report.classes[pair.true], model.report.classes[pair.predicted]];
    const name = (one) => [one.name, " ", el("span", { lang: "ar", dir: "rtl" }, one.arabic)];
    return el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        button(name(row), "show in the matrix", () => openCell(pair.true, pair.predicted), { class: "link" }),
      ),
      el("td", {}, name(guess)),
      numberCell(pair.clips),
      numberCell(percent(pair.share)),
    );
  });
  return card("Classes confused most often", "", scrollable(tableOf(["class", "classified as", "clips", "share"], lines)));
}

const CLASS_COLUMNS = [
  ["label", "class"],
  ["arabic", "Arabic"],
  ["support", "clips"],
  ["predicted", "predicted"],
  ["precision", "precision"],
  ["recall", "recall"],
  ["f1", "F1"],
];

function classCard() {
  const box = el("div", { class: "scroll" });
  const paint = (key, falling) => {
    const value = (row) => row[key] ?? (falling ? -Infinity : Infinity);
    const sorted = [...model.report.classes].sort((a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
    if (falling) sorted.reverse();
    const table = tableOf([], sorted.map(classLine));
    const heads = CLASS_COLUMNS.map(([name, text]) => {
      const sortBy = button(text, `sort by ${text}`, () => paint(name, name === key && !falling), { class: "link" });
      return el("th", { scope: "col", "aria-sort": name === key ? (falling ? "descending" : "ascending") : null }, sortBy);
    });
    table.querySelector("thead tr").append(...heads);
    box.replaceChildren(table);
  };
  paint("f1", false);
  return card("Classes", "Percent. A name shows its row in the matrix; a heading sorts.", box);
}

/** @param {ReportClass} row */
function classLine(row) {
  const share = (value) => numberCell(value === null ? "–" : points(value));
  const title = classTitle({ ...row, en: row.name, ar: row.arabic, id: "", link: "" });
  return el(
    "tr",
    {},
    el(
      "th",
      { scope: "row" },
      button(title, "show in the matrix", () => openCell(row.label, row.label), { class: "link" }),
    ),
    el("td", { lang: "ar", dir: "rtl" }, row.arabic),
    numberCell(row.support),
    numberCell(row.predicted),
    ...[row.precision, row.recall, row.f1].map(share),
  );
}

function calibrationCard() {
  const { calibration } = model.report;
  if (!calibration) return card("Calibration", "The scores are no probabilities.");
  const [size, left, bottom] = [300, 36, 34];
  const x = (value) => left + value * size;
  const y = (value) => size * (1 - value) + 6;
  const bars = calibration.bins.map((bin) =>
    bin.clips
      ? svg(
          "rect",
          {
            x: x(bin.from) + 1,
            y: y(bin.accuracy),
            width: (bin.to - bin.from) * size - 2,
            height: size * bin.accuracy,
            class: "svg-accent",
          },
          svg(
            "title",
            {},
            `confidence ${points(bin.confidence)}: ${points(bin.accuracy)} % of ${pluralize(bin.clips, "clip")}`,
          ),
        )
      : null,
  );
  const text = (at, to, words, anchor) => svg("text", { x: at, y: to, class: "axis", "text-anchor": anchor }, words);
  const ticks = [0, 0.5, 1].map((value) => [
    text(x(value), y(0) + 15, value, "middle"),
    text(left - 5, y(value) + 4, value, "end"),
  ]);
  const picture = svg(
    "svg",
    {
      viewBox: `0 0 ${size + left + 12} ${size + bottom + 8}`,
      class: "chart reliability",
      role: "img",
      "aria-label": "accuracy by confidence",
    },
    bars,
    svg("line", { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: "ideal" }),
    ticks,
    text(x(0.5), y(0) + 30, "score of the predicted class", "middle"),
  );
  const lines = calibration.bins
    .filter((bin) => bin.clips)
    .map((bin) =>
      lineOf(
        `${points(bin.from)} to ${points(bin.to)}`,
        numberCell(bin.clips),
        numberCell(points(bin.confidence)),
        numberCell(points(bin.accuracy)),
      ),
    );
  const table = el(
    "details",
    {},
    el("summary", {}, "as a table"),
    tableOf(["score", "clips", "mean score", "accuracy"], lines),
  );
  return card("Calibration", "Share of correct clips by score; a calibrated model follows the dashed line.", picture, table);
}

function comparisonCards() {
  return content.comparisons.map((one) => {
    const lines = Object.entries(one.differences).map(([name, estimate]) =>
      lineOf(METRICS[name] ?? name, numberCell(estimateText(estimate))),
    );
    const alone = `by the first only: ${one.other_only}; by the second only: ${one.baseline_only}`;
    const counts = `Recognized by both: ${one.both}; ${alone}; by neither: ${one.neither}.`;
    return card(
      `${one.file} minus ${one.baseline}`,
      `Points, with paired 95 % intervals. ${counts}`,
      tableOf(["metric", "difference"], lines),
    );
  });
}

function originCard() {
  const { file, checkpoint, clips, bootstrap } = model.report;
  const lines = {
    scores: file,
    checkpoint: checkpoint.join("; ") || "unknown",
    clips,
    classes: model.report.classes.length,
  };
  const texts = {
    ...lines,
    intervals: `bootstrap over clips, ${bootstrap.resamples} resamples, seed ${bootstrap.seed}`,
    karsl: content.version,
  };
  return card(
    "Origin",
    "",
    el(
      "dl",
      {},
      Object.entries(texts).map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]),
    ),
  );
}

// ---- start ----

/** @param {ReportModel} chosen */
function showModel(chosen) {
  model = chosen;
  byId("count").textContent =
    `${pluralize(model.report.clips, "clip")} · ${pluralize(model.report.classes.length, "class", "classes")}`;
  setMatrix(classRows(), model.clips.label, model.clips.predicted, orderOf(orderName));
  byId("cell").textContent = "Select a cell to list its clips.";
  byId("cell-clips").replaceChildren();
  searchClasses();
  paintTiles();
  byId("cards").replaceChildren(
    ...comparisonCards(),
    ...groupCard("signer", model.report.signers),
    ...groupCard("category", model.report.categories),
    pairCard(),
    classCard(),
    calibrationCard(),
    originCard(),
  );
  fitMatrix();
}

function startReport() {
  byId("title").textContent = content.title;
  if (content.models.length > 1)
    byId("models").append(
      select(
        "Model",
        content.models.map((one, number) => [number, one.report.file]),
        (number) => showModel(content.models[number]),
      ),
    );
  buildTools();
  startTheme(() => {
    matrix.picture = null;
    paintMatrix();
  });
  listenToMatrix(cellChanged);
  showModel(model);
  if (model.report.classes.some((row) => row.arabic) && !drawsArabic()) {
    byId("notice").textContent =
      "This machine has no font with Arabic letters, so names are drawn as boxes; install one, such as Noto Sans Arabic.";
    byId("notice").hidden = false;
  }
  document.documentElement.dataset.ready = "yes";
}

startReport();
