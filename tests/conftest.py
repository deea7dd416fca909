"""Shared fixtures: a small drawn data set, video files whose frames carry their number, and a browser."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MMAD_STAMP", "test")
os.environ.setdefault("MMAD_CACHE", "unused")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest
import torch

from mmad.demo.clips import SplitPlan, generate_demo
from numbered import write_numbered

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set: 16 train, 6 val and 6 test clips."""
    root = tmp_path_factory.mktemp("data") / "drawn"
    splits = {
        "train": SplitPlan(16, range(1, 7)),
        "val": SplitPlan(6, range(7, 9)),
        "test": SplitPlan(6, range(9, 11)),
    }
    return generate_demo(root, splits=splits, seed=3, processes=2, progress=False)


@pytest.fixture(scope="session")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn trimmed clips in MA-52's layout: 16 train and 6 val."""
    root = tmp_path_factory.mktemp("data") / "trimmed"
    splits = {"train": SplitPlan(16, range(1, 7)), "val": SplitPlan(6, range(7, 9))}
    return generate_demo(root, splits=splits, seed=3, trimmed=True, processes=1, progress=False)


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an H.264 file each of whose frames shows its number as ten black or white bars."""
    folder = tmp_path_factory.mktemp("numbered")

    def write(
        *,
        frames: int = 60,
        fps: int = 30,
        width: int = 160,
        height: int = 120,
        ticks: list[int] | None = None,
    ) -> Path:
        times = f"{hash(tuple(ticks)):x}" if ticks else "even"
        path = folder / f"{frames}_{fps}_{width}_{height}_{times}.mp4"
        if path.exists():
            return path
        return write_numbered(
            path,
            frames=frames,
            fps=fps,
            width=width,
            height=height,
            options={"crf": "12", "g": "250"},
            ticks=ticks or [round(number * 1000 / fps) for number in range(frames)],
        )

    return write


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for the tests that read a page as its reader does."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on PATH")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()
