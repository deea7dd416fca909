"""What a run's folder holds of the same run's earlier part: it is finished, it can go on, or it has not begun."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmad.cli.alone import alone_in
from mmad.cli.entry import output_dir, plain, shown
from mmad.comparison.run import WITHOUT_EFFECT
from mmad.formats.whole_file import numbered
from mmad.lit.costs import COSTS
from mmad.lit.loggers import flat

_INDIFFERENT = {*WITHOUT_EFFECT, "log_pictures"} - {"seed", "data.seed"}
"""Settings that may differ between the parts of one run."""

_TOLD = "MMAD_CKPT"
"""Environment variable by which a run's first process tells the others where they all go on."""

_RESULTS = (
    *("metrics.csv", "environment.json", COSTS, "metrics.json", "diagnosis.json", "predictions.json", "report.html"),
    *("timeline.png", "tables", "figures", "weights.safetensors", "reconstruction.png", "predictions.csv"),
)
"""What a run writes beside its configuration and its checkpoints."""


@dataclass(frozen=True)
class Earlier:
    """An earlier part of a run.

    Args:
        finished: nothing is left to do.
        checkpoint: to go on with; None to start from the beginning.
        environment: what the part's environment.json holds; empty without a part to go on with.
        other: a setting in which the folder's run differs from this one; None without such a run.
    """

    finished: bool
    checkpoint: Path | None
    environment: Mapping[str, Any]
    other: str | None


@contextmanager
def begun(cfg: DictConfig, *, command: str) -> Iterator[tuple[Path, Earlier]]:
    """What every training command does around its work: keeps others out of the run's folder and ends on signals.

    Args:
        cfg: the composed configuration.
        command: name of the one that goes on with a run.

    Returns:
        The run's folder, and what an earlier part of the run has left in it.

    Raises:
        MmadError: another process is at the same run.
    """
    from lightning.pytorch.utilities import rank_zero_only

    from mmad.lit.signals import ended_by_signals

    folder = output_dir()
    first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
    goes_on = f"{command} ckpt={shown(folder)} goes on if an epoch was finished"
    with alone_in(folder) if first else nullcontext(), ended_by_signals(goes_on):
        earlier = earlier_part(cfg, folder)
        if first and cfg.ckpt is None and earlier.checkpoint is not None:
            print(f"{shown(folder)} holds an unfinished part of this run, which goes on")
        if first and earlier.other is not None:
            print(f"{shown(folder)} holds another run ({earlier.other}), whose files get a number")
        yield folder, earlier


def done_before(folder: Path) -> float | None:
    """Says that a run with the same settings is finished; returns its best AVG on `val`, in percent."""
    print(f"{shown(folder)} holds this run, finished; with another hydra.run.dir=... it is done anew")
    return json.loads((folder / COSTS).read_text())["best"]


def earlier_part(cfg: DictConfig, folder: Path) -> Earlier:
    """Looks for an earlier part of a run with the same settings in its folder.

    Args:
        cfg: the composed configuration; its `ckpt` wins over what the folder holds.
        folder: of the run.
    """
    environment = _environment(folder)
    if cfg.ckpt is not None:
        own = Path(cfg.ckpt).resolve().is_relative_to(folder.resolve())
        return Earlier(False, Path(cfg.ckpt), environment if own else {}, None)
    if (told := os.environ.get(_TOLD)) is not None:
        return Earlier(False, Path(told) if told else None, environment if told else {}, None)
    other = _other(cfg, folder / "config.yaml")
    same = other == ""
    finished = same and (folder / COSTS).is_file()
    last = folder / "checkpoints" / "last.ckpt"
    checkpoint = last if same and not finished and last.is_file() else None
    os.environ[_TOLD] = str(checkpoint or "")
    return Earlier(finished, checkpoint, environment if checkpoint else {}, other or None)


def _environment(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        told = json.loads((folder / "environment.json").read_text())
        return told if isinstance(told, dict) else {}
    return {}


def _other(cfg: DictConfig, written: Path) -> str | None:
    """A setting that the run which wrote the file has otherwise; empty if there is none, None without a file."""
    if not written.is_file():
        return None
    before, now = (dict(flat(plain(each))) for each in (OmegaConf.load(written), cfg))  # type: ignore[arg-type]
    for name in dict.fromkeys((*now, *before)):
        differs = now.get(name) != before.get(name)
        if differs and not any(name == each or name.startswith(f"{each}.") for each in _INDIFFERENT):
            return f"{name}={before.get(name)}, not {now.get(name)}"
    return ""


def set_aside(folder: Path, *, anew: bool) -> None:
    """Renames what an earlier part of a run wrote and a later one writes anew: metrics.csv to metrics.1.csv, ...

    Args:
        folder: the run's folder.
        anew: whether the run starts from the beginning, so that checkpoints are none of its own.
    """
    for path in (folder / name for name in (*_RESULTS, *(["checkpoints"] if anew else []))):
        if path.exists():
            path.rename(numbered(path))
