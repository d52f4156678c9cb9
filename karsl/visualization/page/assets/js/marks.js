// Marked clips. Their names can be copied, one per line, as for `filter_cfg=dict(exclude="exclude.txt")`.

const MARKS = `karsl-marks:${data.title}`;
/** @type {Set<string>} */
const marked = new Set(storedMarks());

/** @returns {string[]} */
function storedMarks() {
  try {
    return JSON.parse(localStorage.getItem(MARKS) ?? "[]");
  } catch {
    return []; // storage is not available to some embedded pages
  }
}

function toggleMark() {
  if (!state.row) return;
  if (!marked.delete(state.row.id)) marked.add(state.row.id);
  storeMarks();
}

function clearMarks() {
  marked.clear();
  storeMarks();
}

function storeMarks() {
  try {
    localStorage.setItem(MARKS, JSON.stringify([...marked]));
  } catch {
    /* the marks last as long as the page */
  }
  paintMarks();
  paintList();
  paintHead();
}

function paintMarks() {
  byId("marks").hidden = !marked.size;
  byId("copy-marks").textContent = `Copy ${pluralize(marked.size, "marked clip")}`;
}

function copyMarks() {
  const text = rows.filter((row) => marked.has(row.id)).map((row) => `${row.id}\n`).join("");
  const done = () => toast(`names of ${pluralize(marked.size, "clip")} copied, one per line`);
  const byHand = () => {
    const area = el("textarea", { readonly: true, "aria-label": "names of the marked clips" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy"); // where the clipboard is closed to pages, as in embedded ones
    area.remove();
    done();
  };
  if (!navigator.clipboard) return byHand();
  navigator.clipboard.writeText(text).then(done, byHand);
}
