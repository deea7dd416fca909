// Tables that sort by a click on, or Enter at, a column's heading.

/**
 * Writes a sortable table.
 * @param host element to write into.
 * @param columns objects of title, value(row) to sort by, and optionally show(row), text (left aligned), hint, wide.
 * @param options sort: [column, descending], label, marked(row), tall.
 */
function sortableTable(host, columns, rows, { sort, label, marked = () => false, tall = false }) {
  let [by, descending] = sort;
  const body = el("tbody");
  const heads = columns.map((column, index) => {
    const button = el("button", { type: "button", title: column.hint, on: { click: () => {
      [by, descending] = [index, index === by ? !descending : !column.text];
      order();
    } } }, column.title);
    return el("th", { scope: "col", class: column.text ? null : "number" }, button);
  });
  function order() {
    const value = columns[by].value;
    const sorted = [...rows].sort((a, b) => {
      const [first, second] = [value(a), value(b)];
      if (missing(first) || missing(second)) return missing(first) - missing(second);
      const step = columns[by].text ? codeOrder(first, second) : first - second;
      return descending ? -step : step;
    });
    heads.forEach((head, index) => head.setAttribute("aria-sort", index !== by ? "none" : descending ? "descending" : "ascending"));
    show(body, sorted.map((row) => el("tr", { class: marked(row) ? "marked" : null }, columns.map((column) => {
      const shown = column.show ? column.show(row) : column.text ? column.value(row) : number(column.value(row));
      return el("td", { class: column.text ? (column.wide ? null : "name") : "number" }, shown);
    }))));
  }
  order();
  show(host, el("div", { class: `scroll sortable${tall ? " tall" : ""}`, tabindex: 0, role: "region", "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, heads)), body)));
}

const linkTo = (words, action) => el("button", { type: "button", class: "link", on: { click: action } }, words);

function inlineBar(share, colour = "var(--plain)", width = 46) {
  return svg("svg", { width, height: 9, class: "inline-bar", "aria-hidden": "true" }, svg("rect", { width, height: 9, fill: "var(--soft)" }),
    svg("rect", { width: Math.max(0, Math.min(1, share)) * width, height: 9, fill: colour }));
}

function drawClasses(host, rows, intervals, kinds, action, onClass) {
  const mainError = (row) => {
    const entries = [...Object.entries(row.errors), ["missed", row.missed]].filter(([, amount]) => amount > 0);
    return entries.sort((a, b) => b[1] - a[1])[0] || null;
  };
  const interval = (row) => intervals[row.name], some = rows.some(interval);
  sortableTable(host, [
    action && { title: "Code", text: true, value: (row) => row.code },
    { title: action ? "Class" : "Body group", text: true, value: (row) => row.name, show: (row) => linkTo(row.name, () => onClass(row)) },
    { title: "n", hint: "instances", value: (row) => row.instances, show: (row) => count(row.instances) },
    { title: "AP", hint: "mean over tIoU thresholds, percent", value: (row) => row.ap,
      show: (row) => (missing(row.ap) ? "\u2013" : [`${number(row.ap)} `, inlineBar(row.ap / 100)]) },
    some && { title: "95 %", hint: "95 % interval of AP; sorts by its width", value: (row) => (interval(row) ? interval(row)[1] - interval(row)[0] : null),
      show: (row) => el("small", {}, interval(row) ? range(interval(row)) : "\u2013") },
    { title: "AP @t", hint: "AP at the threshold of the analysis, percent", value: (row) => row.ap_50 },
    { title: "Precision", hint: "of predictions from the best score upwards, percent", value: (row) => row.precision },
    { title: "Recall", hint: "of predictions from the best score upwards, percent", value: (row) => row.recall },
    { title: "F1", value: (row) => row.f1 },
    { title: "Score", hint: "best score: where F1 is highest", value: (row) => row.best_score, show: (row) => number(row.best_score, 2) },
    { title: "Kept", hint: "predictions from the best score upwards, of all", value: (row) => row.kept, show: (row) => [count(row.kept), el("small", {}, ` of ${count(row.predictions)}`)] },
    { title: "Missed", value: (row) => row.missed, show: (row) => [count(row.missed), el("small", {}, row.instances ? ` ${percent(row.missed, row.instances)}` : "")] },
    { title: "Main error", text: true, value: (row) => (mainError(row) || [null])[0], show: (row) => {
      const main = mainError(row);
      return main ? [swatch(kindFill(main[0], kinds.indexOf(main[0]))), ` ${main[0]} (${main[1]})`] : "\u2013";
    } },
    { title: "Start", hint: "median of predicted minus true, seconds", value: (row) => row.onset, show: (row) => signed(row.onset, 2) },
    { title: "End", hint: "median of predicted minus true, seconds", value: (row) => row.offset, show: (row) => signed(row.offset, 2) },
    action && { title: "Body group", text: true, value: (row) => row.group },
  ].filter(Boolean), rows, { sort: [action ? 3 : 2, false], label: "Classes", tall: true });
}

function drawConfused(host, confusion, onPair) {
  const rows = largestConfusions(confusion).slice(0, 40);
  if (!rows.length) return show(host, el("p", { class: "quiet" }, "No class was taken for another."));
  return sortableTable(host, [
    { title: "True", text: true, wide: true, value: (row) => confusion.names[row.row] },
    { title: "Taken for", text: true, wide: true, value: (row) => confusion.names[row.column], show: (row) => (onPair ? linkTo : String)(confusion.names[row.column], () => onPair(row.row, row.column)) },
    { title: "n", value: (row) => row.amount, show: (row) => count(row.amount) },
    { title: "Share", hint: "of the true class's row", value: (row) => row.amount / row.whole, show: (row) => percent(row.amount, row.whole) },
  ], rows, { sort: [2, true], label: "Most confused classes", tall: true });
}

function drawPairs(host, pairs) {
  if (!pairs.length) return show(host, el("p", { class: "quiet" }, "No two classes occur at the same time."));
  const found = (row) => {
    const width = 80, parts = [[row.both, "var(--good)"], [row.one, "#e69f00"], [row.none, "var(--bad)"]];
    let x = 0;
    return svg("svg", { width, height: 10, class: "inline-bar", role: "img", "aria-label": `${row.both} both, ${row.one} one, ${row.none} none` },
      parts.map(([amount, colour]) => {
        const wide = row.pairs ? (amount / row.pairs) * width : 0;
        x += wide;
        return svg("rect", { x: x - wide, width: wide, height: 10, fill: colour, stroke: "var(--card)", "stroke-width": 0.5 });
      }));
  };
  return sortableTable(host, [
    { title: "One", text: true, value: (row) => row.first }, { title: "Other", text: true, value: (row) => row.second },
    { title: "Pairs", value: (row) => row.pairs, show: (row) => count(row.pairs) },
    { title: "Both found", value: (row) => (row.pairs ? row.both / row.pairs : null), show: (row) => [percent(row.both, row.pairs), " ", found(row)] },
    { title: "One found", value: (row) => row.one, show: (row) => count(row.one) },
    { title: "None", value: (row) => row.none, show: (row) => count(row.none) },
    { title: "True, s", hint: "seconds in which both occur", value: (row) => row.true_seconds },
    { title: "Predicted, s", hint: "seconds in which kept predictions of both are active", value: (row) => row.predicted_seconds },
  ], pairs, { sort: [2, true], label: "Pairs of classes", tall: true });
}

function drawSubjects(host, rows, onSubject) {
  sortableTable(host, [
    { title: "Subject", text: true, value: (row) => row.subject, show: (row) => linkTo(row.subject, () => onSubject(row.subject)) },
    { title: "Clips", value: (row) => row.clips, show: (row) => count(row.clips) },
    { title: "Instances", value: (row) => row.instances, show: (row) => count(row.instances) },
    { title: "Action", value: (row) => row.action, show: (row) => [`${number(row.action)} `, inlineBar((row.action || 0) / 100, "var(--action)", 80)] },
    { title: "Body", value: (row) => row.body, show: (row) => [`${number(row.body)} `, inlineBar((row.body || 0) / 100, "var(--body)", 80)] },
  ], rows, { sort: [2, true], label: "Subjects", tall: true });
}

const apart = (difference) => Boolean(difference.interval) && (difference.interval[0] > 0 || difference.interval[1] < 0);

function drawComparison(host, comparison) {
  const rows = [{ what: "AVG", of: "both levels", ...comparison.avg }];
  for (const level of ["action", "body"]) {
    for (const [key, value] of Object.entries(comparison[level])) rows.push({ what: key === "avg" ? `${level} Avg` : `${level} @${key}`, of: "overall", ...value });
  }
  for (const [name, value] of Object.entries(comparison.per_body)) rows.push({ what: name, of: "body group", ...value });
  for (const [name, value] of Object.entries(comparison.per_class)) rows.push({ what: name, of: "class", ...value });
  const widest = Math.max(1, ...rows.flatMap((row) => [row.difference, ...(row.interval || [])].map(Math.abs)));
  const width = 130, x = (value) => width / 2 + (value / widest) * (width / 2 - 4);
  const forest = (row) => svg("svg", { width, height: 14, class: "inline-bar", "aria-hidden": "true" },
    svg("line", { class: "axis", x1: x(0), x2: x(0), y1: 0, y2: 14 }),
    row.interval ? svg("line", { x1: x(row.interval[0]), x2: x(row.interval[1]), y1: 7, y2: 7, stroke: "var(--quiet)", "stroke-width": 1.5 }) : null,
    svg("circle", { cx: x(row.difference), cy: 7, r: 3.5, fill: !apart(row) ? "var(--plain)" : row.difference > 0 ? "var(--good)" : "var(--bad)" }));
  rows.forEach((row, index) => { row.place = index; });
  sortableTable(host, [
    { title: "#", value: (row) => row.place, show: (row) => row.place + 1 },
    { title: "What", text: true, value: (row) => row.what }, { title: "Of", text: true, value: (row) => row.of },
    { title: shorten(comparison.first, 24), hint: comparison.first, value: (row) => row.first },
    { title: shorten(comparison.second, 24), hint: comparison.second, value: (row) => row.second },
    { title: "Difference", value: (row) => row.difference, show: (row) => [signed(row.difference), " ", forest(row)] },
    { title: "95 % interval", value: (row) => (row.interval ? row.interval[0] : null), show: (row) => range(row.interval) || "\u2013" },
    { title: "Apart from 0", text: true, value: (row) => (apart(row) ? (row.difference > 0 ? "better" : "worse") : ""), show: (row) => (apart(row) ? (row.difference > 0 ? "\u25b2 better" : "\u25bc worse") : "") },
  ], rows, { sort: [0, false], label: "Comparison", marked: apart, tall: true });
}

/** A small table that does not sort. */
function plainTable(titles, rows) {
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, titles.map((title, index) => el("th", { scope: "col", class: index ? "number" : null }, title)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((value, index) => el("td", { class: index ? "number" : null }, value)))))));
}
