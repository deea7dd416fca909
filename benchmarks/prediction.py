"""How well boundaries hold whatever file a scene lies in, and what a long video costs in memory and time.

    python benchmarks/prediction.py CHECKPOINT

Draws ten test scenes of the demo as films of six codecs in five containers, at four frame rates and a variable one,
large, rotated, and all on end for 40 minutes; a detector of `make train` finds the actions in each. Its detections are
compared with what was drawn, and with those in the film that is as training clips are.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mmad import load_detector
from mmad.demo.rendering import draw_clip
from mmad.demo.schedule import ClipPlan, plan_split
from mmad.prediction.detections import Detections
from mmad.taxonomy import MMA52

SCENES = 10
LONG = 40 * 60


@dataclass(frozen=True)
class Film:
    """How a scene is filmed: container, codec, frames per second (None: variable), enlargement and rotation."""

    ending: str
    codec: str
    fps: int | None
    scale: int = 1
    turn: int = 0


FILMS = {
    "as in training: H.264 in MP4, 16 fps": Film("mp4", "libx264", 16),
    "HEVC in MOV, 25 fps": Film("mov", "libx265", 25),
    "VP9 in WebM, 30 fps": Film("webm", "libvpx-vp9", 30),
    "MPEG-4 in AVI, 60 fps, 512 x 640": Film("avi", "mpeg4", 60, scale=4),
    "MPEG-2 in TS, 25 fps": Film("ts", "mpeg2video", 25),
    "H.264 in MP4, 10 to 50 fps": Film("mp4", "libx264", None),
    "H.264 in MP4, 30 fps, rotated": Film("mp4", "libx264", 30, turn=90),
}


def ticks(film: Film, seconds: float) -> np.ndarray:
    """Milliseconds at which the frames start."""
    if film.fps is None:
        steps = np.resize([20, 20, 20, 100, 50, 30], round(seconds * 50))
        times = np.concatenate([[0], steps.cumsum()])
        return times[times < seconds * 1000]
    return np.round(np.arange(round(seconds * film.fps)) * 1000 / film.fps).astype(int)


def pictures(plan: ClipPlan, times: np.ndarray) -> Iterator[np.ndarray]:
    """The scene at these milliseconds: drawn a hundred times a second, and the last picture taken."""
    fine = draw_clip(replace(plan, fps=100, frames=round(plan.frames / plan.fps * 100)))
    number, picture = 0, next(fine)
    for time in times:
        while number < time // 10:
            number, picture = number + 1, next(fine, picture)
        yield picture[..., :3].copy()


def write(path: Path, images: Iterator[np.ndarray], times: np.ndarray, film: Film) -> None:
    unit = Fraction(1, 1000 if film.fps is None else film.fps)
    quiet = {"x265-params": "log-level=none"} if film.codec == "libx265" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(film.codec, rate=film.fps or 50, options={"crf": "23", **quiet})
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        stream.codec_context.time_base = unit
        if film.turn:
            stream.set_display_rotation(film.turn)
        for number, image in enumerate(images):
            image = np.rot90(image, -film.turn // 90).repeat(film.scale, 0).repeat(film.scale, 1)
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = int(times[number]) if film.fps is None else number, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


Event = tuple[str, float, float]


def events(plan: ClipPlan, shift: float = 0.0) -> list[Event]:
    """What was drawn: class, start and end in seconds."""
    return [(MMA52.actions[each.label], each.start + shift, each.end + shift) for each in plan.performances]


def found_again(wanted: list[Event], detections: Detections) -> np.ndarray:
    """(N, 2) how far start and end are off in seconds; NaN where no detection of the class has a tIoU of 0.5."""
    off = np.full((len(wanted), 2), np.nan)
    for number, (action, start, end) in enumerate(wanted):
        best = 0.5
        for row in detections:
            shared = min(row.end, end) - max(row.start, start)
            tiou = shared / (max(row.end, end) - min(row.start, start))
            if row.action == action and tiou >= best:
                best, off[number] = tiou, (row.start - start, row.end - end)
    return off


def line(name: str, truth: np.ndarray, base: np.ndarray | None, step: float) -> str:
    seen = ~np.isnan(truth[:, 0])
    cells = [name, f"{seen.sum()} of {len(truth)}", f"{np.median(np.abs(truth[seen])) / step:.2f}"]
    if base is None:
        return "| " + " | ".join([*cells, "-", "-"]) + " |"
    there = ~np.isnan(base[:, 0])
    steps = np.abs(base[there]).ravel() / step
    cells += [f"{there.sum()} of {len(base)}", f"{np.median(steps):.2f}, {100 * (steps <= 0.5).mean():.0f} %"]
    return "| " + " | ".join(cells) + " |"


def cost(checkpoint: str, film: Path) -> tuple[float, float]:
    """Peak memory in MiB and seconds of a process of its own that runs the detector on a film."""
    # Not `resource`, which on Linux counts what the process that started this one held.
    code = (
        "import re, sys, time; from pathlib import Path; from mmad import load_detector; "
        "detector = load_detector(sys.argv[1]); start = time.monotonic(); detector(sys.argv[2]); "
        "seconds = time.monotonic() - start; "
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024, seconds)"
    )
    told = subprocess.run([sys.executable, "-c", code, checkpoint, film], capture_output=True, text=True, check=True)
    memory, seconds = told.stdout.split()
    return float(memory), float(seconds)


def main(checkpoint: str, folder: Path) -> None:
    detector = load_detector(checkpoint)
    plans = plan_split("test", clips=96, subjects=range(153, 177), seed=0, decoys=3.0)[:SCENES]
    lengths = [plan.frames / plan.fps for plan in plans]
    found: dict[str, list[Detections]] = {}
    for name, film in FILMS.items():
        found[name] = []
        for number, (plan, seconds) in enumerate(zip(plans, lengths, strict=True)):
            path = folder / f"{len(found)}_{number}.{film.ending}"
            times = ticks(film, seconds)
            write(path, pictures(plan, times), times, film)
            found[name].append(detector(path))
    base = found[next(iter(FILMS))]
    again = [[(row.action, row.start, row.end) for row in each] for each in base]
    step = detector.grid.feature_stride / detector.rates[1]
    print("| film | drawn actions found | off by (steps) | its detections found again | off by (steps), within half |")
    print("|---|---|---|---|---|")
    for name, of_film in found.items():
        truth = np.concatenate([found_again(events(plan), each) for plan, each in zip(plans, of_film, strict=True)])
        same = np.concatenate([found_again(rows, each) for rows, each in zip(again, of_film, strict=True)])
        print(line(name, truth, None if of_film is base else same, step))

    # The same scenes on end until the time is full; each begins at another place of the detector's windows and chunks.
    long, usual = folder / "long.mp4", Film("mp4", "libx264", 16)
    scenes = [list(pictures(plan, ticks(usual, seconds))) for plan, seconds in zip(plans, lengths, strict=True)]
    order = [number % SCENES for number in range(int(LONG / np.mean(lengths)))]
    write(long, (image for number in order for image in scenes[number]), np.zeros(0), usual)
    of_long = detector(long)
    starts = np.cumsum([0, *(len(scenes[number]) / 16 for number in order)])
    drawn = [event for number, start in zip(order, starts, strict=False) for event in events(plans[number], start)]
    print(line(f"all on end, {of_long.duration / 60:.0f} min", found_again(drawn, of_long), None, step))

    short = folder / "short.mp4"
    fifteen = [image for scene in scenes for image in scene][: 15 * 16]
    write(short, iter(fifteen), np.zeros(0), usual)
    hour = folder / "hour.mp4"
    write(hour, (fifteen[number % len(fifteen)] for number in range(3600 * 16)), np.zeros(0), usual)
    (small, _), (large, seconds) = cost(checkpoint, short), cost(checkpoint, hour)
    print(
        f"\npeak memory: 15 s {small:.0f} MiB, 1 h {large:.0f} MiB, {large / small:.2f} times; "
        f"1 h in {seconds:.0f} s, {3600 / seconds:.0f} times real time"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], Path(scratch))
