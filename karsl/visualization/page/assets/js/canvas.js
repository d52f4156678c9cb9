// Canvases: the colors of the theme, and a cleared canvas in the density of the screen.

const ROLES = "right left right-arm left-arm pose face other ink muted missing alert paper accent".split(" ");
/** @type {Record<string, string>} */
let colors = {};

// The style sheet defines the colors of both themes; a canvas needs their values.
function readColors() {
  const probe = el("span", { hidden: true });
  document.body.append(probe);
  for (const role of ROLES) {
    probe.style.color = `var(--${role})`;
    colors[role] = getComputedStyle(probe).color;
  }
  probe.remove();
}

/** @type {(canvas: HTMLCanvasElement) => [pen: Pen, width: number, height: number]} */
function clearedPen(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const dense = Math.min(window.devicePixelRatio || 1, 3);
  if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.lineCap = pen.lineJoin = "round";
  return [pen, width, height];
}
