"""`mmad-predict`: what a trained detector finds in videos of one's own."""

import hashlib
import json
import os
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from mmad.cli.entry import plain, run, shown
from mmad.cli.ranks import launch_single_jobs, of_all_ranks
from mmad.errors import MmadError
from mmad.formats.videos import named_videos

if TYPE_CHECKING:
    from mmad.prediction.video_detector import VideoDetector
    from mmad.segments import Segments

COMBINED = "predictions.json"
"""Holds the detections of all videos, as `mmad-eval` and `mmad-view` read them."""


def main() -> None:
    """Console script."""
    run(predict, config="predict")


def predict(cfg: DictConfig) -> None:
    """Predicts on videos and writes the results of each; what is done already is not done again.

    Raises:
        SystemExit: with code 1 if some videos could not be read; the others are done.
    """
    from mmad.cli.alone import alone_in
    from mmad.cli.train import check_device, quiet

    check_device(cfg.trainer)
    output = Path(cfg.output)
    if output.exists() and not output.is_dir():
        raise MmadError(f"output={output} is a file; name a folder")
    if cfg.threshold is not None and not (isinstance(cfg.threshold, int | float) and 0 <= cfg.threshold <= 1):
        raise MmadError(f"threshold={cfg.threshold}: give a score from 0 to 1, or leave it out")
    if isinstance(cfg.batch_size, bool) or not isinstance(cfg.batch_size, int) or cfg.batch_size < 1:
        raise MmadError(f"batch_size={cfg.batch_size}: give a number of windows, such as 4")
    videos = named(named_videos(map(str, cfg.videos if OmegaConf.is_list(cfg.videos) else [cfg.videos])))
    quiet()
    launch_single_jobs()
    from lightning.fabric import Fabric

    from mmad.cli.build import load_detector, read_checkpoint
    from mmad.formats.labels import write_taxonomy
    from mmad.lit.signals import ended_by_signals

    read_checkpoint(Path(cfg.checkpoint))  # told before processes are started
    made_by = _digest(Path(cfg.checkpoint))
    fabric = Fabric(**plain(cfg)["trainer"])
    fabric.launch()
    first = fabric.global_rank == 0
    with alone_in(output) if first else nullcontext(), ended_by_signals("the same command goes on"):
        left = _left(videos, output, checkpoint=made_by, threshold=cfg.threshold)
        if first:
            done = f", {len(videos) - len(left)} of them done before" if len(left) < len(videos) else ""
            print(f"{len(videos):,} videos{done}")
        detector = load_detector(
            cfg.checkpoint,
            weights=cfg.weights,
            threshold=cfg.threshold,
            device=fabric.device,
            precision=fabric.autocast,
            batch_size=cfg.batch_size,
        )
        told = {"checkpoint": made_by, "threshold": cfg.threshold}
        mine = dict(list(left.items())[fabric.global_rank :: fabric.world_size])
        faults = of_all_ranks(_predict_all(detector, mine, output, told=told))
        if not first:
            return
        whole = [name for name in videos if name not in faults]
        write_taxonomy(output / "labels.csv", detector.taxonomy)
        if whole:
            _combine(whole, output, detector)
    print(f"\nDetections in {len(whole):,} videos: {shown(output)}\n")
    for path in (output / COMBINED, output / "labels.csv"):
        if path.exists():
            print(f"  {shown(path)}")
    for name in whole[:3]:
        print(f"  {shown(output / name)}.json, .csv, .eaf, .boris.csv, .vtt, .png")
    if whole[3:]:
        print(f"  ... and those of {len(whole) - 3:,} more")
    print(f"\nNext: mmad-view predictions={shown(output)}")
    if faults:
        print(f"\nerror: {len(faults)} of {len(videos)} videos could not be read:", file=sys.stderr)
        for fault in faults.values():
            print(f"  {fault}", file=sys.stderr)
        raise SystemExit(1)


def named(paths: list[Path]) -> dict[str, Path]:
    """Videos by a name of their own: the place below the folder that holds all, without the ending unless two differ in
    it alone.

    >>> list(named([Path("lab/a/x.mp4"), Path("lab/b/x.mp4"), Path("lab/b/y.avi"), Path("lab/b/y.mov")]))
    ['a/x', 'b/x', 'b/y.avi', 'b/y.mov']
    """
    whole = [Path(os.path.abspath(path)) for path in paths]
    common = Path(os.path.commonpath([path.parent for path in whole]))
    places = [path.relative_to(common).as_posix() for path in whole]
    short = [place.removesuffix(path.suffix) for place, path in zip(places, whole, strict=True)]
    # Case, since a file system may not tell; a name of a file that this command writes for all videos is taken.
    times = Counter([*(name.lower() for name in short), Path(COMBINED).stem, "labels"])
    names = [name if times[name.lower()] == 1 else place for name, place in zip(short, places, strict=True)]
    return dict(zip(names, paths, strict=True))


def _left(videos: dict[str, Path], output: Path, *, checkpoint: str, threshold: float | None) -> dict[str, Path]:
    """The videos whose results are not there yet.

    Raises:
        MmadError: results of another detector, or with another threshold, are there.
    """
    from mmad.prediction.files import told_of

    left = {}
    for name, path in videos.items():
        results = output / f"{name}.json"
        if not results.exists():
            left[name] = path
            continue
        told = told_of(results)
        if told["checkpoint"] != checkpoint or told["threshold"] != threshold:
            what = "by another checkpoint" if told["checkpoint"] != checkpoint else "with another threshold"
            raise MmadError(f"{results} was made {what}; choose another output=..., or delete that folder")
        if told["video"] != _state(path, output):
            left[name] = path
    return left


def _predict_all(
    detector: "VideoDetector", videos: dict[str, Path], output: Path, *, told: dict[str, Any]
) -> dict[str, str]:
    """Predicts on one video after the other and writes its files; says what is wrong with those that cannot be read."""
    from tqdm.auto import tqdm

    from mmad.data.header import header
    from mmad.prediction.files import write_detections

    faults: dict[str, str] = {}
    lengths: dict[str, float] = {}
    for name, path in tqdm(videos.items(), desc="open videos", unit="video", leave=False):
        try:
            lengths[name] = header(path).duration
        except MmadError as error:
            faults[name] = _fault(error)
    looks = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of video [{elapsed}<{remaining}]"
    with tqdm(total=sum(lengths.values()), bar_format=looks, leave=False) as bar:
        for number, (name, length) in enumerate(lengths.items(), start=1):
            bar.set_description(f"{name} ({number}/{len(lengths)})")
            before, begun = bar.n, time.monotonic()

            def advance(seconds: float, before: float = before) -> None:
                bar.update(min(before + seconds, bar.total) - bar.n)

            try:
                detections = detector(videos[name], progress=advance)
                state = _state(videos[name], output)
                write_detections(output, name, detections, told={**told, "video": state, **_thresholds(detector)})
            except MmadError as error:
                faults[name] = _fault(error)
                tqdm.write(f"{name}: {faults[name]}", file=sys.stderr)
                continue
            finally:
                advance(length)
            pace = length / max(time.monotonic() - begun, 1e-9)
            tqdm.write(f"{name}: {len(detections):,} micro-actions in {_clock(length)} ({pace:.1f} times real time)")
    return faults


def _fault(error: MmadError) -> str:
    """The sentence on a faulty video, for which there are no annotations here."""
    from mmad.data.header import REMOVE

    return str(error).replace(REMOVE, "")


def _combine(names: list[str], output: Path, detector: "VideoDetector") -> None:
    """Writes the detections of all videos into one file."""
    from mmad.formats.predictions import read_predictions, write_predictions

    found: dict[str, Segments] = {}
    videos: dict[str, str] = {}
    for name in names:
        results = output / f"{name}.json"
        found |= read_predictions(results, taxonomy=detector.taxonomy)
        videos[name] = json.loads(results.read_text())["external_data"]["video"]["path"]
    told = {**_thresholds(detector), "videos": videos}
    write_predictions(output / COMBINED, found, taxonomy=detector.taxonomy, told=told)


def _thresholds(detector: "VideoDetector") -> dict[str, dict[str, float]]:
    return {"thresholds": dict(zip(detector.taxonomy.actions, detector.thresholds, strict=True))}


def _state(path: Path, output: Path) -> dict[str, Any]:
    """Where a video lies, as seen from the output, and what changes when it does."""
    known = path.stat()
    return {
        "path": Path(os.path.relpath(path.resolve(), output.resolve())).as_posix(),
        "bytes": known.st_size,
        "changed_ns": known.st_mtime_ns,
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
