// Search, filters and order of the list of clips.

const filters = { query: "", signer: "", split: "", category: "", hand: "", minShare: 25, wrong: false, sort: "index" };
/** @type {{ rows: Row[] }} */
const listed = { rows: [] };

const HANDS = [
  ["", "hands: any"],
  ["any", "no hand"],
  ["right", "no right hand"],
  ["left", "no left hand"],
];
const SORTS = [
  ["index", "sort: dataset"],
  ["sign", "sort: SignID"],
  ["frames", "sort: length"],
  ["missing", "sort: fewest hands first"],
  ["id", "sort: clip name"],
];

const setFilter = (key) => (value) => {
  filters[key] = value;
  refilter();
};

function buildFilters() {
  byId("search").addEventListener("input", (event) => setFilter("query")(event.target.value));
  const box = byId("filters");
  const add = (key, label, none) => {
    const values = valuesOf(key);
    if (values.length > 1)
      box.append(
        select(
          label,
          [["", none], ...values.map((value) => [value, key === "signer" ? `signer ${value}` : value])],
          setFilter(key),
        ),
      );
  };
  add("signer", "signer", "all signers");
  add("split", "split", "all splits");
  add("category", "category", "all categories");
  box.append(select("Order", SORTS, setFilter("sort")));
  if (rows.some((row) => row.hands)) box.append(...handFilter());
  if (rows.some((row) => row.wrong.length)) {
    const label = el(
      "label",
      { class: "wide check" },
      el("input", {
        type: "checkbox",
        id: "only-wrong",
        onchange: (event) => setFilter("wrong")(event.target.checked),
      }),
      " ⚠ hands on the wrong arms only",
    );
    box.append(label);
  }
}

// Return the distinct values of a column: signers and splits by name, categories by their first sign.
/** @type {(key: "signer" | "split" | "category") => string[]} */
function valuesOf(key) {
  const first = new Map();
  for (const row of rows) if (row[key]) first.set(row[key], Math.min(row.sign ?? Infinity, first.get(row[key]) ?? Infinity));
  const byName = (a, b) => (a < b ? -1 : 1);
  return [...first.keys()].sort((a, b) => (key === "category" && first.get(a) - first.get(b)) || byName(a, b));
}

function handFilter() {
  const shown = el("output", {}, percent(filters.minShare / 100));
  const slider = el("input", {
    type: "range",
    min: 5,
    max: 100,
    step: 5,
    value: filters.minShare,
    "aria-label": "in at least this share of frames",
    oninput: (event) => {
      filters.minShare = Number(event.target.value);
      shown.value = percent(filters.minShare / 100);
      refilter();
    },
  });
  const least = el("span", { class: "wide least", hidden: true }, "in at least", slider, shown, "of frames");
  const which = select("Missing hands", HANDS, (value) => {
    filters.hand = value;
    least.hidden = !value;
    refilter();
  });
  return [which, least];
}

function refilter() {
  const matches = matcher(filters.query);
  /** @param {Row} row */
  const missing = (row) => 1 - (row.hands?.[filters.hand] ?? 1);
  listed.rows = rows.filter(
    (row) =>
      (!filters.signer || row.signer === filters.signer) &&
      (!filters.split || row.split === filters.split) &&
      (!filters.category || row.category === filters.category) &&
      (!filters.wrong || row.wrong.length) &&
      (!filters.hand || missing(row) >= filters.minShare / 100 - 1e-9) &&
      matches(row),
  );
  const rank = {
    sign: (row) => row.sign ?? row.label ?? 0,
    frames: (row) => row.frames,
    missing: (row) => row.hands?.any ?? 1,
  }[filters.sort];
  if (rank) listed.rows.sort((a, b) => rank(a) - rank(b) || a.index - b.index);
  if (filters.sort === "id") listed.rows.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const signs = new Set(listed.rows.map((row) => row.sign ?? row.label)).size;
  byId("count").textContent =
    `${listed.rows.length.toLocaleString("en")} of ${pluralize(rows.length, "clip")} · ${pluralize(signs, "sign")}`;
  byId("list").scrollTop = 0;
  paintList();
  if (state.tab === "statistics") paintStats();
}

function clearFilters() {
  Object.assign(filters, { query: "", signer: "", split: "", category: "", hand: "", wrong: false });
  for (const one of byId("sidebar").querySelectorAll("select")) one.selectedIndex = 0;
  filters.sort = "index";
  for (const one of byId("sidebar").querySelectorAll("input[type=checkbox]")) one.checked = false;
  for (const one of byId("sidebar").querySelectorAll(".least")) one.hidden = true;
  byId("search").value = "";
  refilter();
}
