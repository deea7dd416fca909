"""Whole runs with backbones other than VideoMAE, at tiny sizes."""

import json
from pathlib import Path

import pytest
import torch

from commands import Command
from small_backbones import i3d

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

RUN = Path("run")
SIZES = {
    "slowfast_r50": ["backbone.embed_dim=288", "backbone.depths=[1,1,1,1]"],
    "re2tal_slowfast101": ["backbone.embed_dim=288", "backbone.depths=[2,1,1,1]"],
    "swin_t": ["backbone.embed_dim=32", "backbone.depths=[2,2]", "backbone.heads=[1,2]"],
    "re2tal_swin_t": ["backbone.embed_dim=32", "backbone.depths=[2,2]", "backbone.heads=[1,2]"],
    "i3d_rgb": ["backbone.embed_dim=128", "backbone.width=8"],
    "i3d_pointtad": ["backbone.embed_dim=32", "backbone.width=8", "grid=coarse", "grid.feature_stride=8"],
}


def arguments(drawn: Path, name: str, adapter: str) -> list[str]:
    """Of a short run on few clips."""
    return [
        f"data.root={drawn}",
        "data.make=null",
        f"backbone={name}",
        f"adapter={adapter}",
        "backbone.weights=null",
        *SIZES[name],
        "head.channels=32",
        "data.resolution=[32,24]",
        "grid.window=32",
        "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=1",
        "report.figures=[]",
        "report.draws=0",
        f"hydra.run.dir={RUN}",
    ]


def trains_and_is_read_again(command: Command, drawn: Path, name: str, adapter: str) -> None:
    assert command("mmad-train", *arguments(drawn, name, adapter)) == 0
    assert json.loads((RUN / "training.json").read_text())["epochs"] == 1
    saved = torch.load(RUN / "checkpoints" / "best.ckpt", weights_only=True)
    averaged = [key for key in saved["raw_weights"] if key.startswith("detector.backbone.")]
    pooled = ["detector.backbone.pool"] if name == "i3d_pointtad" else []
    if adapter == "frozen":
        assert {key.rpartition(".Mixed")[0] for key in averaged} == set(pooled)
    else:
        assert averaged
    assert command("mmad-eval", f"checkpoint={RUN}/checkpoints/best.ckpt", "output=again", "report.draws=0") == 0
    assert json.loads(Path("again/metrics.json").read_text()) == json.loads((RUN / "metrics.json").read_text())


def test_a_rewired_network_trains(command: Command, drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["data.resolution=[16,12]", "backbone.depths=[1,1]", "trainer.limit_train_batches=1"]
    assert command("mmad-train", *arguments(drawn, "re2tal_swin_t", "full"), *small) == 0
    assert "backbone.weights is not set, so the backbone starts at random" in capsys.readouterr().err
    assert json.loads((RUN / "training.json").read_text())["parameters"]["trained_in_backbone"] > 0
    assert (RUN / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ["frozen", "full"])
@pytest.mark.parametrize("name", list(SIZES))
def test_every_backbone_trains_frozen_and_in_full(command: Command, drawn: Path, name: str, adapter: str) -> None:
    trains_and_is_read_again(command, drawn, name, adapter)


def test_an_adapter_is_refused_in_one_sentence(
    command: Command, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mmad-train", *arguments(drawn, "slowfast_r50", "dsta")) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith("error: ")
    assert told.endswith("use adapter=frozen, adapter=full, or a vmae backbone.")
    assert not (RUN / "checkpoints").exists()


@pytest.mark.slow
def test_a_frozen_backbone_from_a_file_is_not_stored_again(command: Command, drawn: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(i3d().state_dict(), tmp_path / "rgb.pt")
    given = [a for a in arguments(drawn, "i3d_rgb", "frozen") if not a.startswith("backbone.weights")]
    assert command("mmad-train", *given, f"backbone.weights={tmp_path / 'rgb.pt'}") == 0
    saved = torch.load(RUN / "checkpoints" / "best.ckpt", weights_only=True)
    assert len(saved["mmad"]["identity"]) == 64
    assert "detector.backbone.Mixed_5c.b0.conv3d.weight" not in saved["state_dict"]
    assert command("mmad-eval", f"checkpoint={RUN}/checkpoints/best.ckpt", "output=again", "report.draws=0") == 0
    assert json.loads(Path("again/metrics.json").read_text()) == json.loads((RUN / "metrics.json").read_text())


@pytest.mark.slow
def test_features_of_snippets_are_extracted(command: Command, drawn: Path) -> None:
    given = [f"data.root={drawn}", "data.make=null", "backbone=i3d_rgb", "backbone.weights=null", "output=features"]
    assert command("mmad-extract", *given, *SIZES["i3d_rgb"], "data.resolution=[32,24]") == 0
    assert len(list(Path("features").rglob("*.safetensors")) + list(Path("features").rglob("*.npz"))) >= 28
