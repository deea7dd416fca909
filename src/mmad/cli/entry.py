"""What every command does before and around its work: finding `conf/`, checking the arguments, one-sentence errors.

Nothing here imports torch, so that `--help` and a mistyped option answer at once.
"""

import difflib
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from platformdirs import user_cache_dir

from mmad.errors import MmadError

Task = Callable[[DictConfig], None]


def conf_dir() -> Path:
    """The folder of configuration files: inside the installed package, else beside the sources."""
    package = Path(__file__).parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parents[1] / "conf"


def prepare_environment() -> None:
    """Sets what the configuration reads: a stamp that all ranks of a run share, and the cache folder."""
    stamp = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"
    os.environ.setdefault("MMAD_STAMP", stamp)
    os.environ.setdefault("MMAD_CACHE", user_cache_dir("mmad"))


def run(task: Task, *, config: str) -> None:
    """Runs a command: checks its arguments, composes its configuration and calls the task once per job.

    Args:
        task: the work, given the composed configuration.
        config: name of the command's file in `conf/`.

    Raises:
        SystemExit: with code 2 after one sentence on standard error, for whatever a user can mend.
    """
    prepare_environment()
    arguments = sys.argv[1:]
    debug = any(argument.lower() == "debug=true" for argument in arguments)
    # These only print, and Hydra says itself what is wrong with them.
    prints = {"--help", "-h", "--hydra-help", "--version", "--info", "-i", "--shell-completion", "-sc"}

    def guarded(cfg: DictConfig) -> None:
        try:
            task(cfg)
        except Exception as error:
            message = _message(error)
            if debug or message is None:
                raise
            stop(message)

    try:
        if not prints & set(arguments):
            check_arguments(arguments, config=config)
    except MmadError as error:
        if debug:
            raise
        stop(str(error))
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config)(guarded)()


def stop(message: str) -> NoReturn:
    """Ends the command with one sentence on standard error and exit code 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def _message(error: BaseException) -> str | None:
    """The sentence to show for an error that a user can mend, else None."""
    cause: BaseException = error
    while not isinstance(cause, MmadError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, MmadError):
        # An error in a data loader's worker arrives with its traceback as text.
        return str(cause).rpartition("MmadError: ")[2].strip()
    if isinstance(error, InstantiationException):
        return f"The configuration does not build: {cause} ({str(error).splitlines()[-1].strip()})."
    if isinstance(error, OmegaConfBaseException):
        return f"The configuration has a fault: {str(error).splitlines()[0]}."
    return None


def check_arguments(arguments: Sequence[str], *, config: str) -> None:
    """Composes the configuration once, so that a mistake is told before anything starts.

    Args:
        arguments: the command line without the program's name; sweeps are checked choice by choice.
        config: name of the command's file in `conf/`.

    Raises:
        MmadError: an argument cannot be read, or an option, a choice or a required value is wrong or absent.
    """
    overrides = [_parse(argument) for argument in arguments if not argument.startswith("-")]
    overrides = [o for o in overrides if not o.key_or_group.startswith("hydra")]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        groups = loader.list_groups("")
        chosen: list[str] = []
        settings: list[Override] = []
        for override in overrides:
            name = override.key_or_group
            if name in groups:
                for choice in _choices(override):
                    if choice != "null":
                        _known(choice, loader.get_group_options(name), what=f"{name}=")
                chosen.append(f"{_prefix(override)}{name}={_choices(override)[0]}")
            else:
                settings.append(override)
        try:
            cfg = compose(config, overrides=chosen)
        except HydraException as error:
            raise MmadError(_innermost(error)) from error
        names = [*groups, *(name for name, _ in _walk(cfg))]
        for override in settings:
            if not override.is_add() and not override.is_force_add():
                _known(override.key_or_group, names, what="option ")
        try:
            cfg = compose(
                config,
                overrides=chosen + [f"{_prefix(o)}{o.key_or_group}={_choices(o)[0]}" for o in settings],
            )
        except HydraException as error:
            raise MmadError(_innermost(error)) from error
    if missing := [name for name, missing in _walk(cfg) if missing]:
        raise MmadError(f"This needs a value for {', '.join(missing)}: add {' '.join(f'{m}=...' for m in missing)}.")


def _parse(argument: str) -> Override:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException as error:
        raise MmadError(
            f"Cannot read the argument {argument!r}: options are written name=value, lists name=[a,b], values with "
            f"spaces or other signs in quotes, 'name=\"a b\"'."
        ) from error


def _choices(override: Override) -> list[str]:
    if override.is_sweep_override() and not override.is_discrete_sweep():
        return [str(override.get_value_element_as_str())]
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]


def _prefix(override: Override) -> str:
    if override.is_force_add():
        return "++"
    return "+" if override.is_add() else "~" if override.is_delete() else ""


def _known(word: str, known: Sequence[str], *, what: str) -> None:
    if word in known:
        return
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    if not nearest and "." in word:
        nearest = difflib.get_close_matches(word.rpartition(".")[2], known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]}?" if nearest else "--help lists what there is."
    listing = f" There are {', '.join(known)};" if what.endswith("=") else ""
    raise MmadError(f"Unknown {what}{word}:{listing} {hint}")


def _walk(cfg: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Every dotted name in a configuration and whether its value is missing; interpolations stay unresolved."""
    for key in map(str, cfg):
        name = f"{prefix}{key}"
        missing = OmegaConf.is_missing(cfg, key)
        yield name, missing
        if not missing and not OmegaConf.is_interpolation(cfg, key) and isinstance(cfg[key], DictConfig):
            yield from _walk(cfg[key], f"{name}.")


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def output_dir() -> Path:
    """The folder of the running job."""
    return Path(HydraConfig.get().runtime.output_dir)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain data, every interpolation resolved."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
