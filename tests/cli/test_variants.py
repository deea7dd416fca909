"""Every adapter, grid, resolution and precision trains a few steps and evaluates."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from lightning.pytorch.loggers import WandbLogger

from commands import Command

FEW = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "data.batch_size=2", "hydra.run.dir=run"]

VARIANTS = {
    "frozen": ["adapter=frozen"],
    "tia": ["adapter=tia"],
    "bf16": ["trainer.precision=bf16-mixed"],
    "workers without cache": ["data.workers=1", "data.cache=null"],
    "clips longer than the window": ["grid.window=16"],
    "still frames": ["data.control=still"],
    "balanced": ["data.repeat_threshold=0.5", "head.label_smoothing=0.1", "head.class_balance=0.999"],
}

SLOW = {
    "full": ["adapter=full"],
    "grid default": ["grid=default"],
    "checkpointing": ["backbone.checkpointing=true"],
    "adamw": ["optimizer=adamw"],
    "standard": ["adapter=standard"],
    "spatial kernel of 3": ["adapter.layer.spatial_kernel=3"],
    "without beta": ["adapter.layer.beta=removed"],
    "shared down-projection": ["adapter.layer.down=shared"],
    "grid fast": ["grid=fast"],
    "grid dense": ["grid=dense"],
    "grid legacy": ["grid=legacy"],
    "resolution 112": ["data.resolution=112"],
    "workers with a cache on disk": ["data.workers=1", "data.cache=frames"],
    "long seed": ["seed=1234567891"],
    "hard nms": ["nms=hard"],
    "opentad augmentation": ["augment=opentad"],
    "light augmentation": ["augment=light"],
    "shuffled labels": ["data.control=shuffled"],
    "vmae_s, small pictures": ["backbone=vmae_s", "backbone.weights=null"],
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
    jobs = [next(Path("sweep").glob(f"adapter={adapter},with-*")) for adapter in ("standard", "tia", "dsta")]
    names = [set(torch.load(job / "checkpoints/last.ckpt", weights_only=True)["state_dict"]) for job in jobs]
    temporal = "detector.backbone.adapters.0.dwconv.weight"
    assert [temporal in found for found in names[:2]] == [False, True]
    assert "detector.backbone.adapters.0.beta" in names[2]


def test_a_failing_job_does_not_end_a_sweep(
    command: Command, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    few = [argument for argument in FEW if not argument.startswith("hydra")]
    sweep = ["data.control=stil,still", "hydra.sweep.dir=sweep"]
    assert command("mmad-train", "-m", *small, *few, *sweep) == 2
    told = capsys.readouterr()
    assert "error: 1 of the sweep's 2 jobs failed; the same command takes up only what is not done." in told.err
    bad, good = sorted(Path("sweep").glob("data.control=*"), key=lambda job: (job / "metrics.json").exists())
    assert f"  {bad}   failed: data.control=stil: choose null, still or shuffled.\n" in told.out
    assert f"  {good}  done, AVG " in told.out
    assert (bad / "error.txt").read_text() == "data.control=stil: choose null, still or shuffled.\n"


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


@pytest.mark.slow
def test_wandb_without_an_account_stays_offline(
    command: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs of a sweep are two W&B runs."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    begun, told = [], []
    init, describe = wandb.init, WandbLogger.log_hyperparams

    def noting(**settings: Any) -> wandb.Run:
        begun.append(settings)
        return init(**settings)

    def telling(logger: WandbLogger, settings: dict) -> None:
        told.append(settings)
        describe(logger, settings)

    monkeypatch.setattr(wandb, "init", noting)
    monkeypatch.setattr(WandbLogger, "log_hyperparams", telling)
    few = [argument for argument in FEW if not argument.startswith("hydra")]
    assert command("mmad-train", "-m", *small, *few, "logger=wandb", "seed=0,1", "hydra.sweep.dir=sweep") == 0
    assert len({path.name for path in Path("sweep").glob("*/wandb/offline-run-*")}) == 2
    jobs = sorted(path.name for path in Path("sweep").iterdir() if path.is_dir())
    assert [job.partition(",")[0] for job in jobs] == ["seed=0", "seed=1"]
    assert [len(list(Path("sweep").glob(f"{job}/wandb/offline-run-*"))) for job in jobs] == [1, 1]
    assert [call["group"] for call in begun] == ["sweep", "sweep"]
    assert [call["name"] for call in begun] == jobs
    assert [call["job_type"] for call in begun] == ["train", "train"]
    assert [flat["adapter.layer.temporal_kernel"] for flat in told] == [3, 3]
    assert [flat["seed"] for flat in told] == [0, 1]


@pytest.mark.slow
def test_wandb_that_cannot_be_reached_stops_nothing(
    command: Command, small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    def unreachable(**_: Any) -> bool:
        raise wandb.errors.CommError("Nobody answers.\nMore about it.")

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(wandb, "login", unreachable)
    assert command("mmad-train", *small, *FEW, "logger=wandb") == 0
    told = capsys.readouterr().out
    assert "wandb: Nobody answers, so the run is kept offline; later: wandb sync" in told
    assert len(list(Path("run/wandb").glob("offline-run-*"))) == 1


def test_all_loggers_tell_the_same(command: Command, small: list[str]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert command("mmad-train", *small, *FEW, "logger=tensorboard") == 0
    events = EventAccumulator("run").Reload()
    rows = list(csv.DictReader(Path("run/metrics.csv").read_text().splitlines()))
    names = events.Tags()["scalars"]
    assert set(names) == {*rows[0]} - {"step"}
    for name in names:
        ours = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        theirs = [(event.step, event.value) for event in events.Scalars(name)]
        assert sorted({*theirs}) == [(step, pytest.approx(value, rel=1e-6)) for step, value in sorted({*ours})], name
