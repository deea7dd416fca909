// The list of classes, by body group, that can be searched by name or code.

/** @returns open(title, chosen, group): a promise of the index of a class, or null. */
export function makeClasses(dialog, { actions, codes, bodies, body_of: bodyOf }) {
  const title = el("h2", {});
  const list = el("div", { role: "listbox", id: "class-list", class: "class-list", "aria-label": "Classes" });
  const search = el("input", { type: "text", id: "class-search", placeholder: "name or code", autocomplete: "off", role: "combobox",
    "aria-expanded": "true", "aria-controls": "class-list", "aria-label": "Search a class" });
  show(dialog, title, search, list);
  let shown = [], at = 0, answer = () => {}, first = null, recent = [];

  const codeSort = (a, b) => (codes[a] || actions[a]).localeCompare(codes[b] || actions[b], "en", { numeric: true });
  function fits(index, words) {
    const name = actions[index].toLowerCase();
    return words.every((word) => codes[index].toLowerCase() === word || name.includes(word));
  }
  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const order = [...bodies.keys()].sort((a, b) => (b === first) - (a === first));
    shown = [];
    const item = (index) => {
      const place = shown.push(index) - 1;
      return el("div", { role: "option", id: `class-${place}`, "data-class": index, class: "option", on: { click: () => close(index), pointermove: () => mark(place) } },
        el("b", {}, codes[index]), ` ${actions[index]}`);
    };
    const group = (name, members, mine) => (members.length ? el("div", { role: "group", "aria-label": name }, el("h3", {}, mine === undefined ? null : el("span", { class: `dot body-${mine % 8}` }), name), members.map(item)) : null);
    const last = words.length ? [] : recent;
    show(list, group("last used", last),
      order.map((body) => group(bodies[body], [...actions.keys()].filter((index) => bodyOf[index] === body && fits(index, words)).sort(codeSort), body)),
      el("p", { class: "quiet", hidden: true }, "No class fits."));
    list.lastChild.hidden = shown.length > 0;
  }
  function mark(place) {
    at = Math.min(Math.max(place, 0), shown.length - 1);
    for (const option of list.querySelectorAll("[role=option]")) option.setAttribute("aria-selected", option.id === `class-${at}`);
    search.setAttribute("aria-activedescendant", shown.length ? `class-${at}` : "");
    list.querySelector(`#class-${at}`)?.scrollIntoView({ block: "nearest" });
  }
  function close(index) {
    if (index !== null) recent = [index, ...recent.filter((each) => each !== index)].slice(0, 5);
    const told = answer;
    answer = () => {};
    search.blur(); // else it would take the next key, until the page is drawn
    dialog.close();
    told(index);
  }
  search.addEventListener("input", () => { draw(); mark(0); });
  // Told late: by then it may be open for the next question.
  dialog.addEventListener("close", () => { if (!dialog.open) close(null); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) close(null); });
  dialog.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    if (moves[event.key]) mark(at + moves[event.key]);
    else if (event.key === "Enter" && shown.length) close(shown[at]);
    else return;
    event.preventDefault();
  });
  return function open(words, chosen = null, group = null) {
    close(null);
    title.textContent = words;
    search.value = "";
    first = group;
    draw();
    dialog.showModal();
    search.focus();
    mark(chosen === null ? 0 : shown.lastIndexOf(chosen));
    return new Promise((resolve) => { answer = resolve; });
  };
}
