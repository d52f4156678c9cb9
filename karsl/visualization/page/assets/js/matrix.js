// The confusion matrix: a picture with one pixel per cell, drawn at any scale, with names in two languages.

const MAX_CELL = 56; // pixels
const LABEL_PITCH = 15;

/** @type {MatrixState} */
const matrix = {
  classes: [],
  counts: new Uint32Array(0),
  support: [],
  order: [],
  position: [],
  share: true,
  correct: true,
  scale: 1,
  x: 0,
  y: 0,
  selected: null,
  hover: null,
  found: new Set(),
  picture: null,
  coarse: false,
};

const matrixSize = () => matrix.order.length;
/** @param {any} row */
const classTitle = (row) => [row.sign === null ? "" : signText(row), row.en].filter(Boolean).join(" ");

// Set the classes and clips of a model. `order` is the order of rows and columns.
/** @type {(classes: ClassRow[], labels: number[], predicted: number[], order: number[]) => void} */
function setMatrix(classes, labels, predicted, order) {
  const size = classes.length;
  const counts = new Uint32Array(size * size);
  labels.forEach((label, clip) => (counts[label * size + predicted[clip]] += 1));
  const support = classes.map((_, label) => counts.slice(label * size, (label + 1) * size).reduce((a, b) => a + b, 0));
  Object.assign(matrix, { classes, counts, support, selected: null, hover: null, found: new Set() });
  orderMatrix(order);
}

/** @param {number[]} order */
function orderMatrix(order) {
  const cell = matrix.selected && matrix.selected.map((at) => matrix.order[at]);
  matrix.order = order;
  matrix.position = [];
  order.forEach((label, at) => (matrix.position[label] = at));
  if (cell) matrix.selected = [matrix.position[cell[0]], matrix.position[cell[1]]];
  matrix.picture = null;
}

const cellCount = (row, column) => matrix.counts[matrix.order[row] * matrixSize() + matrix.order[column]];

const isCoarse = () => matrix.scale < 4;

// Return the strength of a cell from 0 to 1; one clip is always visible, also as a single pixel.
function cellStrength(row, column, most) {
  const count = cellCount(row, column);
  if (!count) return 0;
  const value = matrix.share ? count / matrix.support[matrix.order[row]] : count / most;
  const least = isCoarse() ? 0.6 : 0.25;
  return least + (1 - least) * Math.sqrt(value);
}

function mostInCell() {
  const size = matrixSize();
  let most = 1;
  for (let cell = 0; cell < size * size; cell++)
    if (matrix.correct || Math.floor(cell / size) !== cell % size) most = Math.max(most, matrix.counts[cell]);
  return most;
}

/** @param {string} color */
const rgb = (color) =>
  color
    .match(/[\d.]+/g)
    .slice(0, 3)
    .map(Number);

function paintPicture() {
  const size = matrixSize();
  const picture = el("canvas", { width: size, height: size });
  const image = picture.getContext("2d").createImageData(size, size);
  const [ground, right, wrong] = ["paper", "accent", "alert"].map((role) => rgb(colors[role]));
  const most = mostInCell();
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++) {
      const hidden = row === column && !matrix.correct;
      const strength = hidden ? 0 : cellStrength(row, column, most);
      const ink = row === column ? right : wrong;
      for (let channel = 0; channel < 3; channel++)
        image.data[4 * (row * size + column) + channel] = ground[channel] + strength * (ink[channel] - ground[channel]);
      image.data[4 * (row * size + column) + 3] = 255;
    }
  picture.getContext("2d").putImageData(image, 0, 0);
  Object.assign(matrix, { picture, coarse: isCoarse() });
}

// Return the area of the cells in the canvas.
function matrixBox() {
  const { clientWidth: width, clientHeight: height } = byId("matrix");
  const [left, top] = width < 640 ? [110, 90] : [210, 150];
  return { left, top, width: width - left - 8, height: height - top - 8 };
}

const fitScale = () => {
  const box = matrixBox();
  return Math.min(MAX_CELL, box.width / matrixSize(), box.height / matrixSize());
};

function keepInside() {
  const box = matrixBox();
  matrix.scale = Math.min(Math.max(matrix.scale, Math.min(fitScale(), MAX_CELL)), MAX_CELL);
  const last = (length) => Math.max(0, matrixSize() - length / matrix.scale);
  matrix.x = Math.min(Math.max(matrix.x, 0), last(box.width));
  matrix.y = Math.min(Math.max(matrix.y, 0), last(box.height));
}

function fitMatrix() {
  Object.assign(matrix, { scale: 0, x: 0, y: 0 });
  paintMatrix();
}

// Zoom by a factor; the point (x, y) of the canvas stays where it is.
function zoomMatrix(factor, x = null, y = null) {
  const box = matrixBox();
  const [dx, dy] = [(x ?? box.left + box.width / 2) - box.left, (y ?? box.top + box.height / 2) - box.top];
  const [column, row] = [matrix.x + dx / matrix.scale, matrix.y + dy / matrix.scale];
  matrix.scale *= factor;
  keepInside();
  Object.assign(matrix, { x: column - dx / matrix.scale, y: row - dy / matrix.scale });
  paintMatrix();
}

// Return row and column at a point of the canvas, or null.
function cellAt(x, y) {
  const box = matrixBox();
  const [row, column] = [
    Math.floor(matrix.y + (y - box.top) / matrix.scale),
    Math.floor(matrix.x + (x - box.left) / matrix.scale),
  ];
  const inside = x >= box.left && y >= box.top && row < matrixSize() && column < matrixSize();
  return inside ? [row, column] : null;
}

// Select a cell and show it, at a scale at which names are readable if `zoom`.
function showCell(row, column, zoom = false) {
  const box = matrixBox();
  matrix.selected = [row, column];
  if (zoom) matrix.scale = Math.max(matrix.scale, 18);
  keepInside();
  const into = (start, at, length) =>
    at < start || at + 1 > start + length / matrix.scale ? at - length / matrix.scale / 2 : start;
  matrix.x = into(matrix.x, column, box.width);
  matrix.y = into(matrix.y, row, box.height);
  paintMatrix();
}

function paintMatrix() {
  const canvas = byId("matrix");
  if (!matrixSize() || !canvas.clientWidth) return;
  keepInside();
  if (!matrix.picture || matrix.coarse !== isCoarse()) paintPicture();
  const [pen] = clearedPen(canvas);
  const box = matrixBox();
  const columns = Math.min(matrixSize() - matrix.x, box.width / matrix.scale);
  const rows = Math.min(matrixSize() - matrix.y, box.height / matrix.scale);
  const [width, height] = [columns * matrix.scale, rows * matrix.scale];
  pen.imageSmoothingEnabled = matrix.scale < 1;
  pen.drawImage(matrix.picture, matrix.x, matrix.y, columns, rows, box.left, box.top, width, height);
  pen.save();
  pen.beginPath();
  pen.rect(box.left, box.top, width, height);
  pen.clip();
  if (matrix.scale >= 8) paintGrid(pen, box, columns, rows);
  if (matrix.scale >= 20) paintCounts(pen, box, columns, rows);
  paintMarks(pen, box);
  pen.restore();
  pen.strokeStyle = colors.muted;
  pen.lineWidth = 1;
  pen.strokeRect(box.left, box.top, width, height);
  paintLabels(pen, box, rows, false);
  paintLabels(pen, box, columns, true);
}

function paintGrid(pen, box, columns, rows) {
  pen.strokeStyle = colors.muted;
  pen.globalAlpha = 0.25;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let column = Math.ceil(matrix.x); column <= matrix.x + columns; column++) {
    const x = box.left + (column - matrix.x) * matrix.scale;
    pen.moveTo(x, box.top);
    pen.lineTo(x, box.top + rows * matrix.scale);
  }
  for (let row = Math.ceil(matrix.y); row <= matrix.y + rows; row++) {
    const y = box.top + (row - matrix.y) * matrix.scale;
    pen.moveTo(box.left, y);
    pen.lineTo(box.left + columns * matrix.scale, y);
  }
  pen.stroke();
  pen.globalAlpha = 1;
}

function paintCounts(pen, box, columns, rows) {
  pen.font = `${Math.min(14, matrix.scale * 0.45)}px system-ui, sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const most = mostInCell();
  for (let row = Math.floor(matrix.y); row < matrix.y + rows; row++)
    for (let column = Math.floor(matrix.x); column < matrix.x + columns; column++) {
      const count = cellCount(row, column);
      if (!count || (row === column && !matrix.correct)) continue;
      pen.fillStyle = cellStrength(row, column, most) > 0.55 ? colors.paper : colors.ink;
      const text = matrix.share ? Math.round((100 * count) / matrix.support[matrix.order[row]]) : count;
      pen.fillText(
        String(text),
        box.left + (column + 0.5 - matrix.x) * matrix.scale,
        box.top + (row + 0.5 - matrix.y) * matrix.scale,
      );
    }
}

// Draw bands of the row and column below the pointer, and a frame around the selected cell.
function paintMarks(pen, box) {
  const [x, y] = [
    (column) => box.left + (column - matrix.x) * matrix.scale,
    (row) => box.top + (row - matrix.y) * matrix.scale,
  ];
  if (matrix.hover) {
    const [row, column] = matrix.hover;
    pen.fillStyle = colors.ink;
    pen.globalAlpha = 0.1;
    pen.fillRect(box.left, y(row), box.width, Math.max(matrix.scale, 1));
    pen.fillRect(x(column), box.top, Math.max(matrix.scale, 1), box.height);
    pen.globalAlpha = 1;
  }
  if (matrix.selected) {
    const [row, column] = matrix.selected;
    const side = Math.max(matrix.scale, 7);
    const grow = (side - matrix.scale) / 2;
    pen.strokeStyle = colors.ink;
    pen.lineWidth = 2;
    pen.strokeRect(x(column) - grow, y(row) - grow, side, side);
  }
}

// Return the positions whose names are drawn: found and pointed ones first, the others where there is room.
function labelPositions(first, length, active) {
  const chosen = new Set();
  const room = Math.max(1, Math.ceil(LABEL_PITCH / matrix.scale));
  const add = (at) => {
    for (let near = at - room + 1; near < at + room; near++) if (chosen.has(near)) return;
    chosen.add(at);
  };
  const [start, stop] = [Math.ceil(first - 0.5), Math.min(matrixSize(), Math.floor(first + length + 0.5))];
  if (active !== null && active >= start && active < stop) add(active);
  for (let at = start; at < stop; at++) if (matrix.found.has(matrix.order[at])) add(at);
  for (let at = start; at < stop; at++) if (!(at % room)) add(at);
  return chosen;
}

function paintLabels(pen, box, length, isColumn) {
  const first = isColumn ? matrix.x : matrix.y;
  const active = (matrix.hover ?? matrix.selected)?.[isColumn ? 1 : 0] ?? null;
  for (const at of labelPositions(first, length, active)) {
    const row = matrix.classes[matrix.order[at]];
    const isFound = matrix.found.has(matrix.order[at]);
    pen.save();
    const offset = (at + 0.5 - first) * matrix.scale;
    if (isColumn) {
      pen.translate(box.left + offset, box.top - 6);
      pen.rotate(-Math.PI / 2);
    } else pen.translate(box.left - 6, box.top + offset);
    pen.fillStyle = isFound ? colors.accent : at === active ? colors.ink : colors.muted;
    pen.font = `${isFound || at === active ? "600 " : ""}12px ${getComputedStyle(document.body).fontFamily}`;
    pen.textBaseline = "middle";
    paintName(pen, row, isColumn ? box.top - 10 : box.left - 10, isColumn);
    pen.restore();
  }
}

// Draw both names into a width: the Arabic one next to the matrix, the English one at the outer end.
function paintName(pen, row, width, isColumn) {
  pen.direction = "rtl";
  pen.textAlign = isColumn ? "left" : "right";
  pen.fillText(row.ar, 0, 0, width / 2);
  const used = row.ar ? Math.min(pen.measureText(row.ar).width, width / 2) + 8 : 0;
  pen.direction = "ltr";
  pen.fillText(shortened(pen, classTitle(row), width - used), isColumn ? used : -used, 0);
}

function shortened(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && pen.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return `${text.slice(0, length)}…`;
}

/** @type {(act: (cell: number[], isChosen: boolean) => void) => void} */
function listenToMatrix(act) {
  const canvas = byId("matrix");
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.offsetX, y: event.offsetY, from: [matrix.x, matrix.y], moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [dx, dy] = drag ? [event.offsetX - drag.x, event.offsetY - drag.y] : [0, 0];
    if (drag && (drag.moved || Math.hypot(dx, dy) > 4)) {
      drag.moved = true;
      canvas.classList.add("dragged");
      Object.assign(matrix, { x: drag.from[0] - dx / matrix.scale, y: drag.from[1] - dy / matrix.scale, hover: null });
    } else matrix.hover = cellAt(event.offsetX, event.offsetY);
    if (matrix.hover) act(matrix.hover, false);
    paintMatrix();
  });
  canvas.addEventListener("pointerup", (event) => {
    const cell = drag && !drag.moved && cellAt(event.offsetX, event.offsetY);
    drag = null;
    canvas.classList.remove("dragged");
    if (cell) chooseCell(cell[0], cell[1], act);
  });
  canvas.addEventListener("pointerleave", () => {
    matrix.hover = null;
    if (matrix.selected) act(matrix.selected, false);
    paintMatrix();
  });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return; // else the page scrolls
    event.preventDefault();
    zoomMatrix(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  });
  canvas.addEventListener("keydown", (event) => matrixKey(event, act));
  new ResizeObserver(paintMatrix).observe(canvas);
}

function chooseCell(row, column, act, zoom = false) {
  matrix.hover = null;
  showCell(row, column, zoom);
  act([row, column], true);
}

function matrixKey(event, act) {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  const zoom = { "+": 1.4, "=": 1.4, "-": 1 / 1.4 }[event.key];
  if (step) {
    const at = matrix.selected ?? [-step[0], -step[1]];
    const inside = (value) => Math.min(Math.max(value, 0), matrixSize() - 1);
    chooseCell(inside(at[0] + step[0]), inside(at[1] + step[1]), act);
  } else if (zoom) zoomMatrix(zoom);
  else if (event.key === "0") fitMatrix();
  else return;
  event.preventDefault();
}
