// The timeline: a lane for each body group, in it rows for each layer, and what the pointer does there.
import { clockText } from "./clock.js";

const HEIGHTS = { corrections: 24, other: 16, empty: 10 }, GAP = 2, PAD = 7, RULER = 26, STRIP = 14, EDGE = 7, DOUBLE = 400;
const LEAST_FRAMES = 8;

/** Places segments in rows so that none of one row overlap; gives each its row, and how many rows there are. */
function stack(rows) {
  const ends = [], placed = [];
  for (const row of [...rows].sort((a, b) => a.start - b.start || b.end - a.end)) {
    let lane = ends.findIndex((end) => end <= row.start + 1e-9);
    if (lane < 0) lane = ends.length;
    ends[lane] = row.end;
    placed.push({ row, lane });
  }
  return { placed, lanes: ends.length };
}

/** The roundest step of a ruler of which a unit has about so many. */
function roundStep(least) {
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600];
  return steps.find((step) => step >= least) || 7200;
}

/**
 * @param taxonomy bodies, body_of, actions and codes.
 * @param handlers seek(time), select(layer, id), change(id, start, end), preview(time), add(time, body), double(layer, id),
 *   and fixed() where a segment is dragged that stays as it is.
 */
export function makeLanes(host, taxonomy, handlers) {
  let clock = null, layers = [], plan = [], height = 0, view = [0, 1], cursor = 0, chosen = null, drag = null, last = null;
  const top = svg("svg", { class: "ruler", "aria-hidden": "true" }), chart = svg("svg", { class: "chart", role: "presentation" });
  const scroll = el("div", { class: "lanes-scroll" }, chart);
  const needles = [svg("line", { class: "playhead" }), svg("line", { class: "playhead" })];
  show(host, top, scroll);

  const gutter = () => (host.clientWidth < 860 ? 104 : 136);
  const width = () => Math.max(200, host.clientWidth - gutter() - 10);
  const x = (time) => gutter() + ((time - view[0]) / (view[1] - view[0])) * width();
  const timeAt = (clientX) => view[0] + ((clientX - host.getBoundingClientRect().left - gutter()) / width()) * (view[1] - view[0]);
  const inClip = (time) => Math.min(Math.max(time, 0), clock.duration);
  const title = (row) => [taxonomy.codes[row.label], taxonomy.actions[row.label]].filter(Boolean).join(" ");
  const words = (layer, row) => `${layer.name}: ${title(row)}, ${clockText(row.start)} to ${clockText(row.end)} s${row.score === null || row.score === undefined ? "" : `, score ${number(row.score, 2)}`}${row.checked ? ", checked" : ""}`;

  // Layout -------------------------------------------------------------------------------------------------------
  function arrange() {
    plan = [];
    let y = 0;
    taxonomy.bodies.forEach((name, body) => {
      const lane = { name, body, y, rows: [] };
      y += PAD;
      const stacks = layers.map((layer) => stack(layer.rows.filter((row) => taxonomy.body_of[row.label] === body)));
      const first = stacks.some(({ lanes }) => lanes) ? HEIGHTS.corrections : HEIGHTS.empty;
      layers.forEach((layer, index) => {
        const { placed, lanes } = stacks[index];
        if (!lanes && index) return;
        const tall = index ? HEIGHTS.other : first;
        lane.rows.push({ layer, index, placed, y, tall, lanes: Math.max(1, lanes) });
        y += Math.max(1, lanes) * (tall + GAP);
      });
      y += PAD - GAP;
      lane.height = y - lane.y;
      plan.push(lane);
    });
    height = y;
  }

  // Drawing ------------------------------------------------------------------------------------------------------
  function bar({ layer, index }, { row }, y, tall, x0, x1) {
    const wide = Math.max(2, x1 - x0), isChosen = chosen && chosen.layer === index && chosen.id === row.id;
    const letters = Math.floor((wide - (row.checked ? 24 : index ? 8 : 14)) / 6.3);
    const group = svg("g", { class: `bar ${layer.kind} body-${taxonomy.body_of[row.label] % 8}${isChosen ? " chosen" : ""}`, "data-layer": index, "data-id": row.id,
      role: "option", id: `bar-${index}-${row.id}`, "aria-label": words(layer, row), "aria-selected": isChosen ? "true" : "false" });
    group.append(svg("rect", { class: "shape", x: x0, y, width: wide, height: tall, rx: index ? 2 : 4 }));
    if (layer.kind === "prediction") group.append(svg("rect", { class: "hatch", x: x0, y, width: wide, height: tall, rx: 2, fill: "url(#slant)" }));
    if (layer.kind === "annotation") group.append(svg("path", { class: "ends", d: `M${x0 + 1} ${y}V${y + tall}M${x0 + wide - 1} ${y}V${y + tall}` }));
    if (letters >= 2) {
      const name = letters < 9 ? taxonomy.codes[row.label] || taxonomy.actions[row.label] : title(row);
      group.append(text(Math.max(x0, gutter()) + (index ? 5 : 10), y + tall / 2 + (index ? 3.5 : 4), shorten(name, Math.max(2, letters - Math.floor(Math.max(0, gutter() - x0) / 6.3)))));
    }
    if (row.checked && wide > 16) group.append(svg("path", { class: "tick", d: `M${x1 - 14} ${y + tall / 2}l3 4l6 -8` }));
    const narrow = wide < 3 * EDGE;
    if (!index && (isChosen || !narrow)) {
      // Beside a narrow segment the handles lie outside.
      const out = narrow ? EDGE : 0;
      for (const [edge, at] of [["start", x0 - out], ["end", x1 - EDGE + out]]) group.append(svg("rect", { class: `handle ${edge}`, "data-edge": edge, x: at, y, width: EDGE, height: tall }));
    }
    return group;
  }
  function draw() {
    if (!clock) return;
    const left = gutter(), right = left + width(), parts = [];
    const clip = svg("clipPath", { id: "inside" }, svg("rect", { x: left - 1, y: 0, width: width() + 2, height }));
    const slant = svg("pattern", { id: "slant", width: 6, height: 6, patternUnits: "userSpaceOnUse" }, svg("path", { d: "M0 6L6 0M-1 1L1 -1M5 7L7 5", class: "slant" }));
    const inside = svg("g", { "clip-path": "url(#inside)" });
    const [x0, x1] = [x(0), x(clock.duration)];
    for (const lane of plan) {
      const name = svg("g", { class: "lane-name" }, svg("rect", { class: `dot body-${lane.body % 8}`, x: 2, y: lane.y + PAD + lane.rows[0].tall / 2 - 6, width: 8, height: 12, rx: 2 }), text(15, lane.y + PAD + lane.rows[0].tall / 2 + 4, shorten(lane.name, Math.floor((left - 20) / 6.6))));
      parts.push(svg("rect", { class: `lane${lane.body % 2 ? " odd" : ""}`, x: 0, y: lane.y, width: right + 10, height: lane.height, "data-body": lane.body }), name);
      const group = svg("g", { role: "group", "aria-label": lane.name });
      for (const row of lane.rows) {
        if (row.index) parts.push(text(left - 6, row.y + row.tall / 2 + 3.5, shorten(row.layer.name, Math.floor((left - 24) / 5.8)), { class: "faint small", "text-anchor": "end" }));
        const drawn = new Array(row.lanes).fill(-Infinity);
        for (const placed of row.placed) {
          const times = drag && drag.moved && drag.layer === row.index && drag.id === placed.row.id ? drag : placed.row;
          if (times.end < view[0] || times.start > view[1]) continue;
          const [a, b] = [x(times.start), x(times.end)];
          const isChosen = chosen && chosen.layer === row.index && chosen.id === placed.row.id;
          // What would only thicken the bar before it need not be drawn.
          if (b < drawn[placed.lane] + 2 && !isChosen) continue;
          drawn[placed.lane] = Math.max(b, a + 2);
          group.append(bar(row, { row: { ...placed.row, start: times.start, end: times.end } }, row.y + placed.lane * (row.tall + GAP), row.tall, a, b));
        }
      }
      inside.append(group);
    }
    const beyond = [[left, Math.min(right, Math.max(left, x0))], [Math.max(left, Math.min(right, x1)), right]].filter(([a, b]) => b - a > 0.5)
      .map(([a, b]) => svg("rect", { class: "beyond", x: a, y: 0, width: b - a, height }));
    chart.setAttribute("width", host.clientWidth);
    chart.setAttribute("height", height);
    show(chart, svg("defs", {}, clip, slant), parts, beyond, inside, needles[1]);
    drawRuler(left, right);
    drawNeedles();
    const option = chosen && chart.querySelector(`[id="bar-${chosen.layer}-${chosen.id}"]`);
    if (option) host.setAttribute("aria-activedescendant", option.id);
    else host.removeAttribute("aria-activedescendant");
  }
  function drawRuler(left, right) {
    const span = view[1] - view[0], step = roundStep((span / width()) * 74), parts = [];
    const perFrame = (clock.pace / span) * width();
    if (perFrame >= 5) {
      for (let frame = clock.at(Math.max(0, view[0])); frame < clock.total && clock.start(frame) <= view[1]; frame += 1) {
        const at = x(clock.start(frame));
        if (at >= left - 0.5) parts.push(svg("path", { class: "frame", d: `M${at} ${STRIP + RULER - 4}v4` }));
      }
    }
    const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
    for (let time = Math.max(0, Math.ceil(view[0] / step - 1e-9) * step); time <= Math.min(view[1], clock.duration) + 1e-9; time += step) {
      const at = x(time);
      parts.push(svg("path", { class: "mark", d: `M${at} ${STRIP + RULER - 9}v9` }), at < right - 24 ? text(at + 3, STRIP + RULER - 10, clockText(time, digits), { class: "faint" }) : "");
    }
    const whole = (time) => left + (time / clock.duration) * (right - left);
    const [a, b] = [Math.max(0, view[0]), Math.min(clock.duration, view[1])].map(whole);
    parts.push(svg("rect", { class: "strip", x: left, y: 2, width: right - left, height: STRIP - 6, rx: 3 }), svg("rect", { class: "window", x: a, y: 1, width: Math.max(8, b - a), height: STRIP - 4, rx: 3 }),
      svg("rect", { class: "spot", x: whole(cursor) - 1, y: 0, width: 2, height: STRIP - 2 }));
    top.setAttribute("width", host.clientWidth);
    top.setAttribute("height", STRIP + RULER);
    show(top, parts, needles[0]);
  }
  function drawNeedles() {
    const at = x(cursor), seen = at >= gutter() - 1 && at <= gutter() + width() + 1;
    needles.forEach((needle, index) => {
      for (const [name, value] of Object.entries({ x1: at, x2: at, y1: index ? 0 : STRIP, y2: index ? height : STRIP + RULER, visibility: seen ? "visible" : "hidden" })) needle.setAttribute(name, value);
    });
    const spot = top.querySelector(".spot");
    if (spot) spot.setAttribute("x", gutter() + (cursor / clock.duration) * width() - 1);
  }

  // The part that is in view -------------------------------------------------------------------------------------
  function setView(from, to) {
    const span = Math.min(Math.max(to - from, LEAST_FRAMES * clock.pace), clock.duration);
    const middle = (from + to) / 2, start = Math.min(Math.max(middle - span / 2, 0), clock.duration - span);
    view = [start, start + span];
    draw();
  }
  function zoom(factor, around) {
    const centre = around >= view[0] && around <= view[1] ? around : (view[0] + view[1]) / 2;
    setView(centre - (centre - view[0]) * factor, centre + (view[1] - centre) * factor);
  }
  /** Brings a time into view; while playing, by pages. */
  function ensure(time, paged = false) {
    const span = view[1] - view[0];
    if (time >= view[0] && time <= view[1]) return;
    if (paged && time > view[1]) setView(time - 0.05 * span, time + 0.95 * span);
    else setView(time - span / 2, time + span / 2);
  }

  // The pointer --------------------------------------------------------------------------------------------------
  function rowOf(layer, id) { return layers[layer].rows.find((row) => row.id === id); }
  function down(event) {
    if (event.button || !clock) return;
    host.focus({ preventScroll: true });
    const on = event.target.closest("[data-id]"), time = timeAt(event.clientX);
    if (on) {
      const layer = Number(on.dataset.layer), { id } = on.dataset, row = rowOf(layer, id);
      drag = { layer, id, edge: layer ? null : event.target.dataset.edge || "both", from: event.clientX, grip: time - row.start, start: row.start, end: row.end, first: [row.start, row.end], moved: false };
      byId("tip").hidden = true;
      handlers.select(layer, id);
    } else if (event.target.closest("svg") === top && event.clientY - top.getBoundingClientRect().top < STRIP) {
      drag = { pan: true };
      pan(event);
    } else {
      drag = { seek: true, body: event.target.dataset.body, from: event.clientX, moved: false };
      handlers.seek(inClip(time));
    }
    event.currentTarget.setPointerCapture(event.pointerId);
  }
  function pan(event) {
    const share = (event.clientX - host.getBoundingClientRect().left - gutter()) / width(), span = view[1] - view[0];
    setView(share * clock.duration - span / 2, share * clock.duration + span / 2);
  }
  function move(event) {
    if (!drag) return;
    if (drag.pan) { pan(event); return; }
    if (Math.abs(event.clientX - drag.from) > 3) drag.moved = true;
    if (!drag.moved) return;
    const time = timeAt(event.clientX), fit = event.altKey ? (value) => Math.round(value * 1000) / 1000 : clock.snap;
    if (drag.seek) { handlers.seek(inClip(time)); return; }
    if (!drag.edge) { handlers.fixed(); return; }
    const [start, end] = drag.first, least = Math.min(clock.pace, end - start);
    if (drag.edge === "start") drag.start = Math.min(fit(inClip(time)), end - least);
    else if (drag.edge === "end") drag.end = Math.max(fit(inClip(time)), start + least);
    else {
      const first = fit(Math.min(Math.max(time - drag.grip, 0), clock.duration - (end - start)));
      [drag.start, drag.end] = [first, Math.min(clock.duration, fit(first + end - start))];
    }
    handlers.preview(drag.edge === "end" ? drag.end : drag.start);
    draw();
  }
  function up() {
    const over = drag;
    drag = null;
    if (!over || over.pan) return;
    if (over.moved) {
      last = null;
      if (over.edge && (over.start !== over.first[0] || over.end !== over.first[1])) handlers.change(over.id, over.start, over.end);
      draw();
      return;
    }
    const now = performance.now(), same = last && now - last.when < DOUBLE && last.layer === over.layer && last.id === over.id && Math.abs(last.from - over.from) < 6;
    last = same ? null : { ...over, when: now };
    if (!same) return;
    if (over.id !== undefined) handlers.double(over.layer, over.id);
    else if (over.body !== undefined) handlers.add(inClip(timeAt(over.from)), Number(over.body));
  }
  let under = null;
  for (const what of ["pointerenter", "pointermove"]) chart.addEventListener(what, (event) => { under = drag ? null : event.target.closest("[data-id]"); });
  tip(chart, () => {
    const row = under && rowOf(Number(under.dataset.layer), under.dataset.id);
    return row ? [words(layers[Number(under.dataset.layer)], row), `${number(row.end - row.start, 2)} s, ${taxonomy.bodies[taxonomy.body_of[row.label]]}`] : [];
  });
  for (const part of [top, chart]) {
    part.addEventListener("pointerdown", down);
    part.addEventListener("pointermove", move);
    part.addEventListener("pointerup", up);
    part.addEventListener("pointercancel", () => { drag = null; draw(); });
  }
  host.addEventListener("mousedown", (event) => event.preventDefault()); // which would give the focus to what scrolls
  host.addEventListener("wheel", (event) => {
    const along = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.ctrlKey) zoom(Math.exp(Math.min(Math.max(event.deltaY, -60), 60) / 150), timeAt(event.clientX));
    else if (along) setView(...view.map((time) => time + (along / width()) * (view[1] - view[0])));
    else return;
    event.preventDefault();
  }, { passive: false });
  new ResizeObserver(() => draw()).observe(host);

  return {
    /** Another clip. */
    load(newClock) { clock = newClock; view = [0, clock.duration]; cursor = 0; chosen = null; drag = null; scroll.scrollTop = 0; },
    /** Other segments: layers of name, kind and rows; the first one is that of the corrections. */
    update(newLayers, selection) { layers = newLayers; chosen = selection; arrange(); draw(); },
    choose(selection) {
      chosen = selection;
      const row = chosen && rowOf(chosen.layer, chosen.id);
      if (row && (row.end < view[0] || row.start > view[1])) ensure((row.start + row.end) / 2);
      draw();
      const option = chosen && chart.querySelector(`[id="bar-${chosen.layer}-${chosen.id}"]`);
      if (option) option.scrollIntoView({ block: "nearest", inline: "nearest" });
    },
    cancel() { const was = drag; drag = null; if (was) draw(); return Boolean(was && was.moved); },
    point(time, playing) { cursor = time; if (!drag) ensure(time, playing); drawNeedles(); },
    zoom, fit: () => setView(0, clock.duration), ensure, get view() { return view; }, get dragging() { return Boolean(drag && drag.moved); },
  };
}
