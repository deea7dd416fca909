// Sentences on the largest findings of one level, each with the section that shows it.

/** @returns lists of sections and sentences; a sentence is a list of strings and elements. */
function findings(numbers, level, diagnosis, threshold) {
  const strong = (words) => el("b", {}, words), found = [];
  const add = (section, ...sentence) => found.push({ section, sentence });
  const profile = diagnosis.false_positives, misses = diagnosis.kept_misses;

  const gain = (kind) => (missing(profile.repaired[kind]) ? profile.removed[kind] || 0 : profile.repaired[kind]);
  const costs = [...new Set([...profile.kinds.slice(1), ...Object.keys(profile.repaired)])].sort((a, b) => gain(b) - gain(a));
  if (costs.length && gain(costs[0]) > 0) {
    const worst = costs[0], index = profile.kinds.indexOf(worst);
    const corrected = !missing(profile.repaired[worst]) && profile.repaired[worst] !== profile.removed[worst], first = profile.slices[0];
    add("false-positives", strong(worst[0].toUpperCase() + worst.slice(1)), ` costs most: ${corrected ? "corrected" : "without it"}, mAP`, el("sub", {}, "N"),
      ` would rise by ${number(gain(worst))} points from ${number(profile.base)} %`,
      index > 0 && sum(first) ? ` (it makes up ${percent(first[index], sum(first))} of the best-ranked predictions, 1G, where ${percent(first[0], sum(first))} are right)` : "",
      costs[1] && gain(costs[1]) > 0 ? `; next comes ${costs[1]} with ${number(gain(costs[1]))}.` : ".");
  }

  const [reason, cases] = Object.entries(misses.reasons).sort((a, b) => b[1] - a[1])[0] || [null, 0];
  const worse = misses.characteristics.flatMap((each) => each.buckets.map((bucket) => ({ each, bucket })))
    .filter(({ bucket }) => bucket.interval && bucket.interval[0] > misses.rate).sort((a, b) => b.bucket.rate - a.bucket.rate);
  if (misses.missed) {
    const sentence = [strong(`${number(misses.rate)} % of instances are missed`), ` from each class\u2019s best score upwards, ${number(diagnosis.false_negatives.rate)} % whatever the score (tIoU ${threshold})`];
    if (worse.length) {
      const { each, bucket } = worse[0], words = bucketRange(bucket, each.unit);
      sentence.push("; most where ", strong(`${each.name} is ${bucket.label}`), `${words ? ` (${words})` : ""}: ${number(bucket.rate)} % of ${count(bucket.instances)}`);
    }
    if (cases >= 5) sentence.push(`; the usual reason: ${REASON_MEANINGS[reason] || reason} (${percent(cases, misses.missed)})`);
    add("misses", ...sentence, ".");
  }

  const { characteristics, map_n: whole } = diagnosis.false_negatives;
  const spreads = characteristics.map((each) => {
    const there = each.buckets.filter((bucket) => bucket.instances >= 10 && !missing(bucket.map_n)).sort((a, b) => a.map_n - b.map_n);
    return { each, low: there[0], high: there[there.length - 1], spread: there.length > 1 ? there[there.length - 1].map_n - there[0].map_n : 0 };
  }).sort((a, b) => b.spread - a.spread);
  if (spreads.length && spreads[0].spread >= 5) {
    const { each, low, high } = spreads[0];
    const words = (bucket) => `${number(bucket.map_n)} % where ${bucketName(each, bucket)}`;
    add("misses", "Most depends on ", strong(`${each.name}${each.unit ? ` (${each.unit})` : ""}`), `: mAP`, el("sub", {}, "N"), ` is ${words(low)}, ${words(high)}, ${number(whole)} % in all.`);
  }

  const least = level === "action" ? 5 : 1, scored = diagnosis.classes.filter((row) => !missing(row.ap));
  const enough = scored.filter((row) => row.instances >= least).sort((a, b) => a.ap - b.ap);
  if (enough.length > 1) {
    const words = (row) => `${row.name} (${number(row.ap)})`, best = enough[enough.length - 1];
    const some = level === "action" ? ` with at least ${least} instances` : "";
    add("classes", `Lowest AP${some}: `, strong(enough.slice(0, Math.min(3, enough.length - 1)).map(words).join(", ")), `; highest: ${words(best)}.`);
  }

  const pair = largestConfusions(diagnosis.confusion)[0];
  if (pair && pair.amount > 1) {
    const { names } = diagnosis.confusion;
    add("confusion", "Most confused: ", strong(`${names[pair.row]} taken for ${names[pair.column]}`),
      ` (${pair.amount} times${level === "action" ? (pair.same ? ", same body group" : ", another body group") : ""}).`);
  }

  const { onset, offset } = diagnosis.boundaries;
  if (onset.pairs && offset.pairs) {
    const way = (value, early, late) => (Math.abs(value) < 0.02 ? "on time" : `${number(Math.abs(value), 2)} s ${value < 0 ? early : late}`);
    add("boundaries", "Predictions start ", strong(way(onset.median, "early", "late")), " and end ", strong(way(offset.median, "early", "late")),
      ` in the median; they are off by ${number(onset.absolute, 2)} s and ${number(offset.absolute, 2)} s on average.`);
  }
  return found;
}
