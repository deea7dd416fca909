"""Generates a data set of drawn people in the layout of the MMA-52 release, or of MA-52's trimmed clips."""

import csv
import glob
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mmad.demo.schedule import ClipPlan, plan_split, plan_trimmed
from mmad.errors import MmadError

GENERATOR = "1"
"""Version of the generator; another version draws other clips from the same seed."""

_RECORD = "demo.json"
_COLUMNS = ("id", "video_id", "start_frame", "end_frame", "class", "total_frames", "fps")


@dataclass(frozen=True)
class SplitPlan:
    """Size of one split.

    Args:
        clips: how many to draw, at most 10,000.
        subjects: numbers of the people shown, within 0 to 999; in turn, or at random for trimmed clips.
    """

    clips: int
    subjects: range


def generate_demo(
    root: Path,
    *,
    splits: dict[str, SplitPlan],
    seed: int,
    decoys: float = 0.0,
    trimmed: bool = False,
    processes: int | None = None,
    progress: bool = True,
) -> Path:
    """Draws a data set, or returns at once where the same one lies already.

    The result depends on `splits`, `seed`, `decoys` and `trimmed` only, and appears under `root` when it is complete,
    not before.

    Args:
        root: folder for `annotations/<split>.csv`, `<split>/<video id>.mp4` and `demo.json`; trimmed clips are
            `annotations/<split>_list_videos.txt` and `videos_<split>/<video id>.mp4`.
        splits: size of each split by its name (`train`, `val`, `test`).
        seed: of all randomness.
        decoys: postures per clip, on average, that look like an action in a still picture but are none; trimmed clips
            have none of them.
        trimmed: whether a clip is cut to one action, in the layout of MA-52.
        processes: how many draw at once; by default one per core, at most 8.
        progress: whether to show a bar.

    Returns:
        `root`.

    Raises:
        MmadError: if a package is missing, splits share subjects, or `root` holds something else.
    """
    _check(splits)
    # Sets that were drawn before there were trimmed clips have no such entry.
    record: dict[str, object] = {"trimmed": True} if trimmed else {}
    record |= {
        "generator": GENERATOR,
        "seed": seed,
        "decoys": decoys,
        "splits": {
            name: {
                "clips": split.clips,
                "subjects": [split.subjects.start, split.subjects.stop, split.subjects.step],
            }
            for name, split in splits.items()
        },
    }
    if _is_there(root, record):
        return root
    require_packages()
    plans = {
        name: plan_trimmed(name, clips=split.clips, subjects=split.subjects, seed=seed)
        if trimmed
        else plan_split(name, clips=split.clips, subjects=split.subjects, seed=seed, decoys=decoys)
        for name, split in splits.items()
    }
    # A folder of its own: two first runs may draw the same at once, and the later one finds it done.
    root.parent.mkdir(parents=True, exist_ok=True)
    _remove_rests(root)
    partial = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".partial", dir=root.parent))
    partial.chmod(0o755)
    try:
        folders = {name: partial / (f"videos_{name}" if trimmed else name) for name in splits}
        for folder in folders.values():
            folder.mkdir(parents=True)
        jobs = [(plan, folders[name] / f"{plan.video_id}.mp4") for name in splits for plan in plans[name]]
        with tqdm(total=len(jobs), desc="drawing clips", unit="clip", disable=not progress) as bar:
            for _ in _drawn(jobs, processes or min(os.cpu_count() or 1, 8)):
                bar.update()
        (partial / "annotations").mkdir()
        for name in splits:
            if trimmed:
                write_list(partial / "annotations" / f"{name}_list_videos.txt", plans[name])
            else:
                write_annotations(partial / "annotations" / f"{name}.csv", plans[name])
        (partial / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
        if not _is_there(root, record):
            if root.exists():
                root.rmdir()
            partial.rename(root)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def _remove_rests(root: Path) -> None:
    """Removes what runs that were killed have left; a younger one may still be drawing."""
    for rest in root.parent.glob(f".{glob.escape(root.name)}.*partial"):
        if time.time() - rest.stat().st_mtime > 24 * 3600:
            shutil.rmtree(rest, ignore_errors=True)


def write_annotations(path: Path, plans: list[ClipPlan]) -> None:
    """Writes the instances of a split, one per row, in raw frames from 0; the end is the last frame shown."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        rows = ((plan, performance) for plan in plans for performance in plan.performances)
        for number, (plan, performance) in enumerate(rows):
            start, end = round(performance.start * plan.fps), round(performance.end * plan.fps)
            writer.writerow((number, plan.video_id, start, end, performance.label, plan.frames, float(plan.fps)))


def write_list(path: Path, plans: list[ClipPlan]) -> None:
    """Writes the action of each trimmed clip, one clip per line."""
    lines = [f"{plan.video_id}.mp4 {plan.performances[0].label}\n" for plan in plans]
    path.write_text("".join(lines), newline="\n")


def draw_to_file(plan: ClipPlan, path: Path) -> None:
    """Draws one clip into a video file."""
    # Here, so that planning and reading need neither skia nor av.
    from mmad.demo.rendering import draw_clip, write_video

    write_video(path, draw_clip(plan), fps=plan.fps)


def require_packages() -> None:
    """Raises a readable error where the packages that draw and encode are missing."""
    try:
        import av  # noqa: F401
        import skia  # noqa: F401
    except ImportError as error:
        raise MmadError(
            f"Drawing the demo clips needs the package {error.name!r}, which is not installed: "
            'run pip install "mmad[demo]".'
        ) from error


def _drawn(jobs: list[tuple[ClipPlan, Path]], processes: int) -> Iterator[None]:
    if processes == 1:
        for plan, path in jobs:
            draw_to_file(plan, path)
            yield
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(draw_to_file, plan, path) for plan, path in jobs]
        try:
            for future in as_completed(futures):
                future.result()
                yield
        finally:
            pool.shutdown(cancel_futures=True)


def _check(splits: Mapping[str, SplitPlan]) -> None:
    owner: dict[int, str] = {}
    for name, split in splits.items():
        if not 1 <= split.clips <= 10_000:
            raise MmadError(f"Split {name!r} of the demo asks for {split.clips} clips: expected 1 to 10,000.")
        if not split.subjects or min(split.subjects) < 0 or max(split.subjects) > 999:
            raise MmadError(
                f"Split {name!r} of the demo has subjects {split.subjects}: "
                "expected at least one number, all within 0 to 999."
            )
        for subject in split.subjects:
            if subject in owner:
                raise MmadError(
                    f"Subject {subject} of the demo is in both split {owner[subject]!r} and split {name!r}: "
                    "give each split subjects of its own."
                )
            owner[subject] = name


def _is_there(root: Path, record: dict[str, object]) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = json.loads((root / _RECORD).read_text())
    except (OSError, ValueError):
        found = None
    if found == record:
        return True
    what = (
        "something that is not a demo data set" if found is None else "a demo data set of another seed, size or version"
    )
    raise MmadError(f"{root} holds {what}: delete that folder or choose another one.")
