"""`mmad-predict`: what a trained detector finds in videos of one's own."""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from mmad.cli.entry import plain, run, shown
from mmad.cli.ranks import launch_single_jobs, of_all_ranks
from mmad.errors import MmadError
from mmad.formats.videos import named_videos
from mmad.formats.whole_file import digest

if TYPE_CHECKING:
    from mmad.prediction.video_detector import VideoDetector
    from mmad.segments import Segments

_OF_VIDEO = ("unreadable_video", "missing_video", "empty_video", "no_picture")
"""Kinds of errors that are the video's, so that the others can go on."""


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
    if cfg.threshold is not None and not (_is_number(cfg.threshold) and 0 <= cfg.threshold <= 1):
        raise MmadError(f"threshold={cfg.threshold}: give a score from 0 to 1, or leave it out")
    if isinstance(cfg.batch_size, bool) or not isinstance(cfg.batch_size, int) or cfg.batch_size < 1:
        raise MmadError(f"batch_size={cfg.batch_size}: give a number of windows, such as 4")
    asked = cfg.videos if OmegaConf.is_list(cfg.videos) else [cfg.videos]
    places = named_videos(map(str, asked))
    quiet()
    launch_single_jobs()
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy

    from mmad.cli.build import load_detector, read_checkpoint
    from mmad.lit.signals import ended_by_signals
    from mmad.prediction.plan import COMBINED, LABELS, named, planned

    videos = named(places)
    read_checkpoint(Path(cfg.checkpoint))  # told before processes are started
    made_by = {"checkpoint": digest(Path(cfg.checkpoint)), "threshold": cfg.threshold}
    settings = plain(cfg)["trainer"]
    # Ranks meet at the end, and one may be hours ahead.
    strategy = "auto" if settings["devices"] == 1 else DDPStrategy(timeout=timedelta(days=30))
    fabric = Fabric(**settings, strategy=strategy)
    fabric.launch()
    first = fabric.global_rank == 0
    with alone_in(output) if first else nullcontext(), ended_by_signals("the same command goes on"):
        detector = load_detector(
            cfg.checkpoint,
            weights=cfg.weights,
            threshold=cfg.threshold,
            device=fabric.device,
            precision=fabric.autocast,
            batch_size=cfg.batch_size,
        )
        plan = planned(videos, output, taxonomy=detector.taxonomy, made_by=made_by) if first else None
        plan = fabric.broadcast(plan)
        assert plan is not None
        if first:
            done = len(videos) - len(plan.left) - len(plan.faults)
            print(f"{len(videos):,} videos" + (f", {done} of them done before" if done else ""))
            for name, fault in plan.faults.items():
                print(f"{name}: {fault}", file=sys.stderr)
        try:
            found = _predict_all(detector, plan.share(fabric.global_rank, fabric.world_size), output, told=made_by)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on", file=sys.stderr)
            raise SystemExit(130) from None
        faults = plan.faults | of_all_ranks(found)
        if not first:
            return
        whole = [name for name in videos if name not in faults]
        if whole:
            _combine(whole, output, detector)
    print(f"\nDetections in {len(whole):,} videos: {shown(output)}\n")
    for path in (output / COMBINED, output / LABELS):
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


def _predict_all(
    detector: "VideoDetector", videos: Mapping[str, Path], output: Path, *, told: Mapping[str, Any]
) -> dict[str, str]:
    """Predicts on one video after the other and writes its files; says what is wrong with those that cannot be read.

    Raises:
        MmadError: files cannot be written, or scores are no numbers: the next video would fare no better.
    """
    from tqdm.auto import tqdm

    from mmad.data.header import forget, header
    from mmad.prediction.files import write_detections
    from mmad.prediction.plan import fault_of, state_of

    faults: dict[str, str] = {}
    looks = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of this video [{elapsed}<{remaining}]"
    for number, (name, path) in enumerate(videos.items(), start=1):
        begun = time.monotonic()
        try:
            state, length = state_of(path, output), header(path).duration
            with tqdm(total=length, desc=f"{name} ({number}/{len(videos)})", bar_format=looks, leave=False) as bar:

                def advance(seconds: float, bar: tqdm = bar) -> None:
                    bar.update(min(seconds, bar.total) - bar.n)

                detections = detector(path, progress=advance)
            if state_of(path, output) != state:
                raise MmadError(f"{path} has changed while it was seen; run the command again", kind=_OF_VIDEO[0])
        except (MmadError, OSError) as error:
            if isinstance(error, MmadError) and error.kind not in _OF_VIDEO:
                raise
            faults[name] = fault_of(error, path)
            tqdm.write(f"{name}: {faults[name]}", file=sys.stderr)
            continue
        finally:
            forget()
        write_detections(output, name, detections, told={**told, "video": state, **_thresholds(detector)})
        pace = length / max(time.monotonic() - begun, 1e-9)
        tqdm.write(
            f"{name} ({number} of {len(videos)}): {len(detections):,} micro-actions in {_clock(length)} "
            f"({pace:.1f} times real time)"
        )
    return faults


def _combine(names: list[str], output: Path, detector: "VideoDetector") -> None:
    """Writes the detections of all videos into one file."""
    from mmad.formats.predictions import read_predictions, write_predictions
    from mmad.prediction.plan import COMBINED

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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
