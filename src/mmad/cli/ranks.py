"""The processes of a job under DDP: how Lightning starts them, and what they must not leave to the next job."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig

from mmad.cli.sweep import FAILURE
from mmad.errors import MmadError, Stopped
from mmad.formats.whole_file import write_whole

_MODULES = {"train": "train", "eval": "evaluate", "pretrain": "pretrain", "extract": "extract", "predict": "predict"}
"""The module of the command with a configuration of this name."""

_LEFT_BEHIND = (
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "PL_GLOBAL_SEED",
    "PL_SEED_WORKERS",
    "WANDB_MODE",
    "MMAD_CKPT",
)


GRACE = 30.0
"""Seconds that a job has to notice by itself that one of its processes has failed."""

_observed: list[tuple[list[subprocess.Popen], threading.Event]] = []
"""The further processes of the running job, and what ends watching over them."""


@contextmanager
def processes_of_a_job() -> Iterator[None]:
    """Ends a job's further processes with it, and gives the next job of a sweep the environment that this one had.

    Lightning leaves the address and rank of a group in the environment, by which the next job's trainer would think
    that somebody else has started its processes.

    Raises:
        MmadError: the job failed because another of its processes did.
    """
    before = {name: os.environ.get(name) for name in _LEFT_BEHIND}
    try:
        yield
    except Exception as error:
        if not isinstance(error, MmadError | Stopped) and (code := _failed(seconds=5.0)):
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            raise MmadError(f"another process of this job {how}{_of_others()}") from error
        raise
    finally:
        broken = sys.exc_info()[0] is not None
        for processes, over in _observed:
            over.set()
            _end(processes, seconds=0.0 if broken else GRACE)
        _observed.clear()
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _failed(*, seconds: float) -> int:
    """The exit code of a further process that has failed, or does so within some seconds; 0 if there is none."""
    end = time.monotonic() + seconds
    while _observed:
        for processes, _ in _observed:
            for process in processes:
                if process.poll():
                    return int(process.returncode)
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return 0


def _of_others() -> str:
    """What another process of the job said went wrong."""
    told = Path(HydraConfig.get().runtime.output_dir) / FAILURE
    return f": {told.read_text().strip()}" if told.is_file() else "; what it said stands above"


def _end(processes: list[subprocess.Popen], *, seconds: float) -> None:
    """Waits for processes to end, and then ends them."""
    end = time.monotonic() + seconds
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(end - time.monotonic(), 0.0))
        process.kill()
        process.wait()


def launch_single_jobs() -> None:
    """Makes Lightning start the other ranks of a job with that job's own settings, and end with it alone.

    By itself it repeats the command line: of a sweep every rank would walk through all jobs, in a folder of its own.
    And where a rank fails it kills the whole command, sweep and all.
    """
    from lightning.fabric.strategies.launchers import subprocess_script as of_fabric
    from lightning.pytorch.strategies.launchers import subprocess_script as of_lightning

    for module in (of_fabric, of_lightning):
        for name, ours in (("_hydra_subprocess_cmd", _command), ("_launch_process_observer", _observe)):
            assert hasattr(module, name), f"{module.__name__} has no {name}; this version of lightning is not known"
            setattr(module, name, ours)


def _observe(processes: list[subprocess.Popen]) -> None:
    """Kills the command if one of the job's processes has failed and the job hangs, waiting for it."""
    over, folder = threading.Event(), Path(HydraConfig.get().runtime.output_dir)
    _observed.append((processes, over))

    def watch() -> None:
        while not over.wait(1.0):
            if any(process.poll() for process in processes):
                if not over.wait(GRACE):
                    # It waits within torch, where no exception reaches it.
                    failure = folder / FAILURE
                    if not failure.exists():
                        write_whole(failure, b"another process of this job failed; what it said stands in its output\n")
                    print(f"error: {folder.name}: {failure.read_text().strip()}", file=sys.stderr, flush=True)
                    for process in processes:
                        process.kill()
                    os.kill(os.getpid(), signal.SIGKILL)
                return

    threading.Thread(target=watch, daemon=True).start()


def end_with(parent: int) -> None:
    """Makes this process end when the one that started it does, whatever it waits for."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def of_all_ranks(faults: dict[str, str]) -> dict[str, str]:
    """What all processes of the running job have found wrong, by name of a clip."""
    import torch

    if not torch.distributed.is_initialized():
        return faults
    shares: list[dict[str, str]] = [{} for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(shares, faults)
    return {clip: fault for share in shares for clip, fault in share.items()}


def _command(local_rank: int) -> tuple[list[str], str]:
    """Command line and working folder of a further rank of the running job."""
    job, folder = HydraConfig.get(), HydraConfig.get().runtime.output_dir
    start = (
        f"import sys; from mmad.cli.ranks import end_with; end_with({os.getpid()}); "
        f"from mmad.cli.{_MODULES[str(job.job.config_name)]} import main; "
        f"sys.argv[0] = {os.path.basename(sys.argv[0])!r}; main()"
    )
    own = [f"hydra.run.dir={quoted(folder)}", f"hydra.job.name=rank{local_rank}", "hydra.output_subdir=null"]
    own.append("hydra.mode=RUN")  # an experiment may ask for a sweep
    told = get_args_parser().parse_args(sys.argv[1:])
    places = {"--config-dir": told.config_dir, "--config-path": told.config_path, "--config-name": told.config_name}
    search = [part for name, value in places.items() if value is not None for part in (name, value)]
    return [sys.executable, "-c", start, *search, *job.overrides.task, *own], job.runtime.cwd


def quoted(path: str) -> str:
    """A path as Hydra's grammar reads it, whatever signs are in it."""
    return "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"


def requeue() -> None:
    """Puts the SLURM job that this process belongs to back into the queue, if it does; the first rank asks."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = os.environ.get("SLURM_JOB_ID") if job is None else f"{job}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    first = os.environ.get("SLURM_PROCID", "0") == os.environ.get("LOCAL_RANK", "0") == "0"
    if job is None or not first:
        return
    try:
        code = subprocess.run(["scontrol", "requeue", job], check=False).returncode
        why = f"it ended with code {code}" if code else ""
    except OSError as error:
        why = str(error)
    if why:
        print(
            f"warning: scontrol could not put job {job} back into the queue ({why}); submit it again", file=sys.stderr
        )
