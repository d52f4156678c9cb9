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
const distinct = (items, of) => new Set(items.map(of).filter((value) => value !== null)).size;

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Return a histogram and the same numbers as a table.
 *
 * @param {[label: string, count: number][]} bins
 * @param {string} across
 * @param {string} up
 */
function histogram(bins, across, up) {
  const width = 460,
    height = 186,
    left = 36,
    bottom = 40,
    top = 12;
  const max = Math.max(...bins.map(([, count]) => count), 1);
  const step = (width - left) / bins.length;
  const tall = (count) => ((height - bottom - top) * count) / max;
  const every = Math.ceil(bins.length / 8);
  const bars = bins.map(([label, count], i) =>
    svg(
      "rect",
      {
        x: left + i * step + 1,
        y: height - bottom - tall(count),
        width: Math.max(step - 2, 1),
        height: tall(count),
        class: "bar-fill",
      },
      svg("title", {}, `${label}: ${many(count, "clip")}`),
    ),
  );
  const labels = bins.map(([label], i) =>
    i % every
      ? null
      : svg(
          "text",
          { x: left + (i + 0.5) * step, y: height - 25, class: "axis", "text-anchor": "middle" },
          label.replace(" %", ""),
        ),
  );
  const levels = [0, Math.round(max / 2), max].filter((v, i, all) => all.indexOf(v) === i);
  const grid = levels.map((count) => [
    svg("line", {
      x1: left,
      x2: width,
      y1: height - bottom - tall(count),
      y2: height - bottom - tall(count),
      class: "grid",
    }),
    svg("text", { x: left - 6, y: height - bottom - tall(count) + 4, class: "axis", "text-anchor": "end" }, count),
  ]);
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `histogram: ${up} by ${across}` },
    grid,
    bars,
    labels,
    svg("text", { x: (width + left) / 2, y: height - 5, class: "axis", "text-anchor": "middle" }, across),
  );
  const table = el(
    "details",
    {},
    el("summary", {}, "as a table"),
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, across), el("th", { scope: "col" }, up))),
      el(
        "tbody",
        {},
        bins.map(([label, count]) => el("tr", {}, el("td", {}, label), el("td", { class: "number" }, count))),
      ),
    ),
  );
  return [picture, table];
}

function shareCell(share, role) {
  if (share === null) return el("td", { class: "number muted" }, "–");
  const bar = svg(
    "svg",
    { viewBox: "0 0 60 8", class: "cell-bar", "aria-hidden": "true" },
    svg("rect", { width: 60, height: 8, class: "track" }),
    svg("rect", { width: 60 * share, height: 8, class: `svg-${role}` }),
  );
  return el("td", { class: "number share" }, percent(share), bar);
}

const tableOf = (head, lines) =>
  el(
    "div",
    { class: "scroll" },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          head.map((text) => el("th", { scope: "col" }, text)),
        ),
      ),
      el("tbody", {}, lines),
    ),
  );
