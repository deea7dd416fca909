"""What every command does before and around its work: finding `conf/`, checking the arguments, one-sentence errors.

Nothing here imports torch, so that `--help` and a mistyped option answer at once.
"""

import difflib
import itertools
import os
import secrets
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from platformdirs import user_cache_dir

from mmad.errors import MmadError

Task = Callable[[DictConfig], None]

_COMMANDS = {"train": "mmad-train", "pretrain": "mmad-pretrain", "dataset": "mmad-data", "eval": "mmad-eval"}
"""The command of each configuration."""


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

    A job of a sweep that fails does not keep the others from running.

    Args:
        task: the work, given the composed configuration.
        config: name of the command's file in `conf/`.

    Raises:
        SystemExit: with code 2 after one sentence on standard error, for whatever a user can mend.
    """
    prepare_environment()
    debug = any(argument.lower() == "debug=true" for argument in sys.argv[1:])
    failed: list[str] = []

    def guarded(cfg: DictConfig) -> None:
        try:
            task(cfg)
        except Exception as error:
            message = _message(error)
            if debug or message is None:
                raise
            if HydraConfig.get().mode != RunMode.MULTIRUN:
                stop(message)
            failed.append(f"job {HydraConfig.get().job.num} ({HydraConfig.get().job.override_dirname}): {message}")
            print(f"error: {failed[-1]}", file=sys.stderr)

    try:
        check_arguments(sys.argv[1:], config=config)
    except MmadError as error:
        if debug:
            raise
        stop(str(error))
    with warnings.catch_warnings():
        warnings.showwarning = _say
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config)(guarded)()
    if failed:
        stop(f"{len(failed)} of the sweep's jobs failed: {'; '.join(failed)}")


def _say(message: Warning | str, *_: object, **__: object) -> None:
    """Shows a warning as a sentence, without the line of code that gave it."""
    warn([str(message)])


def warn(remarks: Iterable[str]) -> None:
    """Says what a user should know and what stops nothing, on standard error."""
    for remark in remarks:
        print(f"warning: {remark}", file=sys.stderr)


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
    """Composes the configuration, so that a mistake is told before anything starts.

    Args:
        arguments: the command line without the program's name; each combination of a sweep's groups is composed.
        config: name of the command's file in `conf/`.

    Raises:
        MmadError: an argument cannot be read, or an option, a choice or a required value is wrong or absent.
    """
    told = get_args_parser().parse_args(list(arguments))
    only_prints = (told.help, told.hydra_help, told.info, told.cfg, told.shell_completion)
    if any(only_prints) or told.config_dir or told.config_name or told.config_path:
        return  # Hydra says itself what is wrong with these
    overrides = [o for o in map(_parse, told.overrides) if not o.key_or_group.startswith("hydra")]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        groups = {name: loader.get_group_options(name) for name in loader.list_groups("")}
        choices = [o for o in overrides if o.key_or_group in groups]
        settings = [o for o in overrides if o.key_or_group not in groups]
        for override in choices:
            for choice in _values(override, groups[override.key_or_group]):
                _known(choice, groups[override.key_or_group], what=f"{override.key_or_group}=")
        combinations = itertools.product(
            *([f"{_name(o)}={value}" for value in _values(o, groups[o.key_or_group])] for o in choices)
        )
        values = [f"{_name(o)}={_values(o)[0]}" for o in settings]
        for combination in combinations:
            names = [*groups, *(name for name, _ in _walk(_compose(config, combination)))]
            for override in settings:
                if not override.is_add() and not override.is_force_add():
                    _known(override.key_or_group, names, what="option ")
            cfg = _compose(config, [*combination, *values])
            if missing := [name for name, absent in _walk(cfg) if absent]:
                raise MmadError(
                    f"This needs a value for {', '.join(missing)}: add {' '.join(f'{name}=...' for name in missing)}."
                )


def _compose(config: str, overrides: Sequence[str]) -> DictConfig:
    try:
        return compose(config, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        told = " ".join(str(cause).split())
        if "No match in the defaults list" in told:
            told = _of_another(overrides, config) or told
        raise MmadError(told) from error


def _of_another(overrides: Sequence[str], config: str) -> str | None:
    """Says which choice does not belong to a command, and to which it does."""
    for override in overrides:
        takes = [command for name, command in _COMMANDS.items() if _composes(name, override)]
        if takes and _COMMANDS[config] not in takes:
            return f"{_COMMANDS[config]} does not take {override}, which is for {' and '.join(takes)}."
    return None


def _composes(config: str, override: str) -> bool:
    try:
        compose(config, overrides=[override])
    except (HydraException, OmegaConfBaseException, ValueError):
        return False
    return True


def _parse(argument: str) -> Override:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException as error:
        raise MmadError(
            f"Cannot read the argument {argument!r}: options are written name=value, lists name=[a,b], values with "
            f"spaces or other signs in quotes, 'name=\"a b\"'."
        ) from error


def _values(override: Override, options: Sequence[str] = ()) -> list[str]:
    """The values that an override goes through, as text; `options` are what a glob chooses from."""
    value = override.value()
    if isinstance(value, Glob):
        return value.filter(list(options))
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]


def _name(override: Override) -> str:
    sign = "++" if override.is_force_add() else "+" if override.is_add() else "~" if override.is_delete() else ""
    return f"{sign}{override.key_or_group}"


def _known(word: str, known: Sequence[str], *, what: str) -> None:
    if word in known:
        return
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.4)
    if not nearest and "." in word:
        nearest = difflib.get_close_matches(word.rpartition(".")[2], known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]}?" if nearest else "--help lists what there is."
    if what.endswith("="):
        raise MmadError(f"Unknown {what}{word}: there are {', '.join(known)}; {hint}")
    raise MmadError(f"Unknown {what}{word}: {hint} A new key needs a plus: +{word}=...")


def _walk(cfg: DictConfig, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Every dotted name in a configuration and whether its value is missing; interpolations stay unresolved."""
    for key in map(str, cfg):
        name = f"{prefix}{key}"
        missing = OmegaConf.is_missing(cfg, key)
        yield name, missing
        if not missing and not OmegaConf.is_interpolation(cfg, key) and isinstance(cfg[key], DictConfig):
            yield from _walk(cfg[key], f"{name}.")


def output_dir() -> Path:
    """The folder of the running job."""
    return Path(HydraConfig.get().runtime.output_dir)


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as plain data, every interpolation resolved."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
