"""Whole runs of pre-training on drawn clips: what they leave, what a resumed one repeats, and what is refused."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import lightning as L
import pytest
import torch
from safetensors import safe_open

from commands import Command
from mmad.lit.framewise import FramewiseModule
from mmad.lit.mae import MaskedAutoencodingModule
from mmad.lit.recognition import RecognitionModule
from test_conf import check_signatures, composed

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

FEW = ["trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1", "data.batch_size=8"]
TINY = ["backbone=vmae_tiny", "backbone.weights=null", "data.resolution=[64,48]", "data.workers=0"]


@pytest.fixture
def mae(drawn: Path) -> list[str]:
    """Arguments of a run on the drawn clips that takes seconds."""
    return ["objective=mae", f"data.root={drawn}", "data.make=null", *FEW]


def rows(path: Path, column: str) -> list[float]:
    return [float(row[column]) for row in csv.DictReader(path.read_text().splitlines()) if row[column]]


def test_masked_autoencoding_leaves_weights_that_training_takes_up(
    command: Command, mae: list[str], small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mmad-pretrain", *mae, "hydra.run.dir=past") == 0
    told = capsys.readouterr().out
    for name in ("weights.safetensors", "metrics.csv", "reconstruction.png"):
        assert f"  past/{name}" in told
        assert Path("past", name).stat().st_size > 0
    assert re.search(r"epoch 2/2  train/loss \d\.\d{3}  val/loss \d\.\d{3}", told)
    for column in ("train/loss", "val/loss"):
        losses = rows(Path("past/metrics.csv"), column)
        assert len(losses) == 2
        assert losses[1] < losses[0]
    with safe_open("past/weights.safetensors", framework="pt") as file:
        assert file.metadata()["objective"] == "mmad.lit.mae.MaskedAutoencodingModule"
        assert not [name for name in file.keys() if name.startswith("decoder")]  # noqa: SIM118
        trained = file.get_tensor("blocks.0.attn.qkv.weight")
    arguments = [argument for argument in small if not argument.startswith("backbone.weights")]
    few = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "hydra.run.dir=run"]
    assert command("mmad-train", *arguments, *few, "adapter=full", "backbone.weights=past/weights.safetensors") == 0
    assert "past/weights.safetensors (mmad layout" in capsys.readouterr().out
    assert command("mmad-pretrain", *mae, "backbone.weights=past/weights.safetensors", "hydra.run.dir=again") == 0
    assert re.search(r"past/weights.safetensors \(mmad .*left as initialised: decoder \(", capsys.readouterr().out)
    with safe_open("again/weights.safetensors", framework="pt") as file:
        changed = (file.get_tensor("blocks.0.attn.qkv.weight") - trained).abs().max()
    assert 0 < changed < 0.1


@pytest.mark.parametrize(
    ("module", "objective", "data"),
    [
        (MaskedAutoencodingModule, "mae", "drawn"),
        pytest.param(FramewiseModule, "framewise", "drawn", marks=pytest.mark.slow),
        pytest.param(RecognitionModule, "recognition", "trimmed", marks=pytest.mark.slow),
    ],
    ids=["mae", "framewise", "recognition"],
)
def test_a_resumed_run_repeats_an_unbroken_one(
    command: Command,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: type[L.LightningModule],
    objective: str,
    data: str,
) -> None:
    """Two epochs in one go, and one epoch and then another, end in the same file of weights."""

    def interrupt(self: L.LightningModule) -> None:
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    root = request.getfixturevalue(data)
    arguments = [f"objective={objective}", f"data.root={root}", "data.make=null", *FEW]
    if data == "trimmed":
        # Paths are dropped at random.
        arguments += ["data=demo_trimmed", "backbone.drop_path=0.2"]
    assert command("mmad-pretrain", *arguments, "hydra.run.dir=whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(module, "on_train_epoch_start", interrupt)
        assert command("mmad-pretrain", *arguments, "hydra.run.dir=runs/pretrain/broken") != 0
    assert "mmad-pretrain ckpt=" in capsys.readouterr().out
    assert not Path("runs/pretrain/broken/weights.safetensors").exists()
    assert command("mmad-pretrain", "ckpt=last") == 0
    whole = torch.load("whole/checkpoints/last.ckpt", weights_only=True)
    broken = torch.load("runs/pretrain/broken/checkpoints/last.ckpt", weights_only=True)
    assert whole["global_step"] == broken["global_step"] == 4
    assert whole["state_dict"].keys() == broken["state_dict"].keys()
    for name, value in whole["state_dict"].items():
        torch.testing.assert_close(broken["state_dict"][name], value, rtol=0, atol=0, msg=name)
    assert Path("runs/pretrain/broken/metrics.1.csv").exists()


def test_any_folder_of_videos_will_do(
    command: Command, drawn: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = tmp_path / "videos"
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        for video in sorted((drawn / split).glob("*.mp4"))[:4]:
            shutil.copyfile(video, root / split / video.name)
    few = ["trainer.max_epochs=1", "data.batch_size=4", "hydra.run.dir=past"]
    assert command("mmad-pretrain", "objective=mae", "data=videos", f"data.root={root}", *TINY, *few) == 0
    assert Path("past/reconstruction.png").exists()
    assert len(rows(Path("past/metrics.csv"), "val/loss")) == 1
    # Recognition needs labels; a video that cannot be read is told before anything starts.
    capsys.readouterr()
    assert command("mmad-pretrain", "data=videos", f"data.root={root}", *TINY, *few) == 2
    assert "has no ground truth" in capsys.readouterr().err
    next((root / "train").glob("*.mp4")).write_bytes(b"damaged")
    elsewhere = [*few[:-1], "hydra.run.dir=elsewhere"]
    assert command("mmad-pretrain", "objective=mae", "data=videos", f"data.root={root}", *TINY, *elsewhere) == 2
    assert "this video cannot be read" in capsys.readouterr().err


def test_a_data_set_without_val_is_enough(command: Command, mae: list[str], drawn: Path, tmp_path: Path) -> None:
    root = tmp_path / "train only"
    (root / "annotations").mkdir(parents=True)
    (root / "train").symlink_to(drawn / "train")
    shutil.copyfile(drawn / "annotations" / "train.csv", root / "annotations" / "train.csv")
    arguments = [argument for argument in mae if not argument.startswith("data.root")]
    assert command("mmad-pretrain", *arguments, f"data.root='{root}'", "hydra.run.dir=past") == 0
    assert "val/loss" not in Path("past/metrics.csv").read_text()
    assert Path("past/reconstruction.png").exists()


def test_what_does_not_fit_is_one_sentence(
    command: Command, mae: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (["ckpt=last"], "ckpt=last: no run in runs/pretrain has a last.ckpt yet"),
        (["objective.mask_ratio=0.05"], "objective.mask_ratio=0.05 masks 0 of the 12 patches of a frame"),
        (["adapter=tia"], "use adapter=full"),
    ):
        assert command("mmad-pretrain", *mae, *arguments) == 2
        assert message in capsys.readouterr().err
    assert command("mmad-pretrain", *mae, "trainer.max_epochs=1", "hydra.run.dir=past") == 0
    capsys.readouterr()
    assert command("mmad-pretrain", "ckpt=past", "objective.decoder_depth=1") == 2
    assert "this checkpoint is of another model" in capsys.readouterr().err
    Path("past/checkpoints/last.ckpt").write_bytes(b"damaged")
    assert command("mmad-pretrain", "ckpt=past") == 2
    assert "this is not a checkpoint of mmad-pretrain" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        "objective=mae",
        "objective=mae data=videos data.root=x",
        "data=ma52 data.root=x",
        "data=ma52 data.root=x objective=mae",
        "data=demo_trimmed",
    ],
)
def test_configurations_fit_their_targets(arguments: str) -> None:
    check_signatures(composed("pretrain", arguments.split()))


@pytest.mark.slow
def test_two_processes_share_gradients(mae: list[str], tmp_path: Path) -> None:
    """Neither waits for the other, though the pooling map has no gradient and six val clips are few."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MMAD", "PL_"))}
    two = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "data.batch_size=4"]
    subprocess.run(
        [Path(sys.executable).parent / "mmad-pretrain", *mae, *two, "hydra.run.dir=past"],
        cwd=tmp_path,
        env=environment | {"OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    assert len(rows(tmp_path / "past/metrics.csv", "val/loss")) == 2
    assert torch.load(tmp_path / "past/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.parametrize(
    ("drawn_by_us", "asked", "sent"), [(False, False, False), (False, True, True), (True, False, True)]
)
def test_pictures_of_real_people_go_to_wandb_only_when_asked_for(
    command: Command, mae: list[str], monkeypatch: pytest.MonkeyPatch, drawn_by_us: bool, asked: bool, sent: bool
) -> None:
    import wandb

    logged: dict[str, object] = {}
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(wandb.Run, "log", lambda self, data, *_, **__: logged.update(data))
    monkeypatch.setattr("mmad.demo.clips.generate_demo", lambda root, **_: root)
    arguments = [*mae, "logger=wandb", f"log_pictures={asked}", "trainer.max_epochs=1", "hydra.run.dir=past"]
    if drawn_by_us:
        arguments.remove("data.make=null")
    assert command("mmad-pretrain", *arguments) == 0
    pictures = [name for name, value in logged.items() if isinstance(value, wandb.Image)]
    assert pictures == (["pictures/reconstruction"] if sent else [])
    assert Path("past/reconstruction.png").exists()
    assert wandb.run is None
