// Elements, number formats, colours and the hover box. Names from users' files only ever become text nodes.

const SVG_NS = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG_NS, tag), attributes, children);
const text = (x, y, words, attributes) => svg("text", { x, y, ...attributes }, String(words));
const byId = (id) => document.getElementById(id);

function show(host, ...children) {
  host.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

function canvas(width, height, label, ...children) {
  const attributes = { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label };
  return svg("svg", attributes, ...children);
}

/** Makes a drawn or written element act on click, Enter and space. */
function press(node, action) {
  node.classList.add("press");
  node.setAttribute("role", "button");
  node.setAttribute("tabindex", "0");
  node.addEventListener("click", action);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    action(event);
  });
  return node;
}

const missing = (value) => value === null || value === undefined;
/** Fixed digits with a true minus, and no sign before a zero. */
function number(value, digits = 1) {
  if (missing(value)) return "\u2013";
  const words = value.toFixed(digits);
  return Number(words) === 0 ? words.replace("-", "") : words.replace("-", "\u2212");
}
const signed = (value, digits = 1) => (!missing(value) && Number(value.toFixed(digits)) > 0 ? "+" : "") + number(value, digits);
const range = (pair, digits = 1) => (missing(pair) ? "" : `${number(pair[0], digits)} to ${number(pair[1], digits)}`);
const count = (value) => value.toLocaleString("en");
const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
const percent = (part, whole, digits = 0) => (whole ? `${number((100 * part) / whole, digits)} %` : "\u2013");
const sum = (values) => values.reduce((total, value) => total + value, 0);
const shorten = (words, letters) => (words.length > letters ? `${words.slice(0, letters - 1)}\u2026` : words);

/** Top of an axis: the smallest round number that is not below the value. */
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10].map((step) => step * power).find((step) => step >= value - 1e-9);
}
const ticks = (top, parts = top === 100 ? 4 : 5) => Array.from({ length: parts + 1 }, (_, index) => (top * index) / parts);

// Okabe and Ito's colours; a hatch and a mark repeat what the colour says.
const HATCHES = {
  none: "", dots: "M2 2h2v2h-2z", rise: "M0 6L6 0M-1 1L1 -1M5 7L7 5", fall: "M0 0L6 6M5 -1L7 1M-1 5L1 7",
  cross: "M0 6L6 0M0 0L6 6", flat: "M0 3H6", up: "M3 0V6", grid: "M3 0V6M0 3H6",
};
const MARKS = {
  disc: "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0", twin: "M-4 -4h5v5h-5zM-1 -1h5v5h-5z",
  span: "M-4.5 -3.5h2v2.5h5v-2.5h2v7h-2v-2.5h-5v2.5h-2z", cross: "M-4 -2.4L-2.4 -4L0 -1.6L2.4 -4L4 -2.4L1.6 0L4 2.4L2.4 4L0 1.6L-2.4 4L-4 2.4L-1.6 0z",
  plus: "M-1.3 -4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z", diamond: "M0 -4.6L4.6 0L0 4.6L-4.6 0z",
  square: "M-3.4 -3.4h6.8v6.8h-6.8z", wedge: "M0 -4L4 3.4H-4z",
};
const STYLES = {
  right: { colour: "#009e73", hatch: "none", mark: "disc" }, twice: { colour: "#56b4e9", hatch: "dots", mark: "twin" },
  loose: { colour: "#e69f00", hatch: "rise", mark: "span" }, swapped: { colour: "#d55e00", hatch: "cross", mark: "cross" },
  extra: { colour: "#cc79a7", hatch: "fall", mark: "plus" }, mixed: { colour: "#f0e442", hatch: "up", mark: "diamond" },
  idle: { colour: "#99a1aa", hatch: "flat", mark: "square" }, missed: { colour: "#5c6670", hatch: "grid", mark: "wedge" },
};
const KIND_MEANINGS = {
  "true positive": ["right", "matches an instance of its class at the tIoU threshold"],
  duplicate: ["twice", "fits an instance of its class that a better prediction has already matched"],
  localisation: ["loose", "overlaps an instance of its class, but too loosely"],
  substitution: ["swapped", "fits an instance of another class that nobody found: one wrong label, one miss"],
  "extra label": ["extra", "fits an instance of another class that is found as well: one label too many"],
  confusion: ["mixed", "overlaps only an instance of another class, and loosely"],
  background: ["idle", "overlaps no instance enough to be about it"],
  "double detection": ["twice", "fits best an instance of its class that a better prediction has already matched"],
  "wrong label": ["swapped", "fits best an instance of another class"],
  localization: ["loose", "overlaps best an instance of its class, but too loosely"],
  missed: ["missed", "instances that no prediction matches"],
};
const REASON_MEANINGS = {
  loose: "a prediction of its class is there, but overlaps it too loosely",
  taken: "a prediction of its class fits, but was matched with another instance",
  "other class": "a prediction of another class is in its place",
  nothing: "no prediction is near it",
};
const SPARE_STYLES = Object.values(STYLES);
function kindStyle(kind, index = 0) {
  return KIND_MEANINGS[kind] ? STYLES[KIND_MEANINGS[kind][0]] : SPARE_STYLES[index % SPARE_STYLES.length];
}
const kindMeaning = (kind) => (KIND_MEANINGS[kind] ? KIND_MEANINGS[kind][1] : "");
const kindFill = (kind, index) => `url(#hatch-${SPARE_STYLES.indexOf(kindStyle(kind, index))})`;

function hatchDefinitions() {
  const patterns = SPARE_STYLES.map((style, index) =>
    svg("pattern", { id: `hatch-${index}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" },
      svg("rect", { width: 6, height: 6, fill: style.colour }),
      svg("path", { d: HATCHES[style.hatch], stroke: "#000", "stroke-opacity": 0.28, fill: "none" })));
  patterns.push(svg("pattern", { id: "hatch-nothing", width: 6, height: 6, patternUnits: "userSpaceOnUse" },
    svg("rect", { width: 6, height: 6, fill: "#c3c9d0" }), svg("path", { d: HATCHES.rise, stroke: "#6b747e", fill: "none" })));
  return svg("svg", { width: 0, height: 0, "aria-hidden": "true" }, svg("defs", {}, ...patterns));
}
function swatch(fillWith) {
  return svg("svg", { width: 14, height: 12, class: "swatch", "aria-hidden": "true" },
    svg("rect", { width: 14, height: 12, rx: 2, fill: fillWith }));
}
function markPath(kind, index, x, y, scale = 1) {
  const style = kindStyle(kind, index);
  return svg("path", { d: MARKS[style.mark], fill: style.colour, stroke: "#000", "stroke-width": 0.7,
    "stroke-opacity": 0.75, transform: `translate(${x} ${y}) scale(${scale})` });
}

const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"];
function viridis(share) {
  const place = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const part = (hex, at) => parseInt(hex.slice(at, at + 2), 16);
  const mix = (at) => Math.round(part(VIRIDIS[low], at) + (place - low) * (part(VIRIDIS[low + 1], at) - part(VIRIDIS[low], at)));
  return `rgb(${mix(0)},${mix(2)},${mix(4)})`;
}

/** Shows lines of text beside the pointer, or beside the element when the keyboard comes to it. */
function tip(node, words) {
  const box = byId("tip");
  const place = (x, y) => {
    box.textContent = [].concat(words()).filter(Boolean).join("\n");
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    box.style.left = `${Math.max(8, Math.min(x + 14, innerWidth - width - 8))}px`;
    box.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 10) : y + 18}px`;
  };
  const hide = () => { box.hidden = true; };
  node.addEventListener("pointerenter", (event) => place(event.clientX, event.clientY));
  node.addEventListener("pointermove", (event) => place(event.clientX, event.clientY));
  node.addEventListener("pointerleave", hide);
  node.addEventListener("focus", () => {
    if (!node.matches(":focus-visible")) return;
    const { left, bottom } = node.getBoundingClientRect();
    place(left, bottom - 12);
  });
  node.addEventListener("blur", hide);
  return node;
}
