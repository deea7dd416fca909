"""What a result was made with."""

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


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
    return found


def _git(*arguments: str) -> str:
    """What git says in our own checkout; an installed package may lie inside somebody else's."""
    package = Path(__file__).parents[1]
    if not (package.parents[1] / ".git").exists():
        return "unknown"
    told = subprocess.run(["git", *arguments], cwd=package, capture_output=True, text=True, timeout=10, check=True)
    return told.stdout.strip()
