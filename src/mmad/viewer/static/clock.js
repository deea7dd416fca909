// Frames and seconds of one clip: all times are seconds from the first frame.

/** When the frames of a clip start: at even steps, or at times of their own. A clip without a video steps by 0.04 s. */
export function makeClock({ duration, frames, step, times }) {
  const pace = step || (times ? duration / frames : 0.04);
  const total = frames || Math.max(1, Math.ceil(duration / pace - 1e-6));
  const start = (frame) => (times ? times[frame] : frame * pace);
  const clamp = (frame) => Math.min(Math.max(frame, 0), total - 1);

  /** The frame that is shown at a time. */
  function at(time) {
    if (!times) return clamp(Math.floor(time / pace + 1e-4));
    let [low, high] = [0, total - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (times[middle] <= time + 1e-4) low = middle;
      else high = middle - 1;
    }
    return low;
  }
  /** The nearest start of a frame, or the end of the clip. */
  function snap(time) {
    const frame = at(time), edges = [start(frame), frame + 1 < total ? start(frame + 1) : duration];
    return time - edges[0] <= edges[1] - time ? edges[0] : edges[1];
  }
  /** The edge so many frames further on. */
  function shift(time, by) {
    const edge = time >= duration - 1e-6 ? total : at(snap(time));
    const frame = Math.min(Math.max(edge + by, 0), total);
    return frame === total ? duration : start(frame);
  }
  /** A moment at which the frame is surely shown: late, since browsers go by lengths that files of variable rate misstate. */
  const inside = (frame) => 0.2 * start(frame) + 0.8 * (frame + 1 < total ? start(frame + 1) : Math.min(duration, start(frame) + pace));
  return { duration, total, pace, start, at, snap, shift, inside, clamp };
}

/** Seconds in words: 3.20, or 1:03.20 from a minute on. */
export function clockText(time, digits = 2) {
  if (time < 60) return time.toFixed(digits);
  const minutes = Math.floor(time / 60), rest = (time - 60 * minutes).toFixed(digits);
  const padded = rest.padStart(digits ? 3 + digits : 2, "0");
  return minutes < 60 ? `${minutes}:${padded}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${padded}`;
}
