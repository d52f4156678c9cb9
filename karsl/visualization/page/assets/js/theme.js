// Light and dark: the choice is stored, and the page is drawn again when it changes.

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("karsl-theme", theme);
  } catch {
    /* storage is not available to some embedded pages */
  }
  themeChanged();
}

function storedTheme() {
  try {
    return localStorage.getItem("karsl-theme");
  } catch {
    return null;
  }
}

// Redraw what style sheets do not color; set by `startTheme`.
let repaint = () => {};

function themeChanged() {
  readColors();
  byId("theme").textContent = isDark() ? "☀ Light" : "☾ Dark";
  byId("theme").title = "light or dark (t)";
  repaint();
}

/** @param {() => void} paint */
function startTheme(paint) {
  repaint = paint;
  const theme = storedTheme();
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  byId("theme").addEventListener("click", switchTheme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
  themeChanged();
}
