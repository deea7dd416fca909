// Takes operations to the server one after the other, keeps those that it has not answered, and tells how it stands.

/** The answer as an object; an error of the server as an exception with its words and its status. */
export async function ask(address, body) {
  const answer = await fetch(address, body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  const words = await answer.text();
  let told = {};
  try { told = JSON.parse(words); } catch { told = { error: words }; }
  if (!answer.ok) throw Object.assign(new Error(told.error || `the server answered ${answer.status}`), { status: answer.status });
  return told;
}

/**
 * @param place names the corrections, so that what is kept goes to no others.
 * @param numbers of clips by id.
 * @param handlers state(words, kind, waiting) and outdated(clip).
 */
export function makeSaver(place, numbers, handlers) {
  const kept = `mmad-view:${place}`, versions = new Map();
  let queue = [], running = null;
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
  async function once() {
    const { clip } = queue[0], operations = [];
    for (const each of queue) {
      if (each.clip !== clip || operations.length === 200) break;
      operations.push(each.operation);
    }
    try {
      const { version } = await ask(`/edit/${numbers.get(clip)}`, { version: versions.get(clip), operations });
      versions.set(clip, version);
      queue.splice(0, operations.length);
      keep();
      return true;
    } catch (error) {
      if (error.status === 409) {
        queue = queue.filter((each) => each.clip !== clip);
        keep();
        handlers.outdated(clip);
        return true;
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
    handlers.state("saved", "fine", 0);
  }
  /** Settles once nothing waits any more. */
  function flush() {
    running ??= run().finally(() => { running = null; });
    return running;
  }
  return {
    send(clip, operation) { queue.push({ clip, operation }); keep(); flush(); },
    flush, waiting: (clip) => queue.filter((each) => each.clip === clip).length, get pending() { return queue.length; },
    know(clip, version) { versions.set(clip, version); }, version: (clip) => versions.get(clip),
  };
}
