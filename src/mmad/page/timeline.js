// One clip: its video, its timeline, and how they move together.

/** Rows so that no two segments of one row overlap. */
function lanes(segments) {
  const ends = [];
  return [...segments].sort((a, b) => a.row.start - b.row.start || b.row.end - a.row.end).map((segment) => {
    let lane = ends.findIndex((end) => end <= segment.row.start + 1e-9);
    if (lane < 0) lane = ends.length;
    ends[lane] = segment.row.end;
    return { ...segment, lane };
  });
}

function makeStage(host, report, filter, handlers) {
  const { taxonomy, profile, truePositive } = report;
  let clip = null, state = null, video = null, chart = null, segments = [];
  let bounds = null, scale = (seconds) => seconds, times = (x) => x, cursor = 0;
  const seconds = (value) => `${number(value, 2)} s`;
  const span = (row) => `${number(row.start, 2)} to ${seconds(row.end)} (${seconds(row.end - row.start)})`;
  const keyOf = (row) => (segments.find((segment) => segment.row === row) || {}).key;

  const title = el("h3", { id: "clip-id" }), about = el("span", { class: "quiet" });
  const link = el("a", { class: "plain", id: "link" }, "Link to this view");
  const screen = el("div", { class: "monitor" }), facts = el("div", { class: "facts", id: "facts", "aria-live": "polite" });
  const drawing = el("div", { id: "timeline" });
  const loop = el("input", { type: "checkbox", id: "loop" });
  const own = el("input", { type: "checkbox", id: "own", on: { change: () => handlers.change({ own: own.checked, score: Number(slider.value) }) } });
  const [low, high] = report.scores;
  const slider = el("input", { type: "range", id: "least", min: low, max: high, step: (high - low) / 200 || 0.01, "aria-label": "least score shown",
    on: { input: () => handlers.change({ own: false, score: Number(slider.value) }) } });
  const least = el("output", { for: "least" });
  const playing = el("button", { type: "button", class: "plain", id: "play", on: { click: () => toggle() } }, "\u25b6 Play");
  const step = (words, label, by) => el("button", { type: "button", class: "plain", "aria-label": label, on: { click: () => handlers.move(by) } }, words);
  const body = el("div", {},
    el("div", { class: "stage-head" }, title, about, el("span", { class: "end" }, step("\u25c0", "previous clip", -1), step("\u25b6", "next clip", 1), link)),
    el("div", { class: "screen" }, screen, facts),
    el("div", { class: "tools" }, playing, el("label", {}, loop, "Loop the segment"),
      el("label", {}, own, "each class\u2019s own threshold"), el("label", {}, "or score from", slider, least)),
    drawing, keyLegend());

  function keyLegend() {
    const scaleBar = svg("svg", { width: 120, height: 10, class: "inline-bar", "aria-hidden": "true" }, Array.from({ length: 24 }, (_, i) => svg("rect", { x: i * 5, width: 5.5, height: 10, fill: viridis(i / 23) })));
    const mark = (kind, index) => el("span", { title: kindMeaning(kind) }, svg("svg", { width: 12, height: 12, class: "swatch", "aria-hidden": "true" }, markPath(kind, index, 6, 6)), kind);
    const keys = [["Tab", "segments"], ["Enter", "play one"], ["Space", "play, pause"], ["\u2190 \u2192", "0.1 s (Shift: 1 s)"], ["n p", "next, previous clip"], ["e E", "next, previous error"], ["l", "loop"]];
    return el("div", {},
      el("div", { class: "keys" }, el("span", {}, "tIoU with an instance of its class 0 ", scaleBar, " 1"), el("span", {}, swatch("url(#hatch-nothing)"), "the clip has none"),
        el("span", {}, svg("svg", { width: 22, height: 12, class: "swatch", "aria-hidden": "true" }, svg("rect", { x: 1, y: 1, width: 20, height: 10, fill: "var(--ink)" })), "instance, found"),
        el("span", {}, svg("svg", { width: 22, height: 12, class: "swatch truth missed", "aria-hidden": "true" }, svg("rect", { class: "body", x: 1, y: 1, width: 20, height: 10 })), "instance, missed")),
      el("div", { class: "keys" }, profile.kinds.map(mark)),
      el("div", { class: "keys" }, keys.map(([key, words]) => el("span", {}, ...key.split(" ").map((one) => el("kbd", {}, one)), words))));
  }

  // The video -----------------------------------------------------------------------------------------------------
  function absent(words) {
    video = null;
    playing.disabled = true;
    show(screen, el("div", { class: "absent", role: "status" }, words));
  }
  function load() {
    if (video) video.pause();
    bounds = null;
    cursor = 0;
    playing.disabled = false;
    if (clip.video === null) return absent("This clip comes without a video; the timeline still works.");
    const address = clip.video, mine = el("video", { controls: true, playsinline: true, preload: "auto" });
    mine.muted = true;
    video = mine;
    const shortened = address.startsWith("data:") ? "its data address" : address;
    mine.addEventListener("error", () => { if (video === mine) absent(`The video was not found at ${shortened}; the timeline still works.`); });
    mine.addEventListener("play", () => { playing.textContent = "\u275a\u275a Pause"; requestAnimationFrame(follow); });
    mine.addEventListener("pause", () => { playing.textContent = "\u25b6 Play"; if (!loop.checked) bounds = null; });
    mine.addEventListener("timeupdate", follow);
    mine.addEventListener("seeking", () => {
      if (bounds && (mine.currentTime < bounds[0] - 0.05 || mine.currentTime > bounds[1] + 0.05)) bounds = null;
      follow();
    });
    mine.src = address;
    show(screen, mine);
    return undefined;
  }
  function follow() {
    if (!video) return;
    if (bounds && !video.paused && video.currentTime >= bounds[1] - 0.004) {
      const [start, end] = bounds;
      if (loop.checked) video.currentTime = start;
      else { bounds = null; video.pause(); video.currentTime = end; }
    }
    cursor = video.currentTime;
    drawCursor();
    if (!video.paused) { cancelAnimationFrame(follow.frame); follow.frame = requestAnimationFrame(follow); }
  }
  function seek(time) {
    cursor = Math.max(0, Math.min(clip.duration, time));
    if (video) video.currentTime = cursor;
    drawCursor();
  }
  function playSegment(row) {
    seek(row.start);
    if (!video) return;
    // The last frame of a video stays up only if playing stops before the end is reached.
    const last = Number.isFinite(video.duration) ? video.duration - 0.03 : row.end;
    bounds = [row.start, Math.max(row.start, Math.min(row.end, last))];
    video.play().catch(() => {});
  }
  function toggle() {
    if (!video) return;
    if (video.paused) video.play().catch(() => {});
    else video.pause();
  }

  // The timeline --------------------------------------------------------------------------------------------------
  function drawCursor() {
    const line = chart && chart.querySelector(".playhead");
    if (line) line.setAttribute("transform", `translate(${scale(cursor)} 0)`);
  }
  function draw() {
    const width = widthOf(drawing), narrow = width < 620, left = narrow ? 4 : 178, right = width - 10;
    const length = Math.max(clip.duration, 0.1, ...segments.map(({ row }) => row.end));
    scale = (time) => left + (Math.max(0, Math.min(length, time)) / length) * (right - left);
    times = (x) => ((x - left) / (right - left)) * length;
    const seen = filter.look(state, clip), narrowed = filter.narrowed(state);
    const lit = new Set([...seen.predictions.map((i) => clip.predictions[i]), ...seen.truth.map((i) => clip.truth[i])]);
    // What a fitting prediction was matched with or mistaken for stays lit, or it could not be understood.
    for (const index of seen.predictions) {
      const { truth, other_truth: other } = clip.predictions[index];
      if (truth !== null) lit.add(clip.truth[truth]);
      if (other !== null && state.pair) lit.add(clip.truth[other]);
    }
    const back = [], front = [], present = [...new Set(segments.map(({ row }) => row.label))];
    present.sort((a, b) => taxonomy.body_of[a] - taxonomy.body_of[b] || codeOrder(taxonomy.codes[a], taxonomy.codes[b]));
    let y = 22, group = -1;
    for (const label of present) {
      if (taxonomy.body_of[label] !== group) {
        group = taxonomy.body_of[label];
        back.push(text(narrow ? left : 2, y + 13, taxonomy.bodies[group], { class: "strong" }), svg("line", { class: "axis", x1: 0, x2: width, y1: y, y2: y }));
        y += 20;
      }
      const name = classTitle(taxonomy, label);
      if (narrow) { back.push(text(left, y + 10, name, { class: "faint" })); y += 14; }
      const top = y, mine = segments.filter(({ row }) => row.label === label);
      const truths = lanes(mine.filter((segment) => segment.truth)), found = lanes(mine.filter((segment) => !segment.truth));
      const rows = [[truths, 15], [found, 15]];
      for (const [list, tall] of rows) {
        list.forEach((segment) => front.push(drawSegment(segment, y + segment.lane * tall + 1, tall - 3, narrowed && !lit.has(segment.row))));
        y += tall * (list.length ? Math.max(...list.map(({ lane }) => lane)) + 1 : 0);
      }
      if (!narrow) back.push(tip(text(12, top + 11, shorten(name, 26)), () => name));
      back.push(svg("rect", { class: "lane", x: left, y: top - 1, width: right - left, height: y - top }));
      y += 5;
    }
    const height = y + 4, every = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((each) => (length / each) * 44 < right - left) || length;
    for (let time = 0; time <= length + 1e-9; time += every) {
      back.push(svg("line", { class: "axis", x1: scale(time), x2: scale(time), y1: 16, y2: height }),
        text(scale(time), 11, time ? number(time, every < 1 ? 1 : 0) : "0 s", { "text-anchor": time ? (scale(time) > right - 12 ? "end" : "middle") : "start", class: "faint" }));
    }
    if (!segments.length) back.push(text(left, 40, "Nothing is marked here, and no prediction reaches the score.", { class: "faint" }));
    const playhead = svg("path", { class: "playhead", d: `M0 14V${height}M-4 8h8l-4 6z`, fill: "var(--bad)" });
    chart = canvas(width, Math.max(height, 54), "timeline", ...back, ...front, playhead);
    chart.addEventListener("click", (event) => {
      if (!event.target.closest(".segment")) seek(times(event.clientX - chart.getBoundingClientRect().left));
    });
    const focused = document.activeElement && document.activeElement.dataset && document.activeElement.dataset.segment;
    show(drawing, chart);
    if (focused) focusSegment(focused);
    drawCursor();
  }
  function drawSegment(segment, y, height, dim) {
    const { row, key, truth } = segment, x = scale(row.start), wide = Math.max(3, scale(row.end) - x);
    const gone = truth && filter.missed(state, clip, row);
    const classes = `segment ${truth ? "truth" : "prediction"}${gone ? " missed" : ""}${dim ? " dim" : ""}${key === state.segment ? " chosen" : ""}`;
    const colour = truth ? null : row.tiou === null ? "url(#hatch-nothing)" : viridis(row.tiou);
    const node = svg("g", { class: classes, "data-segment": key, role: "button", tabindex: 0, "aria-label": words(segment).join("; ") },
      svg("rect", { class: "body", x, y, width: wide, height, rx: 2, fill: colour }),
      truth ? null : markPath(profile.kinds[row.kind], row.kind, x + Math.min(7, wide / 2), y + height / 2, 0.95));
    node.addEventListener("click", () => { handlers.pick(key); playSegment(row); });
    return tip(node, () => words(segment));
  }
  function words({ row, truth }) {
    const name = classTitle(taxonomy, row.label);
    if (truth) return [`${name}: instance`, span(row), missWords(row)];
    return [`${name}: ${profile.kinds[row.kind]}, score ${number(row.score, 3)}`, span(row), row.tiou === null ? "no instance of its class in the clip" : `tIoU ${number(row.tiou, 2)} with an instance of its class`,
      row.other === null || row.kind === truePositive ? null : `tIoU ${number(row.other, 2)} with ${row.other_truth === null ? "another class" : classTitle(taxonomy, clip.truth[row.other_truth].label)}`];
  }
  function missWords(row) {
    if (!filter.missed(state, clip, row)) return "found";
    const weaker = row.match === null ? "" : `the prediction that finds it scores only ${number(clip.predictions[row.match].score, 3)}`;
    if (row.missed !== null) return `missed (${row.missed}): ${REASON_MEANINGS[row.missed] || ""}${weaker && `; ${weaker}`}`;
    return `missed here: ${weaker || "the prediction that finds it is not on this page"}`;
  }
  function describe() {
    const segment = segments.find(({ key }) => key === state.segment);
    if (!segment) return show(facts, el("p", { class: "quiet" }, "Click a segment, or Tab to it and press Enter, to play exactly it."));
    const { row, truth } = segment, entry = (name, value) => (missing(value) ? [] : [el("dt", {}, name), el("dd", {}, value)]);
    const jump = (index) => index === null ? null : linkTo(`${classTitle(taxonomy, clip.truth[index].label)}, ${span(clip.truth[index])}`, () => { handlers.pick(`t${index}`); focusSegment(`t${index}`); });
    const kind = truth ? null : profile.kinds[row.kind];
    const match = truth && row.match !== null ? clip.predictions[row.match] : null;
    return show(facts, el("h4", {}, classTitle(taxonomy, row.label)), el("dl", {},
      entry("What", truth ? "ground-truth instance" : "prediction"), entry("Time", span(row)), entry("Body", taxonomy.bodies[taxonomy.body_of[row.label]]),
      truth ? [entry("State", missWords(row)), entry("Found by", match && keyOf(match) ? `prediction ${span(match)}, score ${number(match.score, 3)}` : null)]
        : [entry("Score", number(row.score, 3)), entry("Kind", `${kind}${kindMeaning(kind) ? `: ${kindMeaning(kind)}` : ""}`),
          entry("tIoU", row.tiou === null ? "no instance of its class in the clip" : number(row.tiou, 2)), entry(row.kind === truePositive ? "Matched" : "Nearest", jump(row.truth)),
          entry("Other class", row.other === null ? null : `tIoU ${number(row.other, 2)}`), entry("", row.other ? jump(row.other_truth) : null)]));
  }
  function focusSegment(key) {
    const node = chart && [...chart.querySelectorAll(".segment")].find((each) => each.dataset.segment === key);
    if (node) node.focus({ preventScroll: true });
  }

  // Outside view --------------------------------------------------------------------------------------------------
  function update(next) {
    const other = next.clip === null ? null : report.clips[next.clip];
    const fresh = other !== clip;
    state = next;
    clip = other;
    if (!clip) {
      absent("");
      return show(host, el("p", { class: "absent" }, report.clips.length ? "No clip fits the filter." : "This report was made without clips."));
    }
    if (body.parentNode !== host) show(host, body);
    segments = [...clip.truth.map((row, index) => ({ row, key: `t${index}`, truth: true })),
      ...clip.predictions.map((row, index) => ({ row, key: `p${index}`, truth: false })).filter(({ row }) => filter.visible(state, row))];
    title.textContent = clip.id;
    const weak = clip.predictions.length + clip.hidden - segments.filter(({ truth }) => !truth).length;
    about.textContent = [clip.subject === null ? null : `subject ${clip.subject}`, seconds(clip.duration), weak ? `${plural(weak, "weaker prediction")} not shown` : null].filter(Boolean).join(" \u00b7 ");
    own.checked = state.own;
    slider.value = state.score;
    least.textContent = state.own ? "" : number(state.score, high - low > 10 ? 0 : 2);
    link.href = handlers.address();
    if (fresh) load();
    draw();
    describe();
    return undefined;
  }
  /** Goes to the next or previous error, or to what fits the filter where there is one. */
  function nextError(by) {
    const seen = filter.look(state, clip), narrowed = Boolean(state.kind || state.pair);
    const wanted = (segment) => {
      if (narrowed) return segment.truth ? seen.truth.includes(clip.truth.indexOf(segment.row)) : seen.predictions.includes(clip.predictions.indexOf(segment.row));
      return segment.truth ? filter.missed(state, clip, segment.row) : segment.row.kind !== truePositive;
    };
    const order = segments.filter(wanted).sort((a, b) => a.row.start - b.row.start || a.row.end - b.row.end);
    if (!order.length) return;
    const now = order.findIndex(({ key }) => key === state.segment);
    const next = order[(now < 0 ? (by > 0 ? 0 : order.length - 1) : now + by + order.length) % order.length];
    handlers.pick(next.key);
    focusSegment(next.key);
    seek(next.row.start);
  }
  function key(event) {
    const on = document.activeElement, segment = on && on.dataset && segments.find((each) => each.key === on.dataset.segment);
    const actions = {
      " ": toggle, ArrowLeft: () => seek(cursor - (event.shiftKey ? 1 : 0.1)), ArrowRight: () => seek(cursor + (event.shiftKey ? 1 : 0.1)),
      n: () => handlers.move(1), p: () => handlers.move(-1), e: () => nextError(1), E: () => nextError(-1), l: () => { loop.checked = !loop.checked; },
      Enter: segment ? () => { handlers.pick(segment.key); playSegment(segment.row); } : null,
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
  return { update, key, redraw: () => { if (clip) draw(); } };
}
