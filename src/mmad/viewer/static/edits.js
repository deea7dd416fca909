// The corrections of one clip and how they came about; the server does the same with what it is sent.

/** Takes out and puts in; returns the change that would undo it. */
export function patch(segments, { remove, put }) {
  const before = [];
  for (const id of new Set([...remove, ...put.map((segment) => segment.id)])) {
    if (segments.has(id)) before.push(segments.get(id));
    segments.delete(id);
  }
  for (const segment of put) segments.set(segment.id, segment);
  const kept = new Set(before.map((segment) => segment.id));
  return { remove: put.map((segment) => segment.id).filter((id) => !kept.has(id)), put: before };
}

const own = Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, "0")).join("");
let counter = 0;
/** A name that no other window gives. */
export const freshId = () => `${own}-${(counter += 1)}`;

/** @param send takes each operation to the server, with what it changes and the change that would undo it. */
export function makeEdits(told, send) {
  const segments = new Map(told.segments.map((segment) => [segment.id, segment]));
  const done = [...told.done], undone = [...told.undone];

  function edit({ remove = [], put = [] }) {
    const change = { remove, put }, back = patch(segments, change);
    done.push(back);
    undone.length = 0;
    send({ key: freshId(), do: "edit", ...change }, change, back);
  }
  function turn(what, from, to) {
    if (!from.length) return null;
    const change = from.pop(), back = patch(segments, change);
    to.push(back);
    send({ key: freshId(), do: what }, change, back);
    return change;
  }
  return {
    segments, edit, undo: () => turn("undo", done, undone), redo: () => turn("redo", undone, done),
    get begun() { return done.length > 0; }, get undoable() { return done.length; }, get redoable() { return undone.length; },
  };
}
