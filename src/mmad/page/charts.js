// Charts of one level; each writes into the element that it is given and takes its width from it.

const widthOf = (host) => Math.max(240, host.clientWidth || 600);

function verticalGrid(left, right, y, top, unit) {
  return svg("g", { class: "grid faint" }, ticks(top).flatMap((value) => [
    svg("line", { x1: left, x2: right, y1: y(value), y2: y(value) }),
    text(left - 6, y(value) + 4, number(value, top < 8 ? 1 : 0) + unit, { "text-anchor": "end" }),
  ]));
}

function drawThresholds(host, numbers) {
  const width = widthOf(host), height = 226, left = 38, right = width - 12, bottom = height - 34;
  const thresholds = Object.keys(numbers.action.map).sort((a, b) => a - b);
  const levels = [["action", "Actions", null, "disc"], ["body", "Body groups", "6 3", "square"]];
  const upper = levels.flatMap(([level]) => thresholds.map((t) => (numbers[level].intervals[t] || [0, numbers[level].map[t]])[1]));
  const top = Math.min(100, roundUp(Math.max(...upper, 1)));
  const x = (index) => left + 14 + (index * (right - left - 28)) / Math.max(1, thresholds.length - 1);
  const y = (value) => bottom - (value / top) * (bottom - 26);
  const parts = [verticalGrid(left, right, y, top, "")];
  for (const [level, , dash, mark] of levels) {
    const { map, intervals } = numbers[level], colour = `var(--${level})`;
    const banded = thresholds.map((t, i) => [i, intervals[t]]).filter(([, interval]) => interval);
    if (banded.length > 1) {
      const edge = (rows, side) => rows.map(([i, interval]) => `${x(i)},${y(interval[side])}`);
      const points = [...edge(banded, 1), ...edge([...banded].reverse(), 0)].join(" ");
      parts.push(svg("polygon", { points, fill: colour, opacity: 0.14 }));
    }
    parts.push(svg("polyline", { points: thresholds.map((t, i) => `${x(i)},${y(map[t])}`).join(" "), fill: "none",
      stroke: colour, "stroke-width": 2, "stroke-dasharray": dash }));
    thresholds.forEach((t, i) => {
      const dot = svg("path", { d: MARKS[mark], fill: colour, transform: `translate(${x(i)} ${y(map[t])})` });
      const area = svg("g", {}, svg("circle", { cx: x(i), cy: y(map[t]), r: 11, fill: "transparent" }), dot);
      parts.push(tip(area, () => [`${level} @${t}: ${number(map[t], 2)} %`, intervals[t] && `95 % interval ${range(intervals[t])}`]));
    });
  }
  thresholds.forEach((t, i) => parts.push(text(x(i), bottom + 16, t, { "text-anchor": "middle", class: "faint" })));
  parts.push(text((left + right) / 2, height - 3, "tIoU threshold", { "text-anchor": "middle", class: "faint" }));
  levels.forEach(([level, name, dash, mark], i) => {
    const at = left + 4 + i * 100;
    parts.push(svg("line", { x1: at, x2: at + 24, y1: 9, y2: 9, stroke: `var(--${level})`, "stroke-width": 2, "stroke-dasharray": dash }),
      svg("path", { d: MARKS[mark], fill: `var(--${level})`, transform: `translate(${at + 12} 9)` }), text(at + 30, 13, name));
  });
  show(host, canvas(width, height, "mean AP in percent at each tIoU threshold", ...parts));
}

function drawProfile(host, profile, onKind) {
  const width = widthOf(host), height = 262, left = 42, right = width - 4, top = 8, bottom = height - 46;
  const step = (right - left) / profile.slices.length, y = (share) => bottom - share * (bottom - top);
  const parts = [verticalGrid(left, right, (value) => y(value / 100), 100, " %")];
  profile.slices.forEach((slice, place) => {
    const whole = sum(slice), x = left + place * step + step * 0.11;
    let below = 0;
    slice.forEach((amount, kind) => {
      if (!amount) return;
      const from = below / whole, name = profile.kinds[kind];
      below += amount;
      const bar = svg("g", { "data-kind": name, "aria-label": `${name}, slice ${place + 1}G: ${amount} of ${whole}` },
        svg("rect", { x, y: y(below / whole), width: step * 0.78, height: Math.max(0.5, y(from) - y(below / whole)),
          fill: kindFill(name, kind), stroke: "var(--card)", "stroke-width": 0.75 }));
      if (onKind) press(bar, () => onKind(name));
      // One stop per kind, in the first slice; the legend below repeats the buttons in words.
      if (place) bar.setAttribute("tabindex", "-1");
      parts.push(tip(bar, () => [`${place + 1}G: ${plural(amount, name, name)}`, `${percent(amount, whole, 1)} of ${count(whole)}`, kindMeaning(name)]));
    });
    const middle = left + (place + 0.5) * step;
    parts.push(text(middle, bottom + 15, `${place + 1}G`, { "text-anchor": "middle" }));
    parts.push(text(middle, bottom + 28, whole < 10000 ? whole : `${Math.round(whole / 1000)}k`, { "text-anchor": "middle", class: "faint" }));
  });
  parts.push(text(left - 6, bottom + 28, "n", { "text-anchor": "end", class: "faint" }));
  parts.push(text((left + right) / 2, height - 3, "best predictions first; G = instances of the class", { "text-anchor": "middle", class: "faint" }));
  show(host, canvas(width, height, "shares of the kinds in ten slices of the ranking", ...parts));
}

function drawProfileLegend(host, profile, onKind) {
  const whole = sum(profile.total);
  show(host, profile.kinds.map((kind, index) =>
    el("button", { type: "button", "data-kind": kind, disabled: onKind ? null : "", on: { click: () => onKind(kind) } }, swatch(kindFill(kind, index)),
      el("span", {}, kind), el("span", { class: "quiet" }, `${count(profile.total[index])}, ${percent(profile.total[index], whole)}`),
      el("small", {}, kindMeaning(kind)))));
}

function drawGains(host, profile, onKind) {
  const kinds = [...profile.kinds.slice(1), ...Object.keys(profile.repaired).filter((kind) => !profile.kinds.includes(kind))];
  const size = (kind) => Math.max(profile.removed[kind] || 0, profile.repaired[kind] || 0);
  kinds.sort((a, b) => size(b) - size(a));
  const width = widthOf(host), row = 46, height = kinds.length * row + 4, right = width - 46;
  const top = roundUp(Math.max(...kinds.map(size), 0.1)), x = (value) => (Math.max(0, value) / top) * right;
  const parts = kinds.map((kind, place) => {
    const removed = profile.removed[kind], repaired = profile.repaired[kind], y = place * row + 4;
    const index = profile.kinds.indexOf(kind), differs = !missing(repaired) && !missing(removed) && Math.abs(repaired - removed) > 0.005;
    const best = missing(repaired) ? removed : repaired;
    const group = svg("g", { "aria-label": `${kind}: ${signed(best)} points` },
      svg("rect", { x: 0, y, width, height: row - 4, fill: "transparent" }),
      text(0, y + 10, kind),
      svg("rect", { x: 0.5, y: y + 16, width: Math.max(1, x(best)), height: 18, rx: 1, fill: differs ? "none" : kindFill(kind, index), stroke: kindStyle(kind, index).colour, "stroke-width": 1.4, "stroke-dasharray": differs ? "3 2" : null }),
      differs ? svg("rect", { x: 0.5, y: y + 16, width: Math.max(1, x(removed)), height: 18, rx: 1, fill: kindFill(kind, index) }) : null,
      text(x(Math.max(best, removed || 0)) + 6, y + 29, signed(best)));
    if (onKind) press(group, () => onKind(kind));
    return tip(group, () => [`${kind}: ${kindMeaning(kind)}`, !missing(removed) && `${signed(removed, 2)} points if deleted`,
      !missing(repaired) && `${signed(repaired, 2)} points if corrected`, `from mAP_N ${number(profile.base, 1)} %`]);
  });
  show(host, canvas(width, height, "points of mAP_N that each kind of error costs", ...parts));
}

/** What the bucket holds, in words short enough for an axis; a label other than a size says it already. */
const bucketRange = (bucket, unit) => {
  if (!/^X*[SML]+$|^X+L$/.test(bucket.label)) return "";
  const from = missing(bucket.above) || bucket.above < 0 ? "" : number(bucket.above, bucket.above % 1 ? 1 : 0);
  const to = missing(bucket.up_to) ? "" : number(bucket.up_to, bucket.up_to % 1 ? 1 : 0);
  const words = from && to ? `${from}\u2013${to}` : to ? `\u2264 ${to}` : from ? `> ${from}` : "all";
  return unit && unit.length < 4 ? `${words} ${unit}` : words;
};
const bucketName = (characteristic, bucket) => {
  const words = bucketRange(bucket, characteristic.unit);
  return `${characteristic.name} ${bucket.label}${words ? ` (${words})` : ""}`;
};

/** Bars of what kept predictions miss; the dark part is missed by all predictions, however low their score. */
function drawMissed(host, characteristic, overall, whatever) {
  const width = widthOf(host), height = 196, left = 40, right = width - 4, bottom = height - 48;
  const buckets = characteristic.buckets, step = (right - left) / buckets.length;
  // The wide intervals of nearly empty buckets may leave the chart; the numbers are shown on hover.
  const firm = buckets.filter((bucket) => bucket.instances >= 10 && bucket.interval).map((bucket) => bucket.interval[1]);
  const highest = Math.max(1.15 * overall, ...firm, ...buckets.map((bucket) => 1.05 * (bucket.rate || 0)));
  const top = Math.min(100, roundUp(highest)), y = (value) => bottom - (value / top) * (bottom - 10);
  const parts = [verticalGrid(left, right, y, top, " %")];
  buckets.forEach((bucket, place) => {
    const middle = left + (place + 0.5) * step, wide = Math.min(46, step * 0.6);
    if (!missing(bucket.rate)) {
      const apart = bucket.interval && bucket.interval[0] > overall;
      const mark = svg("g", { tabindex: 0, role: "img", "aria-label": `${characteristic.name} ${bucket.label}: ${number(bucket.rate)} % of ${bucket.instances} missed` },
        svg("rect", { x: middle - step / 2, y: 0, width: step, height: bottom, fill: "transparent" }),
        svg("rect", { x: middle - wide / 2, y: y(bucket.rate), width: wide, height: Math.max(1, bottom - y(bucket.rate)), rx: 2, fill: apart ? "var(--bad)" : "var(--plain)" }),
        whatever[place].rate ? svg("rect", { x: middle - wide / 2, y: y(whatever[place].rate), width: wide, height: bottom - y(whatever[place].rate), fill: "var(--ink)", opacity: 0.55 }) : null);
      if (bucket.interval) {
        const low = y(bucket.interval[0]), high = Math.max(0, y(bucket.interval[1]));
        const cap = bucket.interval[1] <= top ? `M${middle - 5} ${high}h10` : `M${middle - 4} 6L${middle} 0L${middle + 4} 6`;
        mark.append(svg("path", { d: `M${middle} ${low}V${high}M${middle - 5} ${low}h10${cap}`, stroke: "var(--ink)", fill: "none" }));
      }
      parts.push(tip(mark, () => [bucketName(characteristic, bucket),
        `${count(bucket.missed)} of ${plural(bucket.instances, "instance")} missed: ${number(bucket.rate)} %`,
        bucket.interval && `95 % interval ${range(bucket.interval)}`,
        `${count(whatever[place].missed)} missed whatever the score: ${number(whatever[place].rate)} %`]));
    }
    parts.push(text(middle, bottom + 15, bucket.label, { "text-anchor": "middle" }),
      text(middle, bottom + 28, bucketRange(bucket, characteristic.unit), { "text-anchor": "middle", class: "faint" }),
      text(middle, bottom + 41, `n ${count(bucket.instances)}`, { "text-anchor": "middle", class: "faint" }));
  });
  parts.push(svg("line", { class: "base", x1: left, x2: right, y1: y(overall), y2: y(overall) }));
  show(host, canvas(width, height, `share of missed instances by ${characteristic.name}`, ...parts));
}

function drawSensitivity(host, misses) {
  const rows = misses.characteristics, width = widthOf(host), row = 58, left = 8, right = width - 12;
  const height = rows.length * row + 30;
  const values = rows.flatMap((each) => each.buckets.map((bucket) => bucket.map_n || 0));
  const top = Math.min(100, roundUp(Math.max(misses.map_n, ...values, 1))), x = (value) => left + (value / top) * (right - left);
  const parts = [svg("g", { class: "grid faint" }, ticks(top).flatMap((value) => [
    svg("line", { x1: x(value), x2: x(value), y1: 4, y2: height - 26 }),
    text(x(value), height - 12, number(value, top < 8 ? 1 : 0), { "text-anchor": value === 0 ? "start" : value === top ? "end" : "middle" })]))];
  parts.push(svg("line", { class: "base", x1: x(misses.map_n), x2: x(misses.map_n), y1: 4, y2: height - 26 }));
  rows.forEach((characteristic, place) => {
    const there = characteristic.buckets.filter((bucket) => !missing(bucket.map_n)).sort((a, b) => a.map_n - b.map_n);
    if (!there.length) return;
    const y = place * row + 38;
    parts.push(text(left, y - 22, characteristic.name, { class: "strong" }),
      text(right, y - 22, `spread ${number(characteristic.sensitivity)}`, { "text-anchor": "end", class: "faint" }),
      svg("line", { x1: x(there[0].map_n), x2: x(there[there.length - 1].map_n), y1: y, y2: y, stroke: "var(--plain)", "stroke-width": 3 }));
    const ends = [-99, -99];
    let below = null;
    there.forEach((bucket) => {
      const side = x(bucket.map_n) - ends[0] > 20 ? 0 : 1, crowded = side && x(bucket.map_n) - ends[1] <= 20;
      const dot = svg("g", {}, svg("circle", { cx: x(bucket.map_n), cy: y, r: 5, fill: "var(--action)", stroke: "var(--card)" }));
      if (crowded) below.textContent += ` ${bucket.label}`;
      else {
        const label = text(x(bucket.map_n), side ? y + 17 : y - 8, bucket.label, { "text-anchor": "middle" });
        if (side) below = label;
        ends[side] = x(bucket.map_n);
        dot.append(label);
      }
      parts.push(tip(dot, () => [bucketName(characteristic, bucket),
        `mAP_N ${number(bucket.map_n)} %, all ${number(misses.map_n)} %`, `${plural(bucket.instances, "instance")} of ${plural(bucket.classes, "class", "classes")}`]));
    });
  });
  show(host, canvas(width, height, "mAP_N by bucket of each characteristic", ...parts));
}

function drawReasons(host, misses, onKind) {
  const whole = sum(Object.values(misses.reasons));
  show(host, el("div", { class: "rows" }, Object.entries(misses.reasons).map(([reason, amount]) => {
    const bar = el("span");
    bar.style.width = `${whole ? (100 * amount) / whole : 0}%`;
    return el("button", { type: "button", "data-reason": reason, disabled: onKind ? null : "", on: { click: () => onKind(`missed/${reason}`) } },
      el("span", {}, reason), el("span", { class: "quiet" }, `${count(amount)}, ${percent(amount, whole)}`),
      el("span", { class: "track" }, bar), el("small", {}, REASON_MEANINGS[reason] || ""));
  })));
}

function drawOffsets(host, edges, bins, offsets) {
  const width = widthOf(host), height = 186, left = 8, right = width - 8, bottom = height - 40;
  const step = (right - left) / bins.length, top = Math.max(1, ...bins);
  const atEdge = (index) => left + (index + 1) * step;
  const x = (seconds) => {
    let index = edges.findIndex((edge) => edge >= seconds);
    if (index === -1) return right - step / 2;
    if (index === 0) return edges[0] === seconds ? atEdge(0) : left + step / 2;
    return atEdge(index) - step * ((edges[index] - seconds) / (edges[index] - edges[index - 1]));
  };
  const parts = [svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom })];
  bins.forEach((amount, index) => {
    const tall = (amount / top) * (bottom - 12), outer = index === 0 || index === edges.length;
    const words = index === 0 ? `below ${number(edges[0], 2)} s` : index === edges.length ? `above ${number(edges[index - 1], 2)} s`
      : `${number(edges[index - 1], 2)} to ${number(edges[index], 2)} s`;
    const bar = svg("g", {}, svg("rect", { x: left + index * step, y: 0, width: step, height: bottom, fill: "transparent" }),
      svg("rect", { x: left + index * step + 0.5, y: bottom - tall, width: Math.max(1, step - 1), height: tall, fill: "var(--plain)", opacity: outer ? 0.5 : 1 }));
    parts.push(tip(bar, () => [words, `${count(amount)} of ${count(offsets.pairs)} pairs`]));
  });
  const every = Math.max(1, Math.round(edges.length / 6)), middle = edges.indexOf(0);
  edges.forEach((edge, index) => {
    if ((index - Math.max(0, middle)) % every === 0) parts.push(text(atEdge(index), bottom + 14, number(edge, Math.abs(edge * 10) % 1 > 1e-6 ? 2 : 1), { "text-anchor": "middle", class: "faint" }));
  });
  if (edges.length && edges[0] <= 0 && edges[edges.length - 1] >= 0) {
    parts.push(svg("line", { class: "base", x1: x(0), x2: x(0), y1: 6, y2: bottom }));
  }
  if (!missing(offsets.median)) {
    const at = x(offsets.median);
    parts.push(svg("path", { d: `M${at} ${bottom}V10`, stroke: "var(--bad)", "stroke-width": 2 }), svg("path", { d: `M${at - 5} 4h10l-5 8z`, fill: "var(--bad)" }));
  }
  parts.push(text(left, height - 8, "\u25c0 too early, s", { class: "faint" }), text(right, height - 8, "too late, s \u25b6", { "text-anchor": "end", class: "faint" }));
  show(host, canvas(width, height, "histogram of predicted minus true time", ...parts), el("p", { class: "quiet" }, offsets.pairs
    ? `Median ${signed(offsets.median, 2)} s, middle half ${signed(offsets.lower, 2)} to ${signed(offsets.upper, 2)} s, mean size ${number(offsets.absolute, 2)} s, ${plural(offsets.pairs, "pair")}.`
    : "No kept prediction overlaps an instance of its class."));
}

function drawCalibration(host, calibration) {
  if (!calibration.bins || !calibration.bins.length) {
    show(host, el("p", { class: "absent" }, calibration.bins ? "There are no predictions." : "Scores leave 0 to 1, so they cannot be read as probabilities."));
    return;
  }
  const width = widthOf(host), height = 210, left = 40, right = width - 12, top = 10, bottom = height - 34;
  const x = (share) => left + share * (right - left), y = (share) => bottom - share * (bottom - top);
  const most = Math.max(...calibration.bins.map((bin) => bin.count));
  const parts = [verticalGrid(left, right, (value) => y(value / 100), 100, " %"),
    svg("line", { class: "base", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    svg("polyline", { points: calibration.bins.map((bin) => `${x(bin.score)},${y(bin.precision)}`).join(" "), fill: "none", stroke: "var(--action)", "stroke-width": 1.5 })];
  calibration.bins.forEach((bin) => {
    const dot = svg("g", {}, svg("line", { x1: x(bin.score), x2: x(bin.score), y1: y(bin.score), y2: y(bin.precision), stroke: "var(--action)", opacity: 0.35, "stroke-width": 3 }),
      svg("circle", { cx: x(bin.score), cy: y(bin.precision), r: 3 + 6 * Math.sqrt(bin.count / most), fill: "var(--action)", stroke: "var(--card)" }));
    parts.push(tip(dot, () => [`scores ${number(bin.above, 2)} to ${number(bin.up_to, 2)}: ${plural(bin.count, "prediction")}`,
      `mean score ${number(bin.score, 2)}, right ${number(100 * bin.precision)} %`]));
  });
  [0, 0.25, 0.5, 0.75, 1].forEach((value) => parts.push(text(x(value), bottom + 15, value, { "text-anchor": "middle", class: "faint" })));
  parts.push(text((left + right) / 2, height - 3, "score", { "text-anchor": "middle", class: "faint" }));
  show(host, canvas(width, height, "share of right predictions by score", ...parts));
}
