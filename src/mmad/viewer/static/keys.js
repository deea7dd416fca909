// Keys: one table says what each does, and the help shows that table.

/** A dialog's title with a button that closes it. */
export const heading = (words) => el("form", { method: "dialog", class: "heading" }, el("h2", {}, words), el("button", { class: "plain" }, "Close"));

/** @param table groups of [title, [words, actions by key]...]; a key is `event.key`, after "Ctrl+" and "Shift+" where held. */
export function makeKeys(dialog, table) {
  const actions = new Map(table.flatMap(([, rows]) => rows.flatMap(([, keys]) => Object.entries(keys))));
  const names = { ArrowLeft: "\u2190", ArrowRight: "\u2192", ArrowUp: "\u2191", ArrowDown: "\u2193", " ": "Space", PageDown: "Page\u2193", PageUp: "Page\u2191", Delete: "Del", Escape: "Esc" };
  const cap = (key) => el("kbd", {}, key.length === 1 ? names[key] || key : key.split("+").map((part) => names[part] || part).join(" "));
  show(dialog, heading("Keys"), el("div", { class: "help" }, table.map(([title, rows]) =>
    el("section", {}, el("h3", {}, title), el("dl", {}, rows.map(([words, keys]) => [el("dt", {}, Object.keys(keys).map((key) => [cap(key), " "])), el("dd", {}, words)]))))),
  el("p", { class: "quiet" }, "With the mouse: drag a segment or its ends, with Alt without snapping to frames; double click on a free place to add, on a segment to play it; turn the wheel with Ctrl to zoom, with Shift to move."));

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open]") || event.altKey) return;
    const { target } = event, field = target.matches("input:not([type=checkbox]):not([type=range]), textarea");
    const controls = event.ctrlKey || event.metaKey, letter = event.key.length === 1;
    if (field && !controls) {
      if (event.key === "Escape") target.blur();
      return;
    }
    // A focused control keeps the keys that work it.
    const works = { BUTTON: [" ", "Enter"], A: ["Enter"], SELECT: [" ", "Enter", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"], INPUT: [" ", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown"] };
    if (!controls && works[target.tagName]?.includes(event.key)) return;
    if (target.tagName === "SELECT" && letter && !controls) return;
    const shift = event.shiftKey && (!letter || /[a-z]/i.test(event.key)) ? "Shift+" : "";
    const key = `${controls ? "Ctrl+" : ""}${shift}${letter ? event.key.toLowerCase() : event.key}`;
    const action = actions.get(key);
    if (!action) return;
    event.preventDefault();
    action();
  });
  return () => dialog.showModal();
}
