// The theme, printing, and the first drawing.

(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const button = el("theme");
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const name = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.title = `a ${isDark() ? "light" : "dark"} page`;
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
    redrawAll();
  });
  dark.addEventListener("change", () => {
    name();
    redrawAll();
  });
  // Canvases keep their drawing, but paper is light, and of another width.
  printing.addEventListener("change", redrawAll);

  for (const chip of document.querySelectorAll("[data-find]")) {
    chip.addEventListener("click", () => ranking.find(chip.dataset.find, Number(chip.dataset.row)));
  }

  name();
  redrawAll();
  root.dataset.ready = "true";
  performance.mark("ready");
})();
