// The list of clips; only visible lines have elements.

const LINE = 64; // pixels, as in page.css

function paintList() {
  const list = byId("list"),
    inner = byId("list-inner");
  inner.style.height = `${Math.max(listed.rows.length * LINE, 40)}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / LINE) - 4);
  const last = Math.min(listed.rows.length, first + Math.ceil((list.clientHeight || 800) / LINE) + 9);
  inner.replaceChildren(...listed.rows.slice(first, last).map((row, i) => listLine(row, first + i)));
  if (!listed.rows.length)
    inner.append(
      el(
        "p",
        { class: "empty muted" },
        "no clip matches; ",
        button("clear the filters", "show all clips", clearFilters, { class: "link" }),
      ),
    );
  const active = state.row && byId(`clip-${state.row.index}`);
  if (active) list.setAttribute("aria-activedescendant", active.id);
  else list.removeAttribute("aria-activedescendant");
}

/** @type {(row: Row, position: number) => HTMLElement} */
function listLine(row, position) {
  const metadata = [row.signer && `signer ${row.signer}`, row.split, row.frames && pluralize(row.frames, "frame")]
    .filter(Boolean)
    .join(" · ");
  const line = el(
    "div",
    {
      class: "line",
      role: "option",
      id: `clip-${row.index}`,
      "aria-selected": String(row === state.row),
      "aria-posinset": position + 1,
      "aria-setsize": listed.rows.length,
      onclick: () => {
        openClip(row);
        closeDrawer();
      },
    },
    el(
      "div",
      { class: "names" },
      el("b", {}, titleOf(row)),
      row.wrong.length
        ? el("span", { class: "tag bad", title: `hands on the wrong arms in ${row.wrong.join(", ")}` }, "⚠ arms")
        : null,
      marked.has(row.id) ? el("span", { class: "tag", title: "marked (m)" }, "★") : null,
      el("span", { class: "spring" }),
      row.ar ? el("span", { lang: "ar", dir: "rtl", class: "arabic" }, row.ar) : null,
    ),
    el("div", { class: "muted small" }, metadata || row.id),
    row.hands ? handBars(row.hands) : null,
  );
  line.style.transform = `translateY(${position * LINE}px)`;
  line.title = row.id;
  return line;
}

/** @param {Shares} hands */
function handBars(hands) {
  const bar = (side) => {
    if (hands[side] === undefined) return null;
    const fill = el("i", { class: `fill-${side}` });
    fill.style.width = `${100 * hands[side]}%`;
    return el(
      "span",
      { class: "hand-bar", role: "img", "aria-label": `${side} hand seen in ${percent(hands[side])} of frames` },
      fill,
    );
  };
  return el("div", { class: "hand-bars" }, bar("right"), bar("left"));
}

function moveInList(steps) {
  const at = listed.rows.indexOf(state.row);
  const row = listed.rows[Math.min(Math.max(at < 0 ? 0 : at + steps, 0), listed.rows.length - 1)];
  if (row && row !== state.row) {
    if (isIndex) update({ row });
    else openClip(row);
  }
}

function scrollToCurrent() {
  const at = listed.rows.indexOf(state.row),
    list = byId("list");
  if (at < 0) return;
  if (at * LINE < list.scrollTop) list.scrollTop = at * LINE;
  if ((at + 1) * LINE > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * LINE - list.clientHeight;
}

function closeDrawer() {
  document.body.classList.remove("list-open");
  byId("open-list").setAttribute("aria-expanded", "false");
}
