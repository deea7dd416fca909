"""Commands run in this process, as a console script would run them."""

import os
import sys
from pathlib import Path

import pytest
import torch

from commands import COMMANDS, Command
from mmad.backbones.checkpoints import save_weights
from mmad.backbones.videomae import VideoMAE


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line in an empty folder and gives its exit code."""
    monkeypatch.chdir(tmp_path)
    # Lightning and torch set these for good.
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.delenv(name, raising=False)

    def run(name: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        try:
            COMMANDS[name]()
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            os.environ.pop("PL_GLOBAL_SEED", None)
            os.environ.pop("PL_SEED_WORKERS", None)
        return 0

    return run


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights for vmae_tiny."""
    torch.manual_seed(5)
    model = VideoMAE(
        embed_dim=96,
        depth=2,
        heads=3,
        resolution=(64, 48),
        frames_per_step=2,
        position="learned",
        pooling="grid",
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(model, path, {})
    return path


@pytest.fixture(scope="session")
def small(drawn: Path, tiny_weights: Path) -> list[str]:
    """Arguments of a training run that takes seconds."""
    return [
        f"data.root={drawn}",
        "data.make=null",
        f"backbone.weights={tiny_weights}",
        "head.channels=32",
        "trainer.max_epochs=2",
        "trainer.check_val_every_n_epoch=1",
        "report.figures=[]",
        "report.draws=20",
    ]


@pytest.fixture(scope="session")
def trained(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that took seconds, for those who leave it as it is."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["mmad-train", *small, "hydra.run.dir=run"])
        COMMANDS["mmad-train"]()
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        os.environ.pop(name, None)
    return folder / "run"
