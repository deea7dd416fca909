// The picture: the browser's video, or single frames from the server where the browser cannot play the file.

const PATIENCE = 300; // milliseconds for a picture that may be the same one

/**
 * @param host element to show it in.
 * @param clip number, video or not, size.
 * @param handlers moved(time), playing(whether), and unplayable(why) before single frames take over.
 */
export function makePlayer(host, clip, clock, handlers) {
  let time = 0, until = null, from = null, loops = false, running = false, speed = 1, closed = false;
  let screen = clip.video ? film() : blank();

  function blank() {
    show(host, el("div", { class: "absent" }, clip.fault || "no video"));
    return { seek: () => {}, play: () => {}, pause: () => {}, time: () => null };
  }
  function film() {
    const video = el("video", { playsinline: true, preload: "auto", tabindex: -1, "aria-label": `video of ${clip.id}` });
    const fail = () => {
      if (closed || screen.video !== video) return;
      video.removeAttribute("src");
      screen = pictures();
      handlers.unplayable(`This browser cannot play the video (${clip.codec}); its frames are shown one by one, without sound.`);
      screen.seek(time);
    };
    // Where sound begins earlier, the browser counts from it, the clip from its first frame.
    const delay = clip.delay || 0, here = () => video.currentTime - delay;
    video.addEventListener("error", fail);
    // A file whose sound alone can be played has no width.
    video.addEventListener("loadedmetadata", () => { if (!video.videoWidth) fail(); });
    video.addEventListener("ended", () => stop(clock.duration));
    // Sent elsewhere before the picture is on the screen, a browser may stay at it; so each place waits for the one before.
    let wanted = null, busy = false, timer = 0;
    const free = () => {
      clearTimeout(timer);
      requestAnimationFrame(() => {
        const to = wanted;
        [busy, wanted] = [false, null];
        if (to !== null) go(to);
      });
    };
    const go = (to) => {
      if (busy) { wanted = to; return; }
      if (Math.abs(here() - to) < 1e-6) return;
      busy = true;
      video.currentTime = to + delay;
      timer = setTimeout(free, PATIENCE);
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(free);
      else video.addEventListener("seeked", free, { once: true });
    };
    video.src = `video/${clip.number}`;
    show(host, video);
    return {
      video,
      seek: (to) => go(clock.inside(clock.at(to))),
      play: () => {
        // A frame that is shown long was met near its end.
        if (here() - time > clock.pace) go(time);
        video.playbackRate = speed;
        video.play().catch(() => stop(time));
      },
      pause: () => video.pause(),
      time: () => wanted ?? here(),
    };
  }
  function pictures() {
    let shown = -1, wanted = 0, busy = false, begun = 0, base = 0;
    const load = () => {
      if (busy || wanted === shown || closed) return;
      busy = true;
      const mine = wanted, free = () => { busy = false; load(); };
      const arrived = () => {
        if (closed) return;
        show(host, image);
        shown = mine;
        free();
      };
      // Until it comes, the picture before it stays.
      const image = el("img", { alt: `frame ${mine} of ${clip.id}`, src: `frame/${clip.number}/${mine}.jpg`, on: { load: arrived, error: () => setTimeout(free, 1500) } });
    };
    return {
      seek: (to) => { wanted = clock.at(to); [base, begun] = [to, performance.now()]; load(); },
      play: () => { [base, begun] = [time, performance.now()]; },
      pause: () => {},
      time: () => {
        const now = base + (speed * (performance.now() - begun)) / 1000;
        wanted = clock.at(now);
        load();
        return now;
      },
    };
  }
  function stop(at) {
    if (!running) return;
    running = false;
    until = null;
    screen.pause();
    handlers.playing(false);
    seek(at);
  }
  function tick() {
    if (!running || closed) return;
    time = Math.min(Math.max(screen.time(), 0), clock.duration);
    if (until !== null && time >= until - 1e-3) {
      if (!loops) return stop(until);
      time = from;
      screen.seek(from);
    } else if (time >= clock.duration) return stop(clock.duration);
    handlers.moved(time);
    requestAnimationFrame(tick);
    return undefined;
  }
  /** Goes to the frame at a time; the playhead is at its start. */
  function seek(to) {
    time = to >= clock.duration - 1e-6 ? clock.duration : clock.start(clock.at(Math.max(0, to)));
    if (!running) until = null;
    screen.seek(time);
    handlers.moved(time);
  }
  function play(start, end) {
    if (!clip.video) return;
    [from, until] = [start ?? null, end ?? null];
    if (start !== undefined) seek2(start);
    else if (time >= clock.duration - clock.pace / 2) seek2(0);
    screen.play();
    if (running) return;
    running = true;
    handlers.playing(true);
    requestAnimationFrame(tick);
  }
  function seek2(to) {
    time = to;
    screen.seek(to);
  }
  return {
    seek, play, pause: () => stop(time), toggle: () => (running ? stop(time) : play()),
    set loop(value) { loops = value; }, set speed(value) { speed = value; if (screen.video) screen.video.playbackRate = value; },
    get time() { return time; }, get running() { return running; }, get playable() { return Boolean(clip.video); },
    close() { closed = true; running = false; screen.pause(); if (screen.video) { screen.video.removeAttribute("src"); screen.video.load(); } },
  };
}
