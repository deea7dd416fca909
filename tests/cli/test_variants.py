"""Every adapter, grid, resolution and precision trains a few steps and evaluates."""

import json
from pathlib import Path

import pytest
import torch

from commands import Command

FEW = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "data.batch_size=2", "hydra.run.dir=run"]

VARIANTS = {
    "frozen": ["adapter=frozen"],
    "full": ["adapter=full"],
    "standard": ["adapter=standard"],
    "tia": ["adapter=tia"],
    "spatial kernel of 3": ["adapter.layer.spatial_kernel=3"],
    "without beta": ["adapter.layer.beta=removed"],
    "shared down-projection": ["adapter.layer.down=shared"],
    "grid default": ["grid=default"],
    "grid fast": ["grid=fast"],
    "grid dense": ["grid=dense"],
    "grid legacy": ["grid=legacy"],
    "resolution 112": ["data.resolution=112"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "checkpointing": ["backbone.checkpointing=true"],
    "workers without cache": ["data.workers=1", "data.cache=null"],
    "workers with a cache on disk": ["data.workers=1", "data.cache=frames"],
    "adamw": ["optimizer=adamw"],
    "clips longer than the window": ["grid.window=16"],
    "long seed": ["seed=1234567891"],
    "hard nms": ["nms=hard"],
    "opentad augmentation": ["augment=opentad"],
    "light augmentation": ["augment=light"],
    "still frames": ["data.control=still"],
    "shuffled labels": ["data.control=shuffled"],
    "balanced": ["data.repeat_threshold=0.5", "head.label_smoothing=0.1", "head.class_balance=0.999"],
    "vmae_s, small pictures": ["backbone=vmae_s", "backbone.weights=null"],
}

SLOW = {
    "vmae_s, paper's recipe": [
        "recipe=paper", "backbone=vmae_s", "backbone.weights=null", "data.resolution=160", "head.channels=512"
    ],
    "vmae_s, 224": ["backbone=vmae_s", "backbone.weights=null", "data.resolution=224"],
    "resolution 160": ["data.resolution=160"],
    "resolution 224": ["data.resolution=224"],
}  # fmt: skip


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_variant_trains_and_evaluates(command: Command, small: list[str], changes: list[str]) -> None:
    assert command("mmad-train", *small, *FEW, *changes) == 0
    assert 0 <= json.loads(Path("run/metrics.json").read_text())["avg"] <= 100


@pytest.mark.slow
@pytest.mark.parametrize("changes", SLOW.values(), ids=SLOW)
def test_large_variant_trains_and_evaluates(command: Command, small: list[str], changes: list[str]) -> None:
    assert command("mmad-train", *small, *FEW, "trainer.limit_val_batches=1", *changes) == 0
    assert 0 <= json.loads(Path("run/metrics.json").read_text())["avg"] <= 100


def test_a_sweep_runs_its_choices_side_by_side(command: Command, small: list[str]) -> None:
    few = [argument for argument in FEW if not argument.startswith("hydra")]
    assert command("mmad-train", "-m", *small, *few, "adapter=standard,tia,dsta", "hydra.sweep.dir=sweep") == 0
    names = [set(torch.load(f"sweep/{i}/checkpoints/last.ckpt", weights_only=True)["state_dict"]) for i in range(3)]
    temporal = "detector.backbone.adapters.0.dwconv.weight"
    assert [temporal in found for found in names[:2]] == [False, True]
    assert "detector.backbone.adapters.0.beta" in names[2]


def test_a_failing_job_does_not_end_a_sweep(
    command: Command, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    few = [argument for argument in FEW if not argument.startswith("hydra")]
    sweep = ["data.control=stil,still", "hydra.sweep.dir=sweep"]
    assert command("mmad-train", "-m", *small, *few, *sweep) == 2
    assert "1 of the sweep's jobs failed: job 0" in capsys.readouterr().err
    assert Path("sweep/1/metrics.json").exists()


def test_pretrained_weights_go_into_training(command: Command, drawn: Path, small: list[str]) -> None:
    data = [
        f"data.root={drawn}",
        "data.make=null",
        "trainer.max_epochs=2",
        "trainer.check_val_every_n_epoch=1",
    ]
    assert command("mmad-pretrain", *data, "data.batch_size=8", "hydra.run.dir=past") == 0
    assert command("mmad-pretrain", *data, "backbone.weights=nowhere.pth") == 2  # a file to start from is not ignored
    arguments = [argument for argument in small if not argument.startswith("backbone.weights")]
    assert command("mmad-train", *arguments, *FEW, "backbone.weights=past/weights.safetensors") == 0


def test_wandb_without_an_account_stays_offline(
    command: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs of a sweep are two W&B runs."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    few = [argument for argument in FEW if not argument.startswith("hydra")]
    assert command("mmad-train", "-m", *small, *few, "logger=wandb", "seed=0,1", "hydra.sweep.dir=sweep") == 0
    runs = {path.name for path in Path("sweep").glob("*/wandb/offline-run-*")}
    assert len(runs) == 2
    for job in (0, 1):
        assert Path(f"sweep/{job}/metrics.csv").exists()
