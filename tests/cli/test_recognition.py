"""Recognition of trimmed clips from the command line: the data, a run and what it leaves, and what comes after it."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from commands import Command
from mmad.data.sources import MA52Source
from mmad.taxonomy import MMA52
from test_conf import composed

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

TINY = ["backbone=vmae_tiny", "data.resolution=[64,48]", "data.workers=0", "data.batch_size=8"]


@pytest.fixture
def ma52(trimmed: Path) -> list[str]:
    """Arguments of a run of one epoch on clips that lie like the real ones."""
    return ["data=ma52", f"data.root={trimmed}", *TINY, "trainer.max_epochs=1"]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_run_says_what_each_clip_was_taken_for(
    command: Command, trimmed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Epochs without validation at the end, and another split to evaluate, change nothing: it is val and the end."""
    arguments = ["data=demo_trimmed", f"data.root={trimmed}", "data.make=null", "data.batch_size=8"]
    few = ["trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2", "data.evaluate_split=train"]
    assert command("mmad-pretrain", *arguments, *few, "hydra.run.dir=past") == 0
    told = capsys.readouterr().out
    for name in ("weights.safetensors", "metrics.csv", "metrics.json", "predictions.csv"):
        assert f"  past/{name}" in told
    clips = MA52Source(trimmed).clips("val")
    found = table(Path("past/predictions.csv"))
    assert [row["id"] for row in found] == [clip.path.name for clip in clips]
    actions = [int(row["pred_label_2"]) for row in found]
    assert [int(row["pred_label_1"]) for row in found] == [MMA52.body_of[action] for action in actions]
    measures = json.loads(Path("past/metrics.json").read_text())
    right = [clip.instances[0].label == action for clip, action in zip(clips, actions, strict=True)]
    assert (measures["split"], measures["clips"]) == ("val", 6)
    assert measures["action_top1"] == pytest.approx(100 * sum(right) / 6, abs=0.01)
    assert re.search(rf"\| action +\| +{measures['action_top1']:.2f} \| +{measures['action_top5']:.2f} \|", told)
    assert f"F1_mean {measures['f1_mean']:.2f} % (val, 6 clips)" in told
    told_last = [float(row["val/f1_mean"]) for row in table(Path("past/metrics.csv")) if row["val/f1_mean"]]
    assert len(told_last) == 2
    assert told_last[-1] == pytest.approx(measures["f1_mean"], abs=1e-3)
    with safe_open("past/weights.safetensors", framework="pt") as file:
        assert file.metadata()["objective"] == "mmad.lit.recognition.RecognitionModule"
        kept = json.loads(file.metadata()["metrics"])
        assert kept["val/f1_mean"] == measures["f1_mean"]
        assert kept["train/loss"] > 0


@pytest.mark.slow
def test_masked_autoencoding_then_recognition_then_detection(
    command: Command, ma52: list[str], small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mmad-pretrain", *ma52, "objective=mae", "hydra.run.dir=rebuilt") == 0
    capsys.readouterr()
    assert command("mmad-pretrain", *ma52, "backbone.weights=rebuilt/weights.safetensors", "hydra.run.dir=known") == 0
    told = capsys.readouterr().out
    assert "rebuilt/weights.safetensors (mmad layout" in told
    assert "Next: mmad-train backbone.weights=known/weights.safetensors" in told
    arguments = [argument for argument in small if not argument.startswith("backbone.weights")]
    few = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "hydra.run.dir=run"]
    assert command("mmad-train", *arguments, *few, "adapter=dsta", "backbone.weights=known/weights.safetensors") == 0
    assert "known/weights.safetensors (mmad layout" in capsys.readouterr().out
    weights = []
    for name in ("rebuilt", "known"):
        with safe_open(f"{name}/weights.safetensors", framework="pt") as file:
            weights.append(file.get_tensor("blocks.0.attn.qkv.weight").float())
    assert 0 < (weights[0] - weights[1]).abs().max() < 0.1  # trained on, not begun anew


def test_the_frame_wise_objective_takes_trimmed_clips_too(
    command: Command, ma52: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mmad-pretrain", *ma52, "objective=framewise", "hydra.run.dir=past") == 0
    state = torch.load("past/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert {name for name in state if not name.startswith("backbone.")} == {"classifier.weight", "classifier.bias"}
    assert "val/frame_map" in Path("past/metrics.csv").read_text()
    # Its runs were of `recognition` once.
    capsys.readouterr()
    assert command("mmad-pretrain", "ckpt=past", "objective=recognition") == 2
    assert "use the objective (framewise), backbone" in capsys.readouterr().err


def test_clips_of_several_instances_are_refused_at_once(
    command: Command, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("mmad-pretrain", "objective=recognition", f"data.root={drawn}", "data.make=null") == 2
    assert re.search(r"22 of 22 clips have not one instance, '\w+' has \d, but", capsys.readouterr().err)
    # Drawn ones need not be drawn for that.
    assert command("mmad-pretrain", "objective=recognition", "data.root=nowhere") == 2
    assert "these are drawn with more; objective=framewise takes" in capsys.readouterr().err
    assert not Path("nowhere").exists()


def test_trimmed_clips_are_checked_and_converted(command: Command, trimmed: Path) -> None:
    data = ["data=ma52", f"data.root={trimmed}"]
    assert command("mmad-data", "task=check", *data, "output=found") == 0
    told = json.loads(Path("found/faults.json").read_text())
    assert (told["clips"], told["errors"]) == (22, 0)
    assert {fault["kind"] for fault in told["faults"]} <= {"unused", "untrained_class"}
    assert command("mmad-data", "task=convert", *data, "output=lab", "videos=link") == 0
    rows = table(Path("lab/annotations.csv"))
    clips = {clip.id: clip for split in ("train", "val") for clip in MA52Source(trimmed).clips(split)}
    assert [row["clip"] for row in rows] == list(clips)
    for row in rows:
        clip = clips[row["clip"]]
        assert row["label"] == MMA52.actions[clip.instances[0].label]
        assert (float(row["start"]), float(row["end"])) == (0, pytest.approx(clip.duration, abs=1e-3))
    again = ["data=folder", "data.root=lab", "data.evaluate_split=val", "open_videos=false"]
    assert command("mmad-data", "task=check", *again, "output=again") == 0


def test_real_clips_bring_their_own_recipe() -> None:
    cfg = composed("pretrain", ["data=ma52", "data.root=somewhere"])
    assert cfg["objective"]["_target_"] == "mmad.lit.recognition.RecognitionModule"
    assert cfg["grid"]["window"] * cfg["grid"]["frames_per_step"] == 32
    assert cfg["grid"]["feature_stride"] // cfg["grid"]["frames_per_step"] == 2
    assert cfg["backbone"]["embed_dim"] == 384
    other = composed("pretrain", ["data=ma52", "data.root=somewhere", "objective=mae"])
    assert other["objective"]["_target_"] == "mmad.lit.mae.MaskedAutoencodingModule"
    assert composed("pretrain", [])["objective"]["_target_"] == "mmad.lit.framewise.FramewiseModule"


@pytest.mark.slow
def test_two_processes_count_each_clip_once(trimmed: Path, tmp_path: Path) -> None:
    """Of a model that does not learn, one process and two say the same, though they share out five clips."""
    root = tmp_path / "five"
    (root / "annotations").mkdir(parents=True)
    for split, clips in (("train", 16), ("val", 5)):
        (root / f"videos_{split}").symlink_to(trimmed / f"videos_{split}")
        name = f"annotations/{split}_list_videos.txt"
        (root / name).write_text("".join((trimmed / name).read_text().splitlines(keepends=True)[:clips]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MMAD", "PL_"))}
    still = ["trainer.max_epochs=1", "optimizer.lr=0", "optimizer.vector_lr=0", "trainer.accelerator=cpu"]
    for processes in (1, 2):
        subprocess.run(
            [
                *(Path(sys.executable).parent / "mmad-pretrain", "data=demo_trimmed", f"data.root={root}"),
                *("data.make=null", "data.batch_size=4", *still, f"trainer.devices={processes}"),
                *(f"trainer.strategy={'ddp' if processes == 2 else 'auto'}", f"hydra.run.dir=by{processes}"),
            ],
            cwd=tmp_path,
            env=environment | {"OMP_NUM_THREADS": "1"},
            check=True,
            timeout=300,
        )
    assert json.loads((tmp_path / "by1/metrics.json").read_text())["clips"] == 5
    for name in ("metrics.json", "predictions.csv"):
        assert (tmp_path / "by1" / name).read_text() == (tmp_path / "by2" / name).read_text()
