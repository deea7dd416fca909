// Reads the data, draws everything, and keeps the state of the clip viewer in the address.

const data = JSON.parse(byId("data").textContent);
const report = {
  taxonomy: data.taxonomy, profile: data.diagnosis.action.false_positives, reasons: data.shown.reasons,
  truePositive: 0, clips: unpackClips(data.shown),
};
{
  const scores = report.clips.flatMap((clip) => clip.predictions.map((found) => found.score));
  const [low, high] = scores.reduce(([a, b], score) => [Math.min(a, score), Math.max(b, score)], [Infinity, -Infinity]);
  report.scores = !scores.length ? [0, 1] : low >= 0 && high <= 1 ? [0, 1] : [low, high];
}
const state = { ...START, score: report.scores[0] + 0.3 * (report.scores[1] - report.scores[0]) };
const filter = makeFilter(report);
let listed = [];

// The address -------------------------------------------------------------------------------------------------------
function address() {
  const words = new URLSearchParams();
  if (state.clip !== null) words.set("clip", report.clips[state.clip].id);
  if (state.segment) words.set("segment", state.segment);
  if (state.level !== "action") words.set("level", state.level);
  if (state.query) words.set("search", state.query);
  if (state.label >= 0) words.set("class", state.label);
  if (state.group >= 0) words.set("group", state.group);
  if (state.subject !== null) words.set("subject", state.subject);
  if (state.kind) words.set("kind", state.kind);
  if (state.pair) words.set("pair", state.pair.map((each) => (each === null ? "-" : each)).join("."));
  if (state.sort !== START.sort) words.set("sort", state.sort);
  if (!state.own) words.set("score", state.score.toPrecision(3));
  return `#${words}`;
}
/** @returns whether the address held a view. */
function readAddress() {
  const hash = location.hash.slice(1);
  if (!hash.includes("=")) return false;
  const words = new URLSearchParams(hash), { taxonomy } = report;
  const within = (name, list) => (words.has(name) && Number(words.get(name)) in list ? Number(words.get(name)) : -1);
  const clip = report.clips.findIndex(({ id }) => id === words.get("clip"));
  const [level, ...pair] = (words.get("pair") || "").split(".");
  const names = level === "body" ? taxonomy.bodies : taxonomy.actions;
  const sides = pair.map((each) => (each === "-" ? null : Number(each)));
  const paired = sides.length === 2 && sides.every((each) => each === null || each in names) && sides.some((each) => each !== null);
  Object.assign(state, { level: words.get("level") === "body" ? "body" : "action", clip: clip < 0 ? null : clip, segment: words.get("segment"), query: words.get("search") || "",
    label: within("class", taxonomy.actions), group: within("group", taxonomy.bodies), subject: words.get("subject"), kind: words.get("kind") || "",
    pair: paired ? [level, ...sides] : null, sort: SORTS[words.get("sort")] ? words.get("sort") : START.sort,
    own: !Number.isFinite(parseFloat(words.get("score"))) });
  if (!state.own) state.score = parseFloat(words.get("score"));
  return true;
}
function writeAddress() {
  // A page shown from a place without addresses of its own, such as a mail's preview, may refuse.
  try { history.replaceState(null, "", address()); } catch { /* the view is still right */ }
}

// The clip viewer ---------------------------------------------------------------------------------------------------
const stage = makeStage(byId("stage"), report, filter, {
  change: (changes) => change(changes),
  address,
  pick: (segment) => { state.segment = segment; stage.update(state); writeAddress(); },
  move: (by) => {
    if (!listed.length) return;
    const now = listed.findIndex(({ index }) => index === state.clip);
    choose(listed[(now < 0 ? 0 : now + by + listed.length) % listed.length].index);
    const current = byId("clip-list").querySelector("[aria-current]");
    if (current) current.scrollIntoView({ block: "nearest", behavior: "instant" });
  },
});
function choose(index) {
  Object.assign(state, { clip: index, segment: null });
  drawClips(false);
}
function change(changes, form = true) {
  Object.assign(state, changes);
  drawClips(form);
}
function drawClips(form) {
  listed = filter.select(state);
  if (state.clip === null || !listed.some(({ index }) => index === state.clip)) {
    state.clip = listed.length ? listed[0].index : null;
    state.segment = null;
  }
  if (form) drawFilters(byId("filters"), report, state, change);
  drawList(byId("clip-list"), listed, state, report.clips.length, choose);
  stage.update(state);
  writeAddress();
}
/** Filters the clips and goes to them. */
function showClips(changes) {
  Object.assign(state, { clip: null, segment: null, query: "", label: -1, group: -1, subject: null, kind: "", pair: null }, changes);
  drawClips(true);
  byId("clips").scrollIntoView();
  byId("stage").focus({ preventScroll: true });
}
const showKind = (kind) => showClips({ kind });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const on = document.activeElement || document.body, here = byId("stage");
  const busy = on.closest("input, select, textarea, button, summary, a, video, [contenteditable]");
  const { top, bottom } = here.getBoundingClientRect();
  const seen = on === document.body && top < innerHeight * 0.7 && bottom > innerHeight * 0.3;
  if (!busy && (here.contains(on) || seen)) stage.key(event);
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());

// Everything else ---------------------------------------------------------------------------------------------------
function drawHead() {
  const { numbers } = data, columns = ["0.2", "0.5", "0.7"];
  byId("counts").textContent = [plural(numbers.clips, "clip"), plural(numbers.instances, "ground-truth instance"), plural(numbers.predictions, "prediction"),
    data.diagnosis.mode === "class_first" ? "own class judged first" : "judged as DETAD does", `errors at tIoU ${data.diagnosis.threshold}`].join(" \u00b7 ");
  const cell = (level, key) => {
    const value = key === "avg" ? numbers[level].avg : numbers[level].map[key], interval = numbers[level].intervals[key];
    return [number(value, 2), interval ? el("small", {}, range(interval)) : null];
  };
  const recalls = ["action", "body"].map((level) => numbers[level].average_recall), frame = numbers.frame_map;
  const budgets = Object.keys(recalls[0]);
  show(byId("score"), el("h2", {}, "Detection-mAP, percent"),
    el("div", { class: "score" }, el("span", { class: "quiet" }, "AVG"), el("span", { class: "big" }, number(numbers.avg, 2)),
      numbers.interval ? el("span", { class: "range" }, range(numbers.interval, 2)) : null,
      el("small", {}, numbers.interval ? `95 % interval, ${count(numbers.draws)} draws of ${plural(numbers.units, numbers.unit)}` : "no interval: made without a bootstrap")),
    el("div", { class: "score-table" }, plainTable(["", ...columns.map((key) => `@${key}`), "Avg"],
      ["action", "body"].map((level) => [level, ...columns.map((key) => cell(level, key)), cell(level, "avg")]))),
    budgets.length || frame ? el("details", {}, el("summary", {}, "Average recall, per-frame mAP"),
      budgets.length ? plainTable(["average recall of", ...budgets.map((key) => `${key}`)], ["action", "body"].map((level, i) => [level, ...budgets.map((key) => number(recalls[i][key]))])) : null,
      el("p", { class: "quiet" }, budgets.length ? "by the number of best predictions of each clip. " : "", frame ? `Per-frame mAP at ${frame.rate} frames per second: action ${number(frame.action, 2)}, body ${number(frame.body, 2)}.` : "")) : null);
  show(byId("notes"), numbers.notes.length ? el("div", { class: "note" }, el("ul", {}, numbers.notes.map((note) => el("li", {}, note)))) : null);
  show(byId("about"), Object.entries(data.about).flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, value)]),
    Object.entries(numbers.protocol).flatMap(([key, value]) => [el("dt", {}, key.replaceAll("_", " ")), el("dd", {}, Array.isArray(value) ? value.join(", ") : typeof value === "object" && value ? JSON.stringify(value) : String(value))]));
}
function drawLevel() {
  const { level } = state, diagnosis = data.diagnosis[level], { taxonomy } = report, threshold = data.diagnosis.threshold;
  const { false_positives: profile, false_negatives: misses, kept_misses: kept, confusion, co_occurrence: together, boundaries, calibration } = diagnosis;
  for (const button of document.querySelectorAll("[data-level]")) button.setAttribute("aria-pressed", String(button.dataset.level === level));
  for (const words of document.querySelectorAll(".level")) words.textContent = level === "action" ? "actions" : "body groups";
  const names = level === "action" ? taxonomy.actions : taxonomy.bodies;
  const indexOf = (name) => names.indexOf(name);
  // Clips are judged by actions: a count of body groups would lead to other predictions than it counts.
  const onKind = level === "action" ? showKind : null;
  const onPair = level !== "action" ? null : (row, column) => showClips({ pair: [level, row === null ? null : indexOf(confusion.names[row]), column === null ? null : indexOf(confusion.names[column])] });
  const onClass = (row) => showClips(level === "action" ? { label: indexOf(row.name) } : { group: indexOf(row.name) });

  const goTo = (section) => el("a", { href: `#${section}`, class: "quiet" }, "see");
  const sentences = findings(data.numbers, level, diagnosis, threshold);
  show(byId("findings"), sentences.length ? el("ul", {}, sentences.map(({ section, sentence }) => el("li", {}, sentence, " ", goTo(section)))) : el("p", {}, "Nothing stands out."));

  const wrong = sum(profile.total) - profile.total[0];
  byId("fp-lead").textContent = `Of as many predictions as there are instances, best first (1G), ${percent(profile.slices[0][0], sum(profile.slices[0]))} are right. ` +
    `Slice kG holds each class\u2019s ranks (k\u22121)\u00b7n+1 to k\u00b7n for its n instances; a good detector is right in 1G and has little to say after.${onKind ? " Click a kind to see its clips." : ""}`;
  drawProfile(byId("fp-profile"), profile, onKind);
  drawProfileLegend(byId("fp-legend"), profile, onKind);
  drawGains(byId("gains"), profile, onKind);
  const same = Object.entries(profile.same_group).filter(([kind]) => profile.total[profile.kinds.indexOf(kind)]);
  byId("gains-note").textContent = [Object.keys(profile.repaired).length ? "Filled: gained by deleting these predictions; outline: by correcting them. " : "Gained by deleting these predictions. ",
    "The kinds do not add up. ", same.length ? `In the same body group: ${same.map(([kind, amount]) => `${kind} ${percent(amount, profile.total[profile.kinds.indexOf(kind)])}`).join(", ")}. ` : "",
    profile.idle && wrong ? `${plural(profile.idle, "background prediction")} ${profile.idle === 1 ? "lies" : "lie"} where nobody does anything.` : ""].join("");

  byId("fn-lead").textContent = `${count(kept.missed)} of ${plural(kept.instances, "instance")} (${number(kept.rate)} %, 95 % interval ${range(kept.interval)}) ${kept.missed === 1 ? "matches" : "match"} no prediction at tIoU ${threshold} ` +
    `from each class\u2019s best score upwards (${number(kept.predictions_per_clip)} predictions per clip); ${count(misses.missed)} (${number(misses.rate)} %) match none of all ${number(misses.predictions_per_clip)} per clip. ` +
    `Bars: share missed from the best score upwards, with its interval; dark part: missed whatever the score; dashed: all instances; orange: clearly more than all.`;
  const cards = kept.characteristics.map((each) => [each, el("div")]);
  show(byId("fn-profile"), cards.map(([each, host]) => el("figure", { class: "card" }, el("figcaption", {}, `Missed by ${each.name}`, each.unit ? el("span", { class: "quiet" }, ` (${each.unit})`) : null), host)));
  cards.forEach(([each, host], place) => drawMissed(host, each, kept.rate, misses.characteristics[place].buckets));
  drawReasons(byId("reasons"), kept, onKind);
  drawSensitivity(byId("sensitivity"), misses);
  const most = [...misses.characteristics].sort((a, b) => b.sensitivity - a.sensitivity)[0];
  byId("sensitivity-note").textContent = `Dashed: all instances, ${number(misses.map_n)} %.` + (most
    ? ` Most depends on ${most.name}: ${number(most.sensitivity)} points between its best and worst bucket (${number(most.lowest, 2)} to ${number(most.highest, 2)} times the whole); removing that could win up to ${number(most.impact)}.` : "");

  drawClasses(byId("class-table"), diagnosis.classes, data.numbers[level].per_class_intervals, report.profile.kinds, level === "action", onClass);
  drawMatrix(byId("matrix"), confusion, taxonomy.bodies, onPair);
  byId("matrix-note").textContent = "Rows: true; columns: predicted, from each class\u2019s best score upwards. Darkness: share of the row. Green: found; orange: taken for another class; grey: missed, or nothing there. Lines part body groups.";
  drawConfused(byId("confused"), confusion, onPair);
  byId("co-lead").textContent = `${count(together.overlapping)} instances overlap one of another class, ${count(together.alone)} do not. Found: ${number(together.recall_overlapping)} % of the overlapping, ${number(together.recall_alone)} % of the others. ` +
    `Both of a pair are found in ${number(together.both)} % of pairs; ${number(together.expected_both)} % would be expected if one told nothing of the other.`;
  drawPairs(byId("pairs"), together.pairs);

  byId("boundary-lead").textContent = `Of predictions from each class\u2019s best score upwards and the instances that they overlap (tIoU 0.1).` +
    (missing(boundaries.length_ratio) ? "" : ` The median prediction is ${number(boundaries.length_ratio, 2)} times as long as its instance.`);
  drawOffsets(byId("onset"), boundaries.edges, boundaries.onset_histogram, boundaries.onset);
  drawOffsets(byId("offset"), boundaries.edges, boundaries.offset_histogram, boundaries.offset);
  drawCalibration(byId("calibration"), calibration);
  byId("calibration-note").textContent = missing(calibration.error) ? "" : `Expected calibration error ${number(calibration.error, 3)}. Dot size: number of predictions; above the dashed line scores are too modest, below it too bold.`;
  const offsets = (each) => (each.pairs ? `${signed(each.median, 2)} (${number(each.absolute, 2)})` : "\u2013");
  show(byId("within"), el("h3", {}, "Pairs within a tolerance"), plainTable(["seconds", "start", "end"], Object.entries(boundaries.within).map(([key, [start, end]]) => [key, `${number(start, 0)} %`, `${number(end, 0)} %`])));
  show(byId("by-length"), el("h3", {}, "By length: median (mean size), s"), plainTable(["length", "start", "end", "pairs"], boundaries.by_length.map(([label, start, end]) => [label, offsets(start), offsets(end), count(start.pairs)])));
  const groups = Object.entries(calibration.by_group);
  show(byId("by-group"), groups.length ? [el("h3", {}, "Calibration error by body group"), plainTable(["body group", "error"], groups.map(([name, error]) => [name, number(error, 3)]))] : []);
}
function drawRest() {
  for (const [id, there] of [["subjects", data.numbers.per_subject.length], ["comparison", data.comparison]]) {
    byId(id).hidden = !there;
    document.querySelector(`[data-for="${id}"]`).hidden = !there;
  }
  if (data.numbers.per_subject.length) drawSubjects(byId("subject-table"), data.numbers.per_subject, (subject) => showClips({ subject }));
  if (data.comparison) {
    const { comparison } = data, { avg } = comparison;
    byId("comparison-lead").textContent = `${comparison.second} minus ${comparison.first}, percentage points, with 95 % intervals from ${count(comparison.draws)} paired draws of ${plural(comparison.units, comparison.unit)}. ` +
      `AVG: ${signed(avg.difference, 2)}${avg.interval ? ` (${range(avg.interval, 2)})` : ""}. Bold: the interval leaves out 0. With many classes, one in twenty does so by chance.`;
    drawComparison(byId("comparison-table"), comparison);
  }
  const shown = sum(report.clips.map((clip) => clip.predictions.length));
  byId("clips-lead").textContent = report.clips.length ? `${plural(report.clips.length, "clip")} with ${plural(shown, "prediction")}, always at the level of actions. What fits the filter stays in full colour.` : "This report was made without clips.";
}

byId("links").addEventListener("click", (event) => {
  const section = event.target.closest("a");
  if (!section) return;
  event.preventDefault();
  byId(section.getAttribute("href").slice(1)).scrollIntoView();
});
byId("findings").addEventListener("click", (event) => {
  const section = event.target.closest("a");
  if (!section) return;
  event.preventDefault();
  byId(section.getAttribute("href").slice(1)).scrollIntoView();
});
for (const button of document.querySelectorAll("[data-level]")) {
  button.addEventListener("click", () => { state.level = button.dataset.level; drawLevel(); stage.update(state); writeAddress(); });
}
const current = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
  const words = document.querySelector(`#links a[href="#${target.id}"]`);
  if (words && isIntersecting) {
    document.querySelectorAll("#links a[aria-current]").forEach((each) => each.removeAttribute("aria-current"));
    words.setAttribute("aria-current", "true");
  }
}), { rootMargin: "-20% 0px -70% 0px" });
document.querySelectorAll("main > section").forEach((section) => current.observe(section));

let width = innerWidth, waiting = null;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(() => { drawThresholds(byId("thresholds"), data.numbers); drawLevel(); stage.redraw(); }, 120);
});
addEventListener("hashchange", () => { if (readAddress()) { drawLevel(); drawClips(true); } });
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));

document.body.append(hatchDefinitions());
const linked = readAddress();
drawHead();
drawThresholds(byId("thresholds"), data.numbers);
drawLevel();
drawRest();
drawClips(true);
if (linked && location.hash.includes("clip=")) byId("clips").scrollIntoView({ behavior: "instant" });
