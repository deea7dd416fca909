// Which clips and segments fit the filters, the filter form, and the list of clips.

const TRUTH_STEP = 5, PREDICTION_STEP = 10, LISTED = 150;
const at = (value) => (value < 0 ? null : value);
const thousandths = (value) => (value < 0 ? null : value / 1000);

function unpackClips({ reasons, clips }) {
  return clips.map(([id, subject, duration, video, hidden, truth, predictions]) => {
    const clip = { id, subject, duration, video, hidden, truth: [], predictions: [] };
    for (let i = 0; i < truth.length; i += TRUTH_STEP) {
      const [start, end, label, match, missed] = truth.slice(i, i + TRUTH_STEP);
      clip.truth.push({ start: start / 1000, end: end / 1000, label, match: at(match), missed: missed < 0 ? null : reasons[missed] });
    }
    for (let i = 0; i < predictions.length; i += PREDICTION_STEP) {
      const [start, end, label, score, kind, kept, tiou, other, truthRow, otherRow] = predictions.slice(i, i + PREDICTION_STEP);
      clip.predictions.push({ start: start / 1000, end: end / 1000, label, score, kind, kept: kept === 1,
        tiou: thousandths(tiou), other: thousandths(other), truth: at(truthRow), other_truth: at(otherRow) });
    }
    return clip;
  });
}

const START = { level: "action", clip: null, segment: null, query: "", label: -1, group: -1, subject: null, kind: "", pair: null, sort: "errors", own: true, score: null };

/** What of a clip is shown and fits, given the state; the only place that knows what a filter means. */
function makeFilter(report) {
  const { taxonomy, profile, truePositive } = report;
  const involvesOther = new Set(Object.keys(profile.same_group));
  const visible = (state, found) => (state.own ? found.kept : found.score >= state.score);
  const missed = (state, clip, row) => row.match === null || !visible(state, clip.predictions[row.match]);
  const fits = (state, label) => (state.label < 0 || label === state.label) && (state.group < 0 || taxonomy.body_of[label] === state.group);

  function predictionFits(state, clip, found) {
    if (!visible(state, found) || !fits(state, found.label)) return false;
    const kind = profile.kinds[found.kind];
    if (state.kind && kind !== state.kind) return false;
    if (!state.pair) return true;
    const [level, was, said] = state.pair, as = (label) => (level === "body" ? taxonomy.body_of[label] : label);
    if (said === null || as(found.label) !== said) return false;
    if (was === said) return found.kind === truePositive;
    if (was === null) return kind === "background";
    return involvesOther.has(kind) && found.other_truth !== null && as(clip.truth[found.other_truth].label) === was;
  }
  function truthFits(state, clip, row) {
    if (!fits(state, row.label)) return false;
    const gone = missed(state, clip, row);
    if (state.kind === "missed" ? !gone : state.kind.startsWith("missed/") ? !gone || `missed/${row.missed}` !== state.kind : state.kind) return false;
    if (!state.pair) return true;
    const [level, was, said] = state.pair, as = level === "body" ? taxonomy.body_of[row.label] : row.label;
    return as === was && (said === null ? gone : was === said && !gone);
  }
  const narrowed = (state) => state.label >= 0 || state.group >= 0 || Boolean(state.kind) || Boolean(state.pair);

  function look(state, clip) {
    const predictions = [], truth = [];
    clip.predictions.forEach((found, index) => { if (predictionFits(state, clip, found)) predictions.push(index); });
    clip.truth.forEach((row, index) => { if (truthFits(state, clip, row)) truth.push(index); });
    const wrong = clip.predictions.filter((found) => visible(state, found) && found.kind !== truePositive && fits(state, found.label)).length;
    const gone = clip.truth.filter((row) => fits(state, row.label) && missed(state, clip, row)).length;
    return { predictions, truth, wrong, gone, hits: predictions.length + truth.length };
  }
  function passes(state, clip, seen) {
    if (state.subject !== null && clip.subject !== state.subject) return false;
    if (state.query && !clip.id.toLowerCase().includes(state.query.toLowerCase())) return false;
    return !narrowed(state) || seen.hits > 0;
  }
  const orders = {
    errors: (a, b) => b.seen.wrong + b.seen.gone - a.seen.wrong - a.seen.gone, wrong: (a, b) => b.seen.wrong - a.seen.wrong,
    missed: (a, b) => b.seen.gone - a.seen.gone, hits: (a, b) => b.seen.hits - a.seen.hits, id: () => 0,
  };
  function select(state) {
    const rows = report.clips.map((clip, index) => ({ clip, index, seen: look(state, clip) })).filter(({ clip, seen }) => passes(state, clip, seen));
    return rows.sort((a, b) => (orders[state.sort] || orders.errors)(a, b) || codeOrder(a.clip.id, b.clip.id));
  }
  return { visible, missed, narrowed, look, select };
}

const SORTS = { errors: "wrong + missed", wrong: "most wrong", missed: "most missed", hits: "best fit of filter", id: "name" };
const classTitle = (taxonomy, label) => (taxonomy.codes[label] ? `${taxonomy.codes[label]} ${taxonomy.actions[label]}` : taxonomy.actions[label]);

function drawFilters(host, report, state, change) {
  const { taxonomy, profile, clips } = report;
  const option = (value, words, chosen) => el("option", { value, selected: chosen }, words);
  const used = new Set(clips.flatMap((clip) => [...clip.truth, ...clip.predictions].map((row) => row.label)));
  const labels = [...used].sort((a, b) => codeOrder(taxonomy.codes[a], taxonomy.codes[b]));
  const groups = taxonomy.bodies.map((name, group) => [name, labels.filter((label) => taxonomy.body_of[label] === group)]).filter(([, members]) => members.length);
  const subjects = [...new Set(clips.map((clip) => clip.subject).filter((subject) => subject !== null))].sort(codeOrder);
  const kinds = [...profile.kinds, "missed", ...report.reasons.map((reason) => `missed/${reason}`)];
  const field = (title, name, control) => {
    control.name = name;
    return el("label", {}, title, control);
  };
  const choose = (key, parse = (value) => value) => ({ change: (event) => change({ [key]: parse(event.target.value) }) });
  const pair = state.pair && pairWords(report, state.pair);
  show(host,
    field("Search", "query", el("input", { type: "search", value: state.query, placeholder: "clip name", on: { input: (event) => change({ query: event.target.value }, false) } })),
    field("Class", "label", el("select", { on: choose("label", Number) }, option(-1, "all classes", state.label < 0),
      groups.map(([name, members]) => el("optgroup", { label: name }, members.map((label) => option(label, classTitle(taxonomy, label), label === state.label)))))),
    field("Body group", "group", el("select", { on: choose("group", Number) }, option(-1, "all body groups", state.group < 0),
      groups.map(([name]) => option(taxonomy.bodies.indexOf(name), name, taxonomy.bodies.indexOf(name) === state.group)))),
    subjects.length ? field("Subject", "subject", el("select", { on: { change: (event) => change({ subject: event.target.selectedIndex ? subjects[event.target.selectedIndex - 1] : null }) } },
      option("", "all subjects", state.subject === null), subjects.map((subject) => option(subject, subject, subject === state.subject)))) : null,
    field("Kind", "kind", el("select", { on: choose("kind") }, option("", "everything", !state.kind),
      kinds.map((kind) => option(kind, kind.replace("missed/", "missed: "), kind === state.kind)))),
    field("Order", "sort", el("select", { on: choose("sort") }, Object.entries(SORTS).map(([key, words]) => option(key, words, key === state.sort)))),
    pair ? el("span", { class: "chip" }, pair, el("button", { type: "button", "aria-label": "remove this filter", on: { click: () => change({ pair: null }) } }, "\u00d7")) : null,
    el("span", { class: "end" }, el("button", { type: "button", class: "plain", id: "reset", on: { click: () => change({ query: "", label: -1, group: -1, subject: null, kind: "", pair: null }) } }, "Reset")));
}

function pairWords({ taxonomy }, [level, was, said]) {
  const names = level === "body" ? taxonomy.bodies : taxonomy.actions;
  if (was === said) return `${names[was]}, found`;
  if (was === null) return `background, predicted ${names[said]}`;
  return said === null ? `${names[was]}, missed` : `${names[was]}, taken for ${names[said]}`;
}

function drawList(host, rows, state, total, choose) {
  const words = rows.length === total ? plural(total, "clip") : `${count(rows.length)} of ${plural(total, "clip")}`;
  const item = ({ clip, index, seen }) => el("button", { type: "button", class: "clip", "data-clip": clip.id, "aria-current": index === state.clip ? "true" : null, on: { click: () => choose(index) } },
    el("b", {}, clip.id), el("small", {}, `${count(seen.wrong)} wrong \u00b7 ${count(seen.gone)} missed${state.kind || state.pair || state.label >= 0 || state.group >= 0 ? ` \u00b7 ${count(seen.hits)} fit` : ""}`));
  let shown = Math.max(LISTED, rows.findIndex(({ index }) => index === state.clip) + 1);
  const draw = () => show(host, el("p", { class: "quiet", role: "status" }, rows.length ? words : "No clip fits; reset the filter or lower the score."), rows.slice(0, shown).map(item),
    rows.length > shown ? el("button", { type: "button", class: "plain", on: { click: () => { shown += LISTED; draw(); } } }, `Show ${count(Math.min(LISTED, rows.length - shown))} more`) : null);
  draw();
}
