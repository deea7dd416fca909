"""What a result was made with."""

import os
import platform
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mmad.formats.whole_file import digest

_CHECKOUT = Path(__file__).parents[3]
"""Where the sources lie, if they are a checkout."""


@cache
def versions() -> dict[str, str]:
    """Versions of what shapes a result, and the revision of the sources where they are a git checkout."""
    found = {"python": sys.version.split()[0], "platform": platform.platform()}
    for package in ("mmad", "torch", "torchvision", "timm", "lightning", "decord", "av", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    try:
        found["revision"] = _git("describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.SubprocessError):
        found["revision"] = "unknown"
    lock = _CHECKOUT / "requirements.lock"
    found["lock"] = digest(lock) if lock.is_file() else "unknown"
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, memory in bytes and GPUs of this machine."""
    import torch

    processor = platform.processor()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    memory = None
    with suppress(OSError, ValueError, AttributeError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"processor": processor or "unknown", "cores": os.cpu_count(), "memory": memory, "gpus": gpus}


def _git(*arguments: str) -> str:
    """What git says in our own checkout; an installed package may lie inside somebody else's."""
    if not (_CHECKOUT / ".git").exists():
        return "unknown"
    told = subprocess.run(["git", *arguments], cwd=_CHECKOUT, capture_output=True, text=True, timeout=10, check=True)
    return told.stdout.strip()
