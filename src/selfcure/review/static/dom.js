// Elements from names, attributes and children. Text only ever becomes a text node, so nothing in it is markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
export const find = (id) => document.getElementById(id);

export const percent = (value) => {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.005) return "< 1 %";
  return `${Math.round(100 * value)} %`;
};
export const count = (value) => Math.round(value).toLocaleString("en");
export const newId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

let sayNext = "";
/** Tell a screen reader. */
export function say(text) {
  // The same text twice would not be read twice.
  find("said").textContent = text === sayNext ? `${text}\u00a0` : text;
  sayNext = find("said").textContent;
}
