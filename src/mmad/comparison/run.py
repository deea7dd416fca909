"""A run of `mmad-train`, as its folder tells of it."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from mmad.diagnosis.records import Numbers
from mmad.errors import MmadError

WITHOUT_EFFECT = (
    "seed",
    "data.seed",
    "ckpt",
    "debug",
    "logger",
    "report",
    "diagnosis",
    "effective_batch",
    "data.workers",
    "data.cache",
    "trainer.deterministic",
    "trainer.log_every_n_steps",
    "trainer.enable_model_summary",
)
"""Options in which runs of one setting may differ: the seed, and what changes neither the detector nor its numbers."""


class Parameters(TypedDict):
    """How many numbers a detector has, how many of them train, and how many of these are in its backbone."""

    total: int
    trained: int
    trained_in_backbone: int


class Training(TypedDict):
    """What training.json holds.

    Args:
        epochs, steps: that were trained.
        seconds: in training, validation included.
        seconds_per_epoch: mean.
        peak_memory: bytes; None where nothing tells.
        device: name.
        processes: that trained together.
        parameters: of the detector.
    """

    epochs: int
    steps: int
    seconds: float
    seconds_per_epoch: float
    peak_memory: int | None
    device: str
    processes: int
    parameters: Parameters


@dataclass(frozen=True)
class Run:
    """One run of `mmad-train`.

    Args:
        folder: where it lies.
        seed: of the run; None where its configuration has none.
        config: resolved; a relative folder of data is told from where the run was started.
        composed: the same before it was resolved, so that what follows from another option is seen; that of `config`
            where Hydra has not kept it.
        choices: of each group, such as `{"adapter": "dsta"}`.
        overrides: arguments of the command, by option.
        metrics: what metrics.json holds; None if the run is not finished.
        training: what training.json holds; None without it.
        lacks: why the run is not finished; None if it is.
        written: when metrics.json was, in seconds since 1970; 0 without it.
    """

    folder: Path
    seed: int | None
    config: Mapping[str, Any]
    composed: Mapping[str, Any]
    choices: Mapping[str, str]
    overrides: Mapping[str, str]
    metrics: Numbers | None
    training: Training | None
    lacks: str | None
    written: float

    @property
    def finished(self) -> Numbers:
        """The metrics of a finished run."""
        assert self.metrics is not None, self.folder
        return self.metrics


def find_runs(folder: Path) -> list[Run]:
    """The runs of `mmad-train` in a folder and in all folders below it, in the order of their names.

    Args:
        folder: may be that of a run itself.

    Raises:
        MmadError: it is no folder, or a file of a run in it cannot be read.
    """
    if not folder.is_dir():
        raise MmadError(f"runs={folder} is not a folder; name the one that holds the runs of mmad-train")
    found = []
    for place, below, _ in os.walk(folder):
        run = read_run(Path(place))
        if run is not None:
            found.append(run)
        # What lies in a run's folder belongs to it.
        below[:] = [name for name in below if run is None and not name.startswith(".")]
    return sorted(found, key=lambda run: _natural(run.folder))


def read_run(folder: Path) -> Run | None:
    """Reads a run; None if the folder is not that of a run of `mmad-train`.

    Raises:
        MmadError: a file cannot be read.
    """
    hydra = folder / ".hydra" / "hydra.yaml"
    told = _yaml(hydra).get("hydra", {}) if hydra.is_file() else {}
    if told and told.get("job", {}).get("config_name") != "train":
        return None
    config = _config(folder)
    if config is None or any("_target_" not in _node(config, part) for part in ("head", "data")):
        return None
    runtime = told.get("runtime", {})
    root = Path(str(config["data"].get("root"))).expanduser()
    # An absolute second part replaces the first.
    config["data"]["root"] = os.path.normpath(Path(runtime.get("cwd") or Path.cwd(), root))
    # What the run itself has written goes with its results; Hydra's files are of whatever was started here last.
    environment, arguments = folder / "environment.json", folder / ".hydra" / "overrides.yaml"
    own = _json(environment) if environment.is_file() else {}
    overrides = _overrides(own["overrides"] if "overrides" in own else _load(arguments) if arguments.is_file() else ())
    choices = own.get("choices") or {
        name: str(choice) for name, choice in runtime.get("choices", {}).items() if "/" not in name and choice
    }
    if not choices:
        choices = {name: choice for name, choice in overrides.items() if isinstance(config.get(name), dict)}
    composed = folder / ".hydra" / "config.yaml"
    lacks = _lacks(folder, config)
    metrics, training = folder / "metrics.json", folder / "training.json"
    return Run(
        folder=folder,
        seed=config.get("seed"),
        config=config,
        composed=_yaml(composed) if composed.is_file() else config,
        choices=choices,
        overrides=overrides,
        metrics=None if lacks else _metrics(metrics),
        training=cast(Training, _json(training)) if training.is_file() else None,
        lacks=lacks,
        written=metrics.stat().st_mtime if metrics.is_file() else 0.0,
    )


def _config(folder: Path) -> dict[str, Any] | None:
    """The resolved configuration, or what Hydra has kept of it where the run ended before it wrote that."""
    if (folder / "config.yaml").is_file():
        return _yaml(folder / "config.yaml")
    composed = folder / ".hydra" / "config.yaml"
    if not composed.is_file():
        return None
    config = OmegaConf.create(_yaml(composed))
    for name in ("logger", "report"):
        config.pop(name, None)  # they name folders that only the run itself knows
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        plain = OmegaConf.to_container(config)
    return cast(dict[str, Any], plain)


def _lacks(folder: Path, config: Mapping[str, Any]) -> str | None:
    """Why a run is not finished; None if it is."""
    failure, last = folder / "error.txt", folder / "checkpoints" / "last.ckpt"
    if (folder / "training.json").is_file() and (folder / "metrics.json").is_file():
        return None  # it was finished before whatever failed here since
    if failure.is_file():
        return f"failed: {' '.join(failure.read_text(errors='replace').split()).removesuffix('.')}"
    if (folder / "metrics.json").is_file():
        return None
    if (folder / "training.json").is_file():
        return "trained, but there is no metrics.json: its split has no ground truth"
    if not last.is_file():
        return "no checkpoint yet"
    done, total = _epochs(last), _node(config, "trainer").get("max_epochs")
    if done is None:
        return "its checkpoints/last.ckpt cannot be read"
    if done == total:
        return f"all {total} epochs trained, not evaluated yet"
    return f"stopped after epoch {done} of {total}, or still running"


def _epochs(checkpoint: Path) -> int | None:
    """How many epochs a checkpoint has behind it; None if it cannot be read."""
    import torch  # here, since most reports need none

    try:
        told = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
        begun = any(data.get("batches_done") for name, data in told.items() if name.endswith("DataModule"))
        return int(told["epoch"]) + (not begun)
    except Exception:  # whatever a broken or foreign file brings about
        return None


def _overrides(arguments: Iterable[Any]) -> dict[str, str]:
    """Arguments by option, without the signs that add and delete."""
    parts = (str(argument).lstrip("+~").partition("=") for argument in arguments)
    return {name: value for name, _, value in parts if not name.startswith("hydra")}


def _metrics(path: Path) -> Numbers:
    metrics = _json(path)
    if not {"action", "body", "avg", "protocol", "clips", "instances"} <= metrics.keys():
        raise MmadError(f"{path} is not what an evaluation writes; evaluate the run's checkpoint anew with mmad-eval")
    return cast(Numbers, metrics)


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text())
        if isinstance(read, dict):
            return read
        why = "it holds no object"
    except (OSError, ValueError) as error:
        why = str(error)
    raise MmadError(f"{path} cannot be read ({why}); train the run anew, or move its folder elsewhere")


def _yaml(path: Path) -> dict[str, Any]:
    config = _load(path)
    if not isinstance(config, DictConfig):
        raise MmadError(f"{path} holds no options; train the run anew, or move its folder elsewhere")
    return cast(dict[str, Any], OmegaConf.to_container(config))


def _load(path: Path) -> Any:
    try:
        return OmegaConf.load(path)
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        why = str(error).splitlines()[0]
        raise MmadError(f"{path} cannot be read ({why}); train the run anew, or move its folder elsewhere") from error


def _node(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    node = config.get(name)
    return node if isinstance(node, dict) else {}


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts 10 behind 9."""
    parts = re.split(r"(\d+)", str(path))
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
