// Elements and text. Nothing that comes from the data is ever read as HTML: it only becomes text
// nodes, and attributes that cannot run.

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; children that are strings become text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A short piece of line in the colour and dash of a class, for legends. */
function swatch(className) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ width: 28, height: 10, "aria-hidden": "true" })) {
    svg.setAttribute(key, value);
  }
  const line = document.createElementNS(SVG, "line");
  for (const [key, value] of Object.entries({ x1: 1, y1: 5, x2: 27, y2: 5, class: className })) {
    line.setAttribute(key, value);
  }
  svg.append(line);
  return svg;
}

/** Copies what an element says; where the browser does not allow it, selects it instead. */
async function copyText(source, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}
