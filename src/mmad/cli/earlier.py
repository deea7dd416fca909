"""What a run's folder holds of the same run's earlier part: it is finished, it can go on, or it has not begun."""

import os
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmad.cli.entry import plain
from mmad.lit.costs import COSTS

_INDIFFERENT = ("ckpt", "debug", "logger")
"""Settings that may differ between the parts of one run."""

_TOLD = "MMAD_CKPT"
"""Environment variable by which a run's first process tells the others where they all go on."""


@dataclass(frozen=True)
class Earlier:
    """An earlier part of a run.

    Args:
        finished: nothing is left to do.
        checkpoint: to go on with; None to start from the beginning.
    """

    finished: bool
    checkpoint: Path | None


def earlier_part(cfg: DictConfig, folder: Path) -> Earlier:
    """Looks for an earlier part of a run with the same settings in its folder.

    Args:
        cfg: the composed configuration; its `ckpt` wins over what the folder holds.
        folder: of the run.
    """
    if cfg.ckpt is not None:
        return Earlier(False, Path(cfg.ckpt))
    if (told := os.environ.get(_TOLD)) is not None:
        return Earlier(False, Path(told) if told else None)
    same = _same(cfg, folder / "config.yaml")
    last = folder / "checkpoints" / "last.ckpt"
    finished = same and (folder / COSTS).is_file()
    found = Earlier(finished, last if same and not finished and last.is_file() else None)
    os.environ[_TOLD] = str(found.checkpoint or "")
    return found


def _same(cfg: DictConfig, written: Path) -> bool:
    """Whether a run with these settings wrote the file."""
    if not written.is_file():
        return False
    before, now = (
        {name: value for name, value in each.items() if name not in _INDIFFERENT}
        for each in (plain(OmegaConf.load(written)), plain(cfg))  # type: ignore[arg-type]
    )
    return before == now
