// Cards, histograms and tables; every chart is accessible as text.

/**
 * @param {string} title
 * @param {string} about
 */
function card(title, about, ...content) {
  return el(
    "section",
    { class: "card" },
    el("h3", {}, title),
    about ? el("p", { class: "muted small" }, about) : null,
    content,
  );
}

const span = (low, high) => (low === high ? `${low}` : `${low} to ${high}`);
const sum = (items, of) => items.reduce((total, item) => total + of(item), 0);
const distinct = (items, of) => new Set(items.map(of).filter((value) => value !== null)).size;

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Return a histogram and the same numbers as a table.
/** @type {(bins: [label: string, count: number][], across: string, up: string) => Element[]} */
function histogram(bins, across, up) {
  const [width, height, left, bottom, top] = [460, 186, 36, 40, 12];
  const max = Math.max(...bins.map(([, count]) => count), 1);
  const step = (width - left) / bins.length;
  const tall = (count) => ((height - bottom - top) * count) / max;
  const every = Math.ceil(bins.length / 8);
  const level = (count) => height - bottom - tall(count);
  const text = (x, y, content, anchor = "middle") => svg("text", { x, y, class: "axis", "text-anchor": anchor }, content);
  const bars = bins.map(([label, count], i) => {
    const box = { x: left + i * step + 1, y: level(count), width: Math.max(step - 2, 1), height: tall(count) };
    return svg("rect", { ...box, class: "bar-fill" }, svg("title", {}, `${label}: ${pluralize(count, "clip")}`));
  });
  const labels = bins.map(([label], i) =>
    i % every ? null : text(left + (i + 0.5) * step, height - 25, label.replace("%", "")),
  );
  const levels = [...new Set([0, Math.round(max / 2), max])];
  const grid = levels.map((count) => [
    svg("line", { x1: left, x2: width, y1: level(count), y2: level(count), class: "grid" }),
    text(left - 6, level(count) + 4, count, "end"),
  ]);
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `histogram: ${up} by ${across}` },
    grid,
    bars,
    labels,
    text((width + left) / 2, height - 5, across),
  );
  const lines = bins.map(([label, count]) => el("tr", {}, el("td", {}, label), numberCell(count)));
  return [picture, el("details", {}, el("summary", {}, "as a table"), tableOf([across, up], lines))];
}

const numberCell = (...content) => el("td", { class: "number" }, content);
const lineOf = (heading, ...cells) => el("tr", {}, el("th", { scope: "row" }, heading), cells);

const cellBar = (...bars) => svg("svg", { viewBox: "0 0 60 8", class: "cell-bar", "aria-hidden": "true" }, bars);

function shareCell(share, role) {
  if (share === null) return el("td", { class: "number muted" }, "–");
  const bar = cellBar(
    svg("rect", { width: 60, height: 8, class: "track" }),
    svg("rect", { width: 60 * share, height: 8, class: `svg-${role}` }),
  );
  return el("td", { class: "number share" }, percent(share), bar);
}

function tableOf(head, lines) {
  const cells = head.map((text) => el("th", { scope: "col" }, text));
  return el("table", {}, el("thead", {}, el("tr", {}, cells)), el("tbody", {}, lines));
}

const scrollable = (table) => el("div", { class: "scroll" }, table);
