// Light or dark, as the system says or the reader chose, and the colours for canvases.

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const onTheme = new Set();
const colours = new Map();

/** The value of a colour of page.css in the theme in force. */
function colour(name) {
  if (!colours.has(name)) {
    const style = getComputedStyle(document.documentElement);
    colours.set(name, style.getPropertyValue(`--${name}`).trim());
  }
  return colours.get(name);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = theme === "dark" ? "Light theme" : "Dark theme";
  colours.clear();
  for (const listener of onTheme) listener();
}

function startTheme() {
  const ofSystem = () => setTheme(systemIsDark.matches ? "dark" : "light");
  systemIsDark.addEventListener("change", ofSystem);
  byId("theme").addEventListener("click", () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  });
  ofSystem();
}
