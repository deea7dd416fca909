// The page: what is shown, what is selected, and what the controls and keys do.
import { makeClasses } from "./classes.js";
import { clockText, makeClock } from "./clock.js";
import { freshId, makeEdits } from "./edits.js";
import { heading, makeKeys } from "./keys.js";
import { makeLanes } from "./lanes.js";
import { makePlayer } from "./player.js";
import { ask, makeSaver } from "./saver.js";

const POLL = 3000;
const FIXED = "this layer stays as it is; press d to copy the segment to the corrections";
const FORMATS = { csv: ["CSV", "a table that mmad and spreadsheets read"], elan: ["ELAN", ".eaf, a tier for each class"], boris: ["BORIS project", "one observation with its events"], boris_table: ["BORIS table", "aggregated events"], json: ["JSON", "ActivityNet\u2019s layout"] };

history.replaceState(null, "", location.pathname + location.hash); // the token shall not stay in sight
const project = await ask("project");
const { actions, codes, thresholds } = project, labelOf = new Map(actions.map((name, index) => [name, index]));
const numbers = new Map(project.clips.map(({ id }, index) => [id, index]));
const className = (label) => [codes[label], actions[label]].filter(Boolean).join(" ");

let clip = null, clock = null, player = null, edits = null, chosen = null, unplayable = null, untold = null, loading = 0, wanted = 0;
const score = { own: thresholds !== null, least: project.scores ? (project.scores[0] + project.scores[1]) / 2 : 0 };

document.title = `${project.title} \u2013 mmad-view`;
byId("title").textContent = project.title;
const say = (words) => { byId("said").textContent = words; };
function state(words, kind) {
  byId("saved").textContent = kind === "gone" ? "not saved" : words;
  byId("saved").className = kind;
  byId("gone").hidden = kind !== "gone";
  if (kind === "gone" && byId("gone").textContent !== words) byId("gone").textContent = words;
}
/** What became of edits while they waited; it is told until the next edit. */
function news(id, words) {
  const shown = clip && id === clip.id && wanted === clip.number; // else another one is on its way
  untold = [untold, shown ? words : `${id}: ${words}`].filter(Boolean).join(" ");
  tell();
  if (shown) load(clip.number);
}
const saver = makeSaver(project.output, numbers, { state, news });
window.addEventListener("beforeunload", (event) => { if (saver.pending) event.preventDefault(); });

// Layers ---------------------------------------------------------------------------------------------------------------
const counts = (row) => (score.own ? thresholds[row.label] !== null && row.score >= thresholds[row.label] : row.score >= score.least);
const isScored = (index) => index > 0 && project.layers[index - 1].kind === "prediction";
function rowsOf(index) {
  if (!index) return [...edits.segments.values()].map((segment) => ({ ...segment, label: labelOf.get(segment.label) ?? 0 }));
  return isScored(index) ? clip.layers[index - 1].filter(counts) : clip.layers[index - 1];
}
function layers() {
  return [{ name: "corrections", kind: "corrections", rows: rowsOf(0) }, ...project.layers.map((layer, index) => ({ ...layer, rows: rowsOf(index + 1) }))];
}
const rowOf = (selection) => (selection ? rowsOf(selection.layer).find((row) => row.id === selection.id) || null : null);
const mine = () => (chosen && chosen.layer === 0 ? edits.segments.get(chosen.id) || null : null);

// Changes --------------------------------------------------------------------------------------------------------------
function changed(words) {
  if (!rowOf(chosen)) chosen = null;
  refresh();
  if (words) say(words);
}
function forget() {
  untold = null;
  tell();
}
function edit(change, words) {
  forget();
  edits.edit(change);
  changed(words);
}
function put(segment, changes, words) {
  const made = { ...segment, ...changes };
  if (!(made.start < made.end) || (made.start === segment.start && made.end === segment.end && made.label === segment.label && made.checked === segment.checked)) return;
  edit({ put: [made] }, words || `${made.label}, ${clockText(made.start)} to ${clockText(made.end)} s`);
}
/** A row of another layer as a segment of the corrections; predictions go onto frames. */
function taken(row, index) {
  const fit = isScored(index) ? clock.snap : (time) => time;
  const [start, end] = [row.start, row.end].map((time) => fit(Math.min(Math.max(time, 0), clock.duration)));
  return { id: freshId(), start, end: end > start ? end : clock.shift(start, 1), label: actions[row.label] };
}
function startFrom(index) {
  const copies = index < 0 ? [] : rowsOf(index).map((row) => taken(row, index)).filter((row) => row.start < row.end);
  chosen = null;
  edit({ remove: [...edits.segments.keys()], put: copies }, `corrections begin with ${plural(copies.length, "segment")}`);
}
function take() {
  const row = rowOf(chosen);
  if (!row || !chosen.layer) return;
  const made = taken(row, chosen.layer);
  chosen = { layer: 0, id: made.id };
  edit({ put: [made] }, `copied ${made.label}`);
}
async function add(time = player.time, body = null) {
  player.pause();
  const label = await classes("Add a segment: which class?", null, body);
  if (label === null) return;
  const start = clock.snap(Math.min(time, clock.shift(clock.duration, -1))), end = clock.snap(Math.min(clock.duration, start + 1));
  const made = { id: freshId(), start, end: end > start ? end : clock.shift(start, 1), label: actions[label] };
  chosen = { layer: 0, id: made.id };
  edit({ put: [made] }, `added ${made.label} at ${clockText(start)} s`);
}
async function relabel() {
  const segment = mine();
  if (!segment) { if (chosen) say(FIXED); return; }
  const label = await classes("Change the class", labelOf.get(segment.label));
  if (label !== null && edits.segments.has(segment.id)) put(edits.segments.get(segment.id), { label: actions[label] });
}
function remove() {
  const segment = mine();
  if (!segment) { if (chosen) say(FIXED); return; }
  chosen = null;
  edit({ remove: [segment.id] }, `deleted ${segment.label}`);
}
function turn(what) {
  const change = edits[what]();
  if (!change) return say(`nothing to ${what}`);
  forget();
  const only = change.put.length === 1 ? change.put[0].id : null;
  if (only) chosen = { layer: 0, id: only };
  changed(what === "undo" ? "undone" : "done again");
  return undefined;
}
/** Moves an end of the segment by frames, or to a time. */
function trim(side, { by = 0, to = null }) {
  const segment = mine();
  if (!segment) { if (chosen) say(FIXED); return; }
  const time = to === null ? clock.shift(segment[side], by) : to;
  if (side === "start" ? time >= segment.end : time <= segment.start) { say("a segment lasts a frame at least"); return; }
  put(segment, { [side]: time });
  if (to === null) player.seek(side === "end" ? clock.shift(time, -1) : time);
}
const check = () => { const segment = mine(); if (segment) put(segment, { checked: !segment.checked || undefined }, segment.checked ? "not checked" : "checked"); };

// Selection ------------------------------------------------------------------------------------------------------------
function choose(selection, go = false) {
  chosen = selection;
  const row = rowOf(chosen);
  if (go && row) player.seek(Math.min(Math.max(row.start, 0), clock.duration));
  lanes.choose(chosen);
  details();
  if (go && row) say(`${layers()[chosen.layer].name}: ${className(row.label)}, ${clockText(row.start)} to ${clockText(row.end)} s`);
}
const inOrder = (rows) => [...rows].sort((a, b) => a.start - b.start || a.end - b.end || a.label - b.label);
function step(by) {
  const layer = chosen ? chosen.layer : 0, rows = inOrder(rowsOf(layer));
  if (!rows.length) { say("this layer has no segment"); return; }
  const now = chosen ? rows.findIndex((row) => row.id === chosen.id) : -1;
  const beside = by > 0 ? rows.findIndex((row) => row.start >= player.time - 1e-6) : rows.findLastIndex((row) => row.start <= player.time + 1e-6);
  const next = now >= 0 ? (now + by + rows.length) % rows.length : beside < 0 ? (by > 0 ? 0 : rows.length - 1) : beside;
  choose({ layer, id: rows[next].id }, true);
}
function stepLayer(by) {
  const all = layers(), from = chosen ? chosen.layer : by > 0 ? -1 : all.length;
  for (let index = from + by; index >= 0 && index < all.length; index += by) {
    if (!all[index].rows.length) continue;
    const near = rowOf(chosen)?.start ?? player.time, [best] = [...all[index].rows].sort((a, b) => Math.abs(a.start - near) - Math.abs(b.start - near));
    choose({ layer: index, id: best.id }, true);
    return;
  }
}
function playChosen() {
  const row = rowOf(chosen);
  if (row) player.play(Math.max(0, row.start), Math.min(row.end, clock.duration));
  else player.toggle();
}

// What is drawn --------------------------------------------------------------------------------------------------------
function refresh() {
  lanes.update(layers(), chosen);
  details();
  tools();
}
function field(side, segment) {
  const input = el("input", { type: "number", min: 0, max: clock.duration, step: "any", id: `field-${side}`, "aria-label": `${side} in seconds`,
    value: Number(segment[side].toFixed(3)), on: { change: () => { const to = Math.min(Math.max(Number(input.value), 0), clock.duration); if (input.value) trim(side, { to }); details(); } } });
  const nudge = (by) => el("button", { type: "button", class: "plain", id: `${side}-${by < 0 ? "earlier" : "later"}`, "aria-label": `${side} a frame ${by < 0 ? "earlier" : "later"}`, title: `key ${{ start: ["q", "w"], end: ["e", "r"] }[side][by < 0 ? 0 : 1]}`, on: { click: () => trim(side, { by }) } }, by < 0 ? "\u2212" : "+");
  return el("div", { class: "field" }, el("label", { for: `field-${side}` }, side === "start" ? "Start" : "End"), nudge(-1), input, nudge(1),
    el("button", { type: "button", class: "plain", id: `${side}-here`, title: side === "start" ? "key i" : "key o", on: { click: () => trim(side, { to: player.time }) } }, "= playhead"));
}
function details() {
  const row = rowOf(chosen), host = byId("details"), focused = document.activeElement?.id;
  const button = (id, key, words, action) => el("button", { type: "button", class: "plain", id, on: { click: action } }, words, " ", el("kbd", {}, key));
  if (!row) {
    const checked = rowsOf(0).filter((each) => each.checked).length;
    show(host, el("h2", {}, "No segment selected"), el("p", { class: "quiet" }, edits.begun ? `${plural(edits.segments.size, "segment")} in the corrections of this clip, ${count(checked)} checked.` : "The corrections of this clip are not begun yet."),
      el("p", { class: "quiet" }, "Click a segment in the timeline, or press n. Double click on a free place of a lane to add one."), el("div", { class: "buttons" }, button("add", "a", "Add at the playhead", () => add())));
  } else {
    const segment = mine(), layer = layers()[chosen.layer], frames = [clock.at(row.start), Math.max(clock.at(row.start), clock.at(Math.max(0, row.end - clock.pace / 2)))];
    show(host, el("h2", {}, el("span", { class: `dot body-${project.body_of[row.label] % 8}` }), className(row.label)),
      el("p", { class: "quiet" }, `${layer.name} \u00b7 ${project.bodies[project.body_of[row.label]]}${row.score === null || row.score === undefined ? "" : ` \u00b7 score ${number(row.score, 3)}`}`),
      segment ? [field("start", segment), field("end", segment)] : el("p", {}, `${clockText(row.start)} to ${clockText(row.end)} s`),
      el("p", { class: "quiet" }, `lasts ${number(row.end - row.start, 2)} s \u00b7 frames ${frames[0]} to ${frames[1]}`),
      el("div", { class: "buttons" }, button("play-segment", "Enter", "Play", playChosen),
        segment ? [button("relabel", "c", "Class", relabel), el("button", { type: "button", class: "plain", id: "check", "aria-pressed": row.checked ? "true" : "false", on: { click: check } }, "Checked ", el("kbd", {}, "m")), button("delete", "Del", "Delete", remove)]
          : button("take", "d", "Copy to the corrections", take)));
  }
  if (focused && host.contains(document.activeElement) === false && byId(focused) && host.contains(byId(focused))) byId(focused).focus();
}
function tools() {
  byId("undo").disabled = !edits.undoable;
  byId("redo").disabled = !edits.redoable;
  const all = [...project.layers.map(({ name }, index) => [name, index + 1]), ["nothing", -1]];
  if (edits.begun) {
    const again = el("select", { id: "start-again", "aria-label": "Begin the corrections again from", on: { change: () => { const to = Number(again.value); again.value = ""; if (to) startFrom(to); } } },
      el("option", { value: "" }, "begin again from \u2026"), all.map(([name, index]) => el("option", { value: index }, name)));
    show(byId("start"), el("b", {}, "Corrections"), ` ${plural(edits.segments.size, "segment")} `, again);
  } else show(byId("start"), el("b", {}, "Begin the corrections from"), all.map(([name, index]) => el("button", { type: "button", class: "plain", on: { click: () => startFrom(index) } }, name)));
  const option = byId("clip").options[clip.number], known = project.clips[clip.number];
  known.edits = edits.undoable;
  option.textContent = clipTitle(known);
}
const clipTitle = ({ id, edits: done }) => `${id}${done ? ` \u2013 ${plural(done, "edit")}` : ""}`;
function scoreTools() {
  if (!project.scores) return;
  const [low, high] = project.scores, digits = high - low > 10 ? 0 : 2;
  const own = el("input", { type: "checkbox", id: "own", checked: score.own, on: { change: () => { score.own = own.checked; told(); changed(); } } });
  const slider = el("input", { type: "range", id: "least", min: low, max: high, step: (high - low) / 200 || 0.01, value: score.least, "aria-label": "least score shown", title: "threshold (t)",
    on: { input: () => { score.own = false; own.checked = false; score.least = Number(slider.value); told(); changed(); } } });
  const least = el("output", { for: "least" });
  const told = () => { least.textContent = score.own ? "" : number(score.least, digits); };
  show(byId("scores"), thresholds ? el("label", {}, own, "each class\u2019s own threshold") : null, el("label", {}, thresholds ? "or score from" : "Predictions from score", slider, least));
  told();
}
function moved(time) {
  lanes.point(time, Boolean(player && player.running));
  byId("now").textContent = `${clockText(time, 3)} s \u00b7 frame ${Math.min(clock.at(time), clock.total - 1)}`;
}
const playing = (on) => { byId("play").textContent = on ? "\u275a\u275a Pause" : "\u25b6 Play"; };

// Clips ----------------------------------------------------------------------------------------------------------------
const classes = makeClasses(byId("class-dialog"), project);
const lanes = makeLanes(byId("lanes"), project, {
  seek: (time) => { player.pause(); player.seek(time); },
  preview: (time) => player.seek(Math.min(time, clock.start(clock.total - 1))),
  select: (layer, id) => choose({ layer, id }), change: (id, start, end) => put(edits.segments.get(id), { start, end }),
  add, fixed: () => say(FIXED), double: (layer, id) => { choose({ layer, id }); playChosen(); },
});
function tell() {
  byId("fault").textContent = [untold, unplayable].filter(Boolean).join(" ");
  byId("fault").hidden = !untold && !unplayable;
}
async function load(number) {
  const mineNow = (loading += 1);
  wanted = number;
  if (saver.pending) await saver.flush(); // else the state would lack what still waits
  let answer;
  try {
    answer = await ask(`clip/${number}`);
  } catch (error) {
    if (mineNow === loading && clip) wanted = clip.number;
    state(error.status ? `The clip cannot be shown: ${error.message}` : "The server does not answer: is mmad-view still running? Nothing waits to be saved.", "gone");
    return;
  }
  if (mineNow !== loading) return;
  if (saver.waiting(answer.id)) { await load(number); return; }
  const same = clip && clip.id === answer.id;
  clip = { ...answer, number, video: !answer.fault, layers: answer.layers.map((rows) => rows.map(([start, end, label, value], index) => ({ id: `s${index}`, start, end, label, score: value }))) };
  saver.know(clip.id, answer.edited.version);
  edits = makeEdits(answer.edited, (...made) => saver.send(clip.id, ...made));
  if (!same) {
    if (player) player.close();
    clock = makeClock(clip);
    chosen = null;
    lanes.load(clock);
    byId("clip").value = String(number);
    history.replaceState(null, "", `${location.pathname}#${encodeURIComponent(clip.id)}`);
    unplayable = null;
    tell();
    player = makePlayer(byId("screen"), clip, clock, { moved, playing, unplayable: (why) => { unplayable = why; tell(); } });
    player.loop = byId("loop").checked;
    player.speed = Number(byId("speed").value);
    for (const id of ["play", "speed", "loop"]) byId(id).disabled = !player.playable;
    playing(false);
    player.seek(0);
  }
  byId("previous-clip").disabled = number === 0;
  byId("next-clip").disabled = number === project.clips.length - 1;
  changed();
  if (!saver.pending) state("saved", "fine");
}
const turnClip = (by) => { const next = clip.number + by; if (next >= 0 && next < project.clips.length) load(next); };

async function watch() {
  if (clip && !saver.pending && !document.hidden) {
    const { id, number } = clip, before = saver.version(id);
    try {
      const { version } = await ask(`version/${number}`);
      if (!saver.pending && byId("saved").className === "gone") state("saved", "fine");
      if (clip.id === id && !saver.pending && saver.version(id) === before && version !== before) news(id, "Another window has edited this clip; this is the newest state.");
    } catch {
      if (!saver.pending) state("The server does not answer: is mmad-view still running? Everything so far is saved.", "gone");
    }
  }
  setTimeout(watch, POLL);
}

// Export ---------------------------------------------------------------------------------------------------------------
function openExport() {
  const dialog = byId("export-dialog"), said = el("div", { role: "status", class: "said" });
  const write = async (to) => {
    try {
      show(said, el("p", {}, "writing \u2026"));
      await saver.flush();
      const { path, name, download } = await ask(`export/${clip.number}`, { to });
      show(said, el("p", {}, "Written: ", el("code", {}, path)), el("p", {}, el("a", { href: download, download: name, id: "download" }, "Download a copy")));
    } catch (error) {
      show(said, el("p", { class: "wrong" }, `Not exported: ${error.message}`));
    }
  };
  show(dialog, heading(`Export the corrections of ${clip.id}`), el("div", { class: "formats" }, project.formats.map((to) => el("button", { type: "button", class: "plain", "data-to": to, on: { click: () => write(to) } }, el("b", {}, FORMATS[to][0]), el("small", {}, FORMATS[to][1])))),
    said, el("p", { class: "quiet" }, "All clips together are always in ", el("code", {}, project.output), "."));
  dialog.showModal();
}

// The first clip --------------------------------------------------------------------------------------------------------
show(byId("clip"), project.clips.map((each, index) => el("option", { value: index }, clipTitle(each))));
show(byId("legend"), [["corrections", "corrections, which you change"], ...[...new Set(project.layers.map(({ kind }) => kind))].map((kind) => [kind, project.layers.filter((layer) => layer.kind === kind).map(({ name }) => name).join(", ")])]
  .map(([kind, words]) => el("span", {}, svg("svg", { width: 30, height: 14, "aria-hidden": "true" }, svg("g", { class: `bar ${kind} body-0` }, svg("rect", { class: "shape", x: 1, y: 1, width: 28, height: 12, rx: 2 }),
    kind === "prediction" ? svg("rect", { class: "hatch", x: 1, y: 1, width: 28, height: 12, fill: "url(#slant)" }) : null, kind === "annotation" ? svg("path", { class: "ends", d: "M2 1V13M28 1V13" }) : null)), words)));
scoreTools();
if (saver.pending) await saver.flush();
let first = 0;
try { first = numbers.get(decodeURIComponent(location.hash.slice(1))) ?? 0; } catch { /* a hash of somebody else */ }
await load(first);

// Controls and keys ----------------------------------------------------------------------------------------------------
const frame = (by) => { player.pause(); player.seek(clock.start(clock.clamp(clock.at(player.time) + by))); };
const second = (by) => { player.pause(); player.seek(clock.snap(Math.min(Math.max(player.time + by, 0), clock.duration))); };
/** Where to zoom: at the playhead, or at the segment if the playhead is elsewhere. */
function focus() {
  const row = rowOf(chosen);
  return row && (player.time < row.start || player.time > row.end) ? Math.max(0, row.start) : player.time;
}
const zoomIn = () => lanes.zoom(0.5, focus()), zoomOut = () => lanes.zoom(2, focus());
const toggleLoop = () => { byId("loop").checked = !byId("loop").checked; player.loop = byId("loop").checked; };
const openHelp = makeKeys(byId("help-dialog"), [
  ["Playing", [
    ["play, pause", { " ": () => player.toggle() }], ["play the segment", { Enter: playChosen }], ["loop the segment", { l: toggleLoop }],
    ["a frame back, on", { ArrowLeft: () => frame(-1), ArrowRight: () => frame(1) }], ["a second back, on", { "Shift+ArrowLeft": () => second(-1), "Shift+ArrowRight": () => second(1) }],
    ["start, end of the clip", { Home: () => player.seek(0), End: () => player.seek(clock.start(clock.total - 1)) }]]],
  ["Choosing", [
    ["next, previous segment", { n: () => step(1), p: () => step(-1) }], ["next, previous layer", { ArrowDown: () => stepLayer(1), ArrowUp: () => stepLayer(-1) }],
    ["choose nothing", { Escape: () => { if (!lanes.cancel()) choose(null); } }], ["next, previous clip", { PageDown: () => turnClip(1), PageUp: () => turnClip(-1) }]]],
  ["View", [
    ["zoom in, out", { "+": zoomIn, "=": zoomIn, "-": zoomOut }], ["the whole clip", { 0: () => lanes.fit() }],
    ["threshold of predictions", { t: () => byId("least")?.focus() }], ["this help", { "?": () => openHelp() }]]],
  ["Correcting", [
    ["begin the corrections", { s: () => byId("start").querySelector("button, select").focus() }], ["copy a segment to the corrections", { d: take }],
    ["add a segment at the playhead", { a: () => add() }], ["change the class", { c: relabel }], ["delete", { Delete: remove, Backspace: remove }], ["checked, or not", { m: check }],
    ["start, end at the playhead", { i: () => trim("start", { to: player.time }), o: () => trim("end", { to: player.time }) }],
    ["start a frame earlier, later", { q: () => trim("start", { by: -1 }), w: () => trim("start", { by: 1 }) }], ["end a frame earlier, later", { e: () => trim("end", { by: -1 }), r: () => trim("end", { by: 1 }) }],
    ["undo", { "Ctrl+z": () => turn("undo") }], ["redo", { "Ctrl+Shift+z": () => turn("redo"), "Ctrl+y": () => turn("redo") }], ["export", { x: openExport }]]],
]);
const clicks = { "previous-clip": () => turnClip(-1), "next-clip": () => turnClip(1), undo: () => turn("undo"), redo: () => turn("redo"), export: openExport, help: openHelp, back: () => frame(-1), on: () => frame(1), play: () => player.toggle(), "zoom-out": zoomOut, "zoom-fit": () => lanes.fit(), "zoom-in": zoomIn };
for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", action);
byId("loop").addEventListener("change", () => { player.loop = byId("loop").checked; });
byId("speed").addEventListener("change", () => { player.speed = Number(byId("speed").value); });
byId("clip").addEventListener("change", () => load(Number(byId("clip").value)));
watch();
