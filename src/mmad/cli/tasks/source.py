"""The data set that the configuration names."""

from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mmad.errors import OnFault, refuse

if TYPE_CHECKING:
    from mmad.data.sources import Source


def source_of(cfg: DictConfig, *, on_fault: OnFault = refuse, leave_out: bool = True) -> "Source":
    """The data set that the configuration names; one that the project draws is drawn."""
    from hydra.utils import instantiate

    root = Path(cfg.data.root).expanduser()
    if cfg.data.make is not None:
        instantiate(cfg.data.make)(root)
    return instantiate(cfg.data.source, _convert_="all")(root, on_fault=on_fault, leave_out=leave_out)


def training_command() -> str:
    """The command that trains on the data set that the configuration names."""
    return "mmad-pretrain" if HydraConfig.get().runtime.choices["objective"] == "recognition" else "mmad-train"
