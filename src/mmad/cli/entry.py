"""What every command does before and around its work: finding `conf/`, checking the arguments, one-sentence errors.

Nothing here imports torch, so that `--help` and a mistyped option answer at once.
"""

import difflib
import errno
import hashlib
import io
import itertools
import os
import re
import secrets
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from signal import SIGTERM
from typing import Any, NoReturn

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from platformdirs import user_cache_dir

from mmad.cli import sweep
from mmad.cli.ranks import processes_of_a_job, requeue
from mmad.errors import MmadError, Stopped
from mmad.formats.whole_file import write_whole

Task = Callable[[DictConfig], float | None]

_SWEPT = "MMAD_SWEPT"
"""Environment variable with the names that the command line's sweep goes through, for whichever process runs a job."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_COMMANDS = {
    "train": "mmad-train",
    "pretrain": "mmad-pretrain",
    "extract": "mmad-extract",
    "dataset": "mmad-data",
    "eval": "mmad-eval",
    "compare": "mmad-report",
    "predict": "mmad-predict",
    "view": "mmad-view",
    "export": "mmad-export",
}
"""The command of each configuration."""


def conf_dir() -> Path:
    """The folder of configuration files: inside the installed package, else beside the sources."""
    package = Path(__file__).parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parents[1] / "conf"


def prepare_environment() -> None:
    """Sets what the configuration reads: a stamp that all ranks of a run share, and the cache folder."""
    os.environ.setdefault("MMAD_STAMP", _stamp())
    os.environ.setdefault("MMAD_CACHE", user_cache_dir("mmad"))


def _stamp() -> str:
    """Names the run: by time, or where somebody else starts its ranks, or starts it again, by what all of them know."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is not None and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        return f"slurm-{job}_{hashlib.sha256(repr(sys.argv[1:]).encode()).hexdigest()[:6]}"
    if os.environ.get("TORCHELASTIC_RUN_ID", "none") != "none":
        return f"torchrun-{os.environ['TORCHELASTIC_RUN_ID']}"
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{secrets.token_hex(2)}"


def job_name(overrides: Sequence[str], searched: Mapping[str, Any] | None = None) -> str:
    """Names the folder of a sweep's job by its settings, so that the same settings find it again.

    Args:
        overrides: of the job.
        searched: names, as keys, that the sweep goes through, beside those that the command line does.

    Returns:
        What the sweep goes through, and of all else a hash.

    >>> job_name(["experiment=table4", "adapter=dsta", "seed=1"], {"adapter": "standard,dsta", "seed": "0,1"})
    'adapter=dsta,seed=1'
    >>> job_name(["data.root=/data/a", "data.resolution=[64,48]"], {"data.resolution": "[64,48],[96,64]"})
    'data.resolution=64-48,with-f61314'
    """
    swept = {*(searched or ()), *filter(None, os.environ.get(_SWEPT, "").split(","))}
    # Of what the experiment goes through and the command line sets anew, the latter counts.
    overrides = list({override.partition("=")[0]: override for override in overrides}.values())
    parts = sorted(override for override in overrides if override.partition("=")[0].lstrip("+") in swept)
    rest = [each for each in overrides if each not in parts and not each.lstrip("+").startswith("experiment=")]
    names = [_plain_name(part) for part in parts]
    if rest or not names:
        names.append(f"with-{hashlib.sha256(repr(sorted(rest)).encode()).hexdigest()[:6]}")
    name = ",".join(names)
    return name if len(name) <= 150 else f"{name[:130]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _plain_name(override: str) -> str:
    """An override without signs that mean something in paths, told from others that look alike then by a hash."""
    bare = re.sub(r"[\[\]'\" ]", "", override)
    name = re.sub(r"[^\w.=+~-]+", "-", bare)
    altered = name != bare.replace(",", "-") or "-" in bare
    return f"{name}-{hashlib.sha256(override.encode()).hexdigest()[:6]}" if altered else name


def sweep_name() -> str | None:
    """Name of the folder of the running job's sweep; None where it is none's."""
    job = HydraConfig.get()
    return Path(job.sweep.dir).name if job.mode == RunMode.MULTIRUN else None


def of_features(folder: str, what: str) -> Any:
    """What the features in a folder say of themselves; see `mmad.data.feature_set.told_of`."""
    from mmad.data.feature_set import told_of  # with torch, which a mistyped option does not wait for

    return told_of(folder, what)


OmegaConf.register_new_resolver("mmad_features", of_features, replace=True)
OmegaConf.register_new_resolver("mmad_job", job_name, replace=True)
OmegaConf.register_new_resolver("mmad_sweep", sweep_name, replace=True)


def run(task: Task, *, config: str) -> None:
    """Runs a command: checks its arguments, composes its configuration and calls the task once per job.

    What went wrong stays in the folder of a job that fails; it does not keep a sweep's others from running.

    Args:
        task: the work, given the composed configuration; returns what a search makes larger, if there is such a thing.
        config: name of the command's file in `conf/`.

    Raises:
        SystemExit: with code 2 after one sentence on standard error, for whatever a user can mend; with 128 and the
            signal's number after a signal that asked it to stop.
    """
    prepare_environment()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may have signs that the terminal lacks
    debug = any(argument.lower() == "debug=true" for argument in sys.argv[1:])

    def guarded(cfg: DictConfig) -> float | None:
        failure = output_dir() / sweep.FAILURE
        sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
        failure.unlink(missing_ok=True)
        try:
            with processes_of_a_job():
                value = task(cfg)
            sweep.note(output_dir(), sweep.DONE)
            return value
        except Stopped as stopped:
            print(str(stopped), file=sys.stderr)
            if stopped.signal != SIGTERM:
                requeue()
            raise SystemExit(128 + stopped.signal) from None
        except Exception as error:
            message = _message(error)
            told = message or f"{type(error).__name__}: {error}"
            with suppress(MmadError):
                write_whole(failure, f"{told}\n".encode())
            if not sweeping:
                if debug or message is None:
                    raise
                stop(message)
            if debug or message is None:
                traceback.print_exc()
            print(f"error: {output_dir().name}: {told}", file=sys.stderr)
            sweep.note(output_dir(), f"failed: {told}")
            return None  # a search takes this, and no number, for a trial that failed

    try:
        check_arguments(sys.argv[1:], config=config)
    except MmadError as error:
        if debug:
            raise
        stop(str(error))
    with warnings.catch_warnings():
        warnings.showwarning = _say
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config)(guarded)()
    if failed := sweep.conclude():
        stop(failed)


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
    if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
        return f"{cause.filename or 'A file'} cannot be written ({cause.strerror}); make room, or choose another place."
    if isinstance(error, InstantiationException):
        return f"The configuration does not build: {cause} ({str(error).splitlines()[-1].strip()})."
    if isinstance(error, OmegaConfBaseException):
        told = str(error).splitlines()[0]
        _, _, sentence = told.partition("MmadError raised while resolving interpolation: ")
        return sentence or f"The configuration has a fault: {told}."
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
    os.environ[_SWEPT] = ",".join(o.key_or_group for o in overrides if o.is_sweep_override())
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        groups = {name: options for name in loader.list_groups("") if (options := loader.get_group_options(name))}
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
            those = " and ".join(filter(None, (", ".join(takes[:-1]), takes[-1])))
            return f"{_COMMANDS[config]} does not take {override}, which is for {those}."
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
    if isinstance(value, IntervalSweep):
        return [str(value.start)]
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


def shown(path: Path) -> str:
    """A path as short as it can be written from the working folder."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
