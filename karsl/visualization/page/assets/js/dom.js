// Creation of elements without markup in strings: texts of a dataset never become code or tags.

const SVG = "http://www.w3.org/2000/svg";

/** @type {(id: string) => any} */
const byId = (id) => document.getElementById(id);

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @returns {HTMLElementTagNameMap[K]}
 */
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @template {Element} E
 * @param {E} node
 * @returns {E}
 */
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

function button(label, title, act, attributes = {}) {
  return el("button", { type: "button", title, onclick: act, ...attributes }, label);
}

// A group of buttons of which one is pressed; `choices` are [value, label, title].
function segmented(label, choices, value, choose) {
  const buttons = choices.map(([key, text, title]) => {
    const one = button(text, title, () => choose(key), { "aria-pressed": String(key === value) });
    one.dataset.key = key;
    return one;
  });
  return el("div", { class: "segmented", role: "group", "aria-label": label }, buttons);
}

/** @param {Element} group */
function press(group, value) {
  for (const one of group.children) one.setAttribute("aria-pressed", String(one.getAttribute("data-key") === String(value)));
}

function toggle(label, title, on, set) {
  const one = button(label, title, () => set(one.getAttribute("aria-pressed") !== "true"), { "aria-pressed": String(on) });
  return one;
}

function select(label, options, change) {
  return el(
    "select",
    { "aria-label": label, onchange: (event) => change(event.target.value) },
    options.map(([value, text]) => el("option", { value }, text)),
  );
}

/** @param {number} share */
const percent = (share) =>
  share > 0 && share < 0.005 ? "<1%" : share < 1 && share >= 0.995 ? ">99%" : `${Math.round(100 * share)}%`;
const pluralize = (count, one, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
