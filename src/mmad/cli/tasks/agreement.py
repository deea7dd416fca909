"""Says how well annotators agree, lists what they have to talk about, and writes the annotation they agree on."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm.auto import tqdm

from mmad.cli.entry import shown
from mmad.cli.tasks.apart import check_apart
from mmad.cli.tasks.source import source_of
from mmad.data.header import header
from mmad.data.sources import MarkedSource, Source
from mmad.data.sources.source import LABELS, SPLIT_TABLE
from mmad.dataset.agreement import Agreement, outcomes
from mmad.dataset.agreement import agreement as measure
from mmad.dataset.agreement_tables import agreement_tables, levels_of
from mmad.dataset.annotators import Panel, by_annotator, one_taxonomy, seat
from mmad.dataset.discussion import KINDS, Case, cases, consensus, write_discussion
from mmad.errors import MmadError
from mmad.formats.annotated import Annotations
from mmad.formats.csv_marks import write_csv_marks
from mmad.formats.labels import read_taxonomy, write_taxonomy
from mmad.formats.marks import taxonomy_of
from mmad.formats.splits import read_splits
from mmad.formats.videos import find_videos
from mmad.formats.whole_file import write_whole
from mmad.plots.agreement import agreement_figure
from mmad.plots.style import save
from mmad.tables import write_tables


def agreement(cfg: DictConfig) -> None:
    """Says how well annotators agree, lists what they have to talk about, and writes the annotation they agree on."""
    root, output = Path(cfg.data.root).expanduser(), Path(cfg.output)
    threshold, folders = _threshold(cfg.tiou), _folders(cfg.annotators, root)
    for folder in (root, *folders.values()):
        check_apart(output, folder, nested=True)
    panel = _panel(cfg, folders, root)
    found, outcome = measure(panel, threshold=threshold), outcomes(panel, threshold=threshold)
    open_cases = cases(panel, outcome)
    agreed = consensus(panel, outcome)

    write_whole(output / "agreement.json", (json.dumps(found, indent=2, allow_nan=False) + "\n").encode())
    write_tables(output / "tables", agreement_tables(found, open_cases))
    (output / "figures").mkdir(parents=True, exist_ok=True)
    save(agreement_figure(found), output / "figures" / "agreement")
    write_discussion(output / "discuss.csv", panel, open_cases)
    write_csv_marks(output / "consensus" / "annotations.csv", agreed)
    write_taxonomy(output / "consensus" / LABELS, panel.taxonomy)

    disputed = sum(case.disputed for case in open_cases)
    settled = len(panel.rows) - disputed
    print(_summary(found, open_cases))
    background = "; a detector would take the others, in dispute, for background" if disputed else ""
    alone = len(panel.alone.marks)
    print(
        f"\nConsensus: {len(agreed.marks) - alone:,} instances, from {settled:,} of {len(panel.rows):,} segments"
        f"{background}."
    )
    if panel.alone.clips:
        print(
            f"Clips taken over as they are from the single annotator who saw them: {len(panel.alone.clips):,}, with "
            f"instances: {alone:,}."
        )
    print()
    for name in ("agreement.json", "tables", "figures", "discuss.csv", "consensus"):
        print(f"  {shown(output / name)}")
    train = f"mmad-train data=folder data.root={shown(output / 'consensus')}, once the videos are in that folder"
    if open_cases:
        print(
            f"\nNext: talk about {shown(output / 'discuss.csv')}, the clips with most disputes first; then\n  {train}"
        )
    else:
        print(f"\nNext: {train}")


def _threshold(tiou: object) -> float:
    """The threshold, which the configuration may hold as anything; its range is checked where it counts."""
    if isinstance(tiou, bool) or not isinstance(tiou, int | float):
        raise MmadError(f"tiou={'null' if tiou is None else tiou}: expected a number from 0 to below 1, such as 0.9")
    return tiou


def _folders(annotators: object, root: Path) -> dict[str, Path]:
    """The folder of each annotator, empty if one data set holds all."""
    if annotators is None:
        return {}
    if not isinstance(annotators, DictConfig) or any(folder is None for folder in annotators.values()):
        raise MmadError(
            f"annotators={annotators}: expected a folder for each, such as +annotators.anna=FOLDER "
            f"+annotators.ben=FOLDER"
        )
    folders = {str(name): root / Path(str(folder)).expanduser() for name, folder in annotators.items()}
    names: dict[Path, str] = {}
    for name, folder in folders.items():
        first = names.setdefault(folder.resolve(), name)
        if first != name:
            raise MmadError(f"annotators {first!r} and {name!r} have the same folder {folder}; give each their own")
    return folders


def _panel(cfg: DictConfig, folders: Mapping[str, Path], root: Path) -> Panel:
    """The annotators side by side."""
    if folders:
        make = instantiate(cfg.data.source, _convert_="all")
        sources: dict[Path, Source] = {folder: make(folder) for folder in folders.values()}
    else:
        sources = {root: source_of(cfg)}
    splits = read_splits(root / SPLIT_TABLE) if (root / SPLIT_TABLE).is_file() else {}
    known = {
        folder: replace(_marks(source, together=not folders), split_of={**source.dealt, **splits})
        for folder, source in sources.items()
    }
    each = {name: known[folder] for name, folder in folders.items()} or by_annotator(known[root], source=str(root))
    found = list(known.values())
    seconds = {clip: length for annotations in found for clip, length in annotations.durations.items()}
    clips = dict.fromkeys(clip for annotations in found for clip in annotations.clips)
    seconds |= _lengths([clip for clip in clips if clip not in seconds], [*sources, root])
    told = {
        str(folder): source.taxonomy
        for folder, source in sources.items()
        if not isinstance(source, MarkedSource) or (folder / LABELS).is_file()
    }
    taxonomy = one_taxonomy(told)
    if taxonomy is None and (root / LABELS).is_file():
        taxonomy = read_taxonomy(root / LABELS)
    if taxonomy is None:
        taxonomy = taxonomy_of(mark for annotations in found for mark in annotations.marks)
    return seat(each, taxonomy=taxonomy, seconds=seconds)


def _marks(source: Source, *, together: bool) -> Annotations:
    """The annotations of a data set.

    Args:
        source: of one annotator, or of all.
        together: of all.

    Raises:
        MmadError: they are faulty; several files for a clip may well be those of several annotators.
    """
    try:
        return source.annotations
    except MmadError as fault:
        if not together or fault.kind != "clip_in_splits" or ".eaf" not in str(fault):
            raise
        raise MmadError(
            f"{str(fault).rpartition('; ')[0]}; if each annotator has a folder of their own, name these: "
            f"+annotators.NAME=FOLDER",
            kind=fault.kind,
            clip=fault.clip,
        ) from None


def _lengths(clips: Sequence[str], folders: Iterable[Path]) -> dict[str, float]:
    """Seconds of the clips whose video lies in one of the folders, the first ones first."""
    places = [[folder, *(path for path in folder.rglob("*") if path.is_dir())] for folder in dict.fromkeys(folders)]
    videos = find_videos(clips, places)
    opened = tqdm(videos.items(), desc="open videos", unit="clip", leave=False)
    return {clip: header(path).duration for clip, path in opened}


def _summary(found: Agreement, open_cases: Sequence[Case]) -> str:
    names = ", ".join(found["annotators"])
    lines = [f"\n{len(found['annotators'])} annotators ({names}); {found['clips']:,} clips seen by at least two\n"]
    lines.append(
        f"{'tIoU above ' + format(found['threshold'], 'g'):<16}"
        + "".join(f"{name:>10}" for name in ("segments", "reliable", "majority", "dispute", "alpha", "positive"))
    )
    for name, level in levels_of(found):
        overall = level["overall"]
        shares = "".join(_cell(overall[key], ".1f", " %") for key in ("reliable", "majority", "dispute"))
        values = _cell(level["alpha"], ".2f") + _cell(level["positive"], ".2f")
        lines.append(f"{name:<16}{overall['segments']:>10,}{shares}{values}")
    lines.append(
        "\nReliable: everybody who saw the clip marked it alike; majority: more than half. Alpha: agreement beyond "
        f"chance on units of {found['unit']:g} s, positive: on what is marked; means over classes."
    )
    half = found["action"]["curve"][found["tious"].index(0.5)]
    if half is not None:
        lines.append(f"At tIoU above 0.5, {half:.1f} % of the segments are reliable.")
    if found["onset"] is not None:
        lines.append(
            f"Reliable segments differ by {found['onset']:.3f} s at the start, {found['offset']:.3f} s at the end."
        )
    if open_cases:
        counts = {kind: sum(case.kind == kind for case in open_cases) for kind in KINDS}
        told = ", ".join(f"{kind} {count}" for kind, count in counts.items() if count)
        lines.append(f"To talk about, {len(open_cases):,} in all: {told}.")
    lines += [f"note: {note}" for note in found["notes"]]
    return "\n".join(lines)


def _cell(value: float | None, form: str, unit: str = "") -> str:
    return f"{'-' if value is None else format(value, form) + unit:>10}"
