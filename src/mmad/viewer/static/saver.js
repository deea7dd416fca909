// Takes operations to the server one after the other, keeps those that it has not answered, and tells how it stands.
import { patch } from "./edits.js";

/** The answer as an object; an error of the server as an exception with its words and its status. */
export async function ask(address, body) {
  const answer = await fetch(address, body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  const words = await answer.text();
  let told = {};
  try { told = JSON.parse(words); } catch { told = { error: words }; }
  if (!answer.ok) throw Object.assign(new Error(told.error || `the server answered ${answer.status}`), { status: answer.status, told });
  return told;
}

/**
 * What waits, made to follow a newer state: undoing would now undo somebody else's edit, so it becomes the change that
 * was seen; what concerns segments that are gone is left out.
 * @returns the entries that still change something, and how many others there were.
 */
export function onTop(entries, told) {
  const segments = new Map(told.segments.map((segment) => [segment.id, segment])), kept = [];
  let lost = 0;
  for (const entry of entries) {
    const added = new Set(entry.added), { key } = entry.operation;
    const remove = entry.change.remove.filter((id) => segments.has(id));
    const put = entry.change.put.filter(({ id }) => segments.has(id) || added.has(id));
    if (put.length < entry.change.put.length) lost += 1;
    if (!remove.length && !put.length) continue;
    const change = { remove, put };
    patch(segments, change);
    kept.push({ ...entry, change, operation: { key, do: "edit", ...change } });
  }
  return { kept, lost };
}

/**
 * @param place names the corrections, so that what is kept goes to no others.
 * @param numbers of clips by id.
 * @param handlers state(words, kind, waiting), and news(clip, words) once edits followed a newer state or were refused.
 */
export function makeSaver(place, numbers, handlers) {
  const kept = `mmad-view:${place}`, versions = new Map(), behind = new Set();
  let queue = [], running = null, single = false;
  try {
    const stored = JSON.parse(sessionStorage.getItem(kept)) || { queue: [], versions: [] };
    queue = stored.queue.filter(({ clip }) => numbers.has(clip));
    for (const [clip, version] of stored.versions) versions.set(clip, version);
  } catch { /* nothing that can be read is kept */ }

  function keep() {
    try {
      const waiting = new Set(queue.map(({ clip }) => clip));
      if (queue.length) sessionStorage.setItem(kept, JSON.stringify({ queue, versions: [...versions].filter(([clip]) => waiting.has(clip)) }));
      else sessionStorage.removeItem(kept);
    } catch { /* without room, the page alone keeps them */ }
  }
  /** Lets the clip's edits that wait follow the server's newest state; gives how many there were, and were lost. */
  function rebase(clip, told) {
    const mine = queue.filter((each) => each.clip === clip), { kept: left, lost } = onTop(mine, told);
    queue = [...left, ...queue.filter((each) => each.clip !== clip)];
    versions.set(clip, told.version);
    behind.add(clip); // the page shows the old state until it loads the clip anew
    keep();
    return { before: mine.length, lost };
  }
  async function once() {
    const { clip } = queue[0], batch = [];
    for (const each of queue) {
      if (each.clip !== clip || batch.length === (single ? 1 : 200)) break;
      batch.push(each);
    }
    try {
      const { version } = await ask(`edit/${numbers.get(clip)}`, { version: versions.get(clip), operations: batch.map(({ operation }) => operation) });
      versions.set(clip, version);
      queue.splice(0, batch.length);
      keep();
      return true;
    } catch (error) {
      if (error.status === 409) {
        const known = new Set(error.told.known);
        queue = queue.filter((each) => each.clip !== clip || !known.has(each.operation.key));
        const { before, lost } = rebase(clip, error.told.edited);
        const words = before === lost ? "" : `, with ${lost ? `${before - lost} of ` : ""}${plural(before, "edit")} of yours done again on it`;
        handlers.news(clip, `Another window has edited this clip; this is the newest state${words}.${lost ? ` ${plural(lost, "edit")} could not be, since other windows deleted the segments.` : ""}`);
        return true;
      }
      if (error.status === 422 && batch.length > 1) {
        single = true; // to see which one it is
        return true;
      }
      if (error.status === 422) {
        try {
          const { edited } = await ask(`clip/${numbers.get(clip)}`);
          queue.shift();
          single = false;
          const { lost } = rebase(clip, edited);
          handlers.news(clip, `An edit was refused and is left out: ${error.message}.${lost ? ` So ${lost === 1 ? "is" : "are"} ${plural(lost, "later edit")} of the same segment.` : ""}`);
          return true;
        } catch { /* the server is gone meanwhile */ }
      }
      const why = error.status ? `Not saved: ${error.message}.` : "The server does not answer: is mmad-view still running?";
      handlers.state(`${why} ${plural(queue.length, "edit")} wait here and will be sent again; keep this page open.`, "gone", queue.length);
      return false;
    }
  }
  async function run() {
    while (queue.length) {
      handlers.state("saving", "busy", queue.length);
      if (!(await once())) {
        await new Promise((resolve) => { setTimeout(resolve, 1500); });
      }
    }
    single = false;
    handlers.state("saved", "fine", 0);
  }
  /** Settles once nothing waits any more. */
  function flush() {
    running ??= run().finally(() => { running = null; });
    return running;
  }
  return {
    send(clip, operation, change, back) {
      const sent = behind.has(clip) ? { key: operation.key, do: "edit", ...change } : operation;
      queue.push({ clip, operation: sent, change, added: back.remove });
      keep();
      flush();
    },
    flush, waiting: (clip) => queue.filter((each) => each.clip === clip).length, get pending() { return queue.length; },
    know(clip, version) { versions.set(clip, version); behind.delete(clip); }, version: (clip) => versions.get(clip),
  };
}
