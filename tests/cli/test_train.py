"""Whole runs on drawn clips: what they leave behind, and what a resumed one repeats."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from commands import Command
from mmad.lit.module import DetectionModule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

RUN = Path("run")
LIGHT = ["report.draws=20", "report.figures=[]"]


def _interrupt_second_epoch(module: DetectionModule) -> None:
    if module.current_epoch == 1:
        raise KeyboardInterrupt


@pytest.fixture
def checkpoint(command: Command, trained: Path) -> dict:
    """What a run saved, which lies where the command is run."""
    shutil.copytree(trained, RUN)
    return torch.load(RUN / "checkpoints" / "best.ckpt", weights_only=True)


def test_a_run_leaves_its_results(command: Command, small: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mmad-train", *small, f"hydra.run.dir={RUN}") == 0
    told = capsys.readouterr().out
    for name in (
        "metrics.json",
        "diagnosis.json",
        "report.html",
        "tables/tables.md",
        "tables/classes.csv",
        "tables/classes.tex",
        "metrics.csv",
        "predictions.json",
        "timeline.png",
        "config.yaml",
        "environment.json",
    ):
        assert (RUN / name).stat().st_size > 0, name
    metrics = json.loads((RUN / "metrics.json").read_text())
    assert list(metrics["action"]["map"]) == [f"0.{tenth}" for tenth in range(1, 10)]
    assert metrics["avg"] == pytest.approx((metrics["action"]["avg"] + metrics["body"]["avg"]) / 2)
    assert f"{metrics['avg']:.2f}" in told
    assert f"Next: open {RUN}/report.html, or mmad-predict checkpoint={RUN}/checkpoints/best.ckpt videos=FOLDER" in told
    assert (Path(RUN) / "checkpoints" / "best.md").is_file()
    rows = list(csv.DictReader((RUN / "metrics.csv").read_text().splitlines()))
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_clips_that_are_not_there_yet_are_drawn_first(command: Command, small: list[str]) -> None:
    """What a first run on a fresh machine does."""
    drawing = [f"data.make.splits.{split}.clips=2" for split in ("train", "val", "test")]
    same = [argument for argument in small if not argument.startswith("data.")]
    arguments = [*same, *drawing, "data.root=fresh/demo", "data.batch_size=2", "trainer.max_epochs=1"]
    assert command("mmad-train", *arguments, f"hydra.run.dir={RUN}") == 0
    assert len(list(Path("fresh/demo/train").glob("*.mp4"))) == 2
    assert (RUN / "report.html").exists()


def test_a_protocol_without_a_mean_does_not_stop_training(
    command: Command, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """PointTAD's refuses classes that are predicted without ground truth: the report says so, predictions stay."""
    few = ["trainer.max_epochs=1", f"hydra.run.dir={RUN}"]
    assert command("mmad-train", *small, *few, "protocol=pointtad") == 2
    assert "has predictions but no ground truth" in capsys.readouterr().err
    assert (RUN / "checkpoints" / "best.ckpt").exists()
    assert (RUN / "predictions.json").exists()


def test_a_checkpoint_holds_what_was_trained_and_names_the_rest(checkpoint: dict) -> None:
    names = set(checkpoint["state_dict"])
    assert not [n for n in names if n.startswith(("detector.backbone.blocks", "detector.backbone.patch_embed"))]
    assert "detector.backbone.adapters.0.up_proj.weight" in names
    assert "detector.backbone.pool.weight" in names
    assert len(checkpoint["mmad"]["identity"]) == 64
    assert checkpoint["mmad"]["taxonomy"]["codes"][8] == "B3"
    moments = checkpoint["optimizer_states"][0]["state"]
    trained = {n for n in checkpoint["raw_weights"]}
    assert len(moments) == len(trained)


def test_a_checkpoint_without_a_file_of_weights_holds_them_itself(
    command: Command, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [a for a in small if not a.startswith("backbone.weights")]
    assert (
        command("mmad-train", *arguments, "backbone.weights=null", "trainer.max_epochs=1", f"hydra.run.dir={RUN}") == 0
    )
    assert "backbone.weights is not set, so the frozen backbone is random" in capsys.readouterr().err
    saved = torch.load(RUN / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["mmad"]["identity"] is None
    assert command("mmad-eval", f"checkpoint={RUN}/checkpoints/best.ckpt", "weights=typo.pth") == 2
    assert "weights=typo.pth: this checkpoint holds all of its weights itself" in capsys.readouterr().err
    assert "detector.backbone.blocks.0.attn.qkv.weight" in saved["state_dict"]
    assert command("mmad-eval", f"checkpoint={RUN}/checkpoints/best.ckpt", "output=again", *LIGHT) == 0
    assert json.loads(Path("again/metrics.json").read_text()) == json.loads((RUN / "metrics.json").read_text())


def test_evaluation_repeats_the_table_of_training(checkpoint: dict, command: Command, drawn: Path) -> None:
    trained = json.loads((RUN / "metrics.json").read_text())
    assert command("mmad-eval", f"checkpoint={RUN}/checkpoints/best.ckpt", "output=model", "batch_size=3", *LIGHT) == 0
    assert (
        command(
            "mmad-eval",
            f"predictions={RUN}/predictions.json",
            f"annotations={drawn}/annotations/test.csv",
            "output=file",
            "report.draws=20",
            "report.figures=[]",
        )
        == 0
    )
    assert json.loads(Path("file/metrics.json").read_text()) == trained
    assert json.loads(Path("file/diagnosis.json").read_text()) == json.loads((RUN / "diagnosis.json").read_text())
    again = json.loads(Path("model/metrics.json").read_text())
    assert again["avg"] == pytest.approx(trained["avg"], abs=0.2)  # other batches: rounding may swap near ties


@pytest.mark.parametrize(
    "changes",
    [
        ["trainer.accumulate_grad_batches=2", "data.batch_size=4"],
        pytest.param(["data.workers=1"], marks=pytest.mark.slow),
        pytest.param([], marks=pytest.mark.slow),
    ],
    ids=["accumulation", "workers", "plain"],
)
def test_a_resumed_run_repeats_an_unbroken_one(
    command: Command, small: list[str], monkeypatch: pytest.MonkeyPatch, changes: list[str]
) -> None:
    """Two epochs in one go, and one epoch and then another, end in the same weights, raw and averaged."""
    arguments = [*small, *changes]
    assert command("mmad-train", *arguments, "hydra.run.dir=whole") == 0
    with monkeypatch.context() as patch:
        patch.setattr(DetectionModule, "on_train_epoch_start", _interrupt_second_epoch)
        assert command("mmad-train", *arguments, "hydra.run.dir=runs/train/broken") != 0
    assert not Path("runs/train/broken/metrics.json").exists()
    assert command("mmad-train", "ckpt=last") == 0
    whole = torch.load("whole/checkpoints/last.ckpt", weights_only=True)
    broken = torch.load("runs/train/broken/checkpoints/last.ckpt", weights_only=True)
    assert whole["global_step"] == broken["global_step"]
    for part in ("state_dict", "raw_weights"):
        for name, value in whole[part].items():
            torch.testing.assert_close(broken[part][name], value, rtol=0, atol=0, msg=f"{part} {name}")


@pytest.mark.usefixtures("checkpoint")
def test_the_curves_of_a_run_survive_its_continuation(command: Command) -> None:
    before = (RUN / "metrics.csv").read_text()
    assert command("mmad-train", f"ckpt={RUN}", "trainer.max_epochs=3") == 0
    assert (RUN / "metrics.1.csv").read_text() == before
    assert "2" in [row["epoch"] for row in csv.DictReader((RUN / "metrics.csv").read_text().splitlines())]


def test_a_checkpoint_of_another_model_is_refused(
    command: Command, small: list[str], checkpoint: dict, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    capsys.readouterr()
    assert command("mmad-train", f"ckpt={RUN}", "adapter=tia") == 2
    assert "The checkpoint is of another model" in capsys.readouterr().err
    torch.save({"state_dict": {}}, "foreign.ckpt")
    assert command("mmad-eval", "checkpoint=foreign.ckpt") == 2
    assert "was not written by mmad-train" in capsys.readouterr().err
    torch.save(checkpoint | {"mmad": checkpoint["mmad"] | {"resize": "another scaler"}}, "scaled.ckpt")
    assert command("mmad-eval", "checkpoint=scaled.ckpt") == 2
    assert "was trained on pictures scaled by another scaler" in capsys.readouterr().err


def test_a_checkpoint_on_other_weights_is_refused(
    command: Command, checkpoint: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    from mmad.backbones.checkpoints import save_weights
    from mmad.backbones.videomae import VideoMAE

    sizes = {"embed_dim": 96, "depth": 2, "heads": 3, "resolution": (64, 48), "frames_per_step": 2}
    save_weights(VideoMAE(**sizes, position="learned", pooling="grid"), "other.safetensors", {})  # type: ignore[arg-type]
    assert command("mmad-eval", f"checkpoint={RUN}/checkpoints/best.ckpt", "weights=other.safetensors") == 2
    assert "trained on other frozen backbone weights than other.safetensors" in capsys.readouterr().err
    assert command("mmad-eval", f"checkpoint={RUN}/checkpoints/best.ckpt", "weights=gone.safetensors") == 2
    assert "gone.safetensors, which is not there; pass weights=FILE" in capsys.readouterr().err


def test_an_unreadable_video_is_named_before_training(
    command: Command, small: list[str], drawn: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = tmp_path / "damaged"
    (root / "train").mkdir(parents=True)
    for name in ("annotations", "val", "test"):
        (root / name).symlink_to(drawn / name)
    for number, video in enumerate(sorted((drawn / "train").glob("*.mp4"))):
        (root / "train" / video.name).write_bytes(b"damaged" if number in (3, 5) else video.read_bytes())
    arguments = [a for a in small if not a.startswith("data.root")]
    assert command("mmad-train", *arguments, f"data.root={root}") == 2
    told = capsys.readouterr().err
    assert "this video cannot be read" in told
    assert "(2 faults; mmad-data task=check lists all of them)" in told


@pytest.mark.filterwarnings("default:.*placeholder")
def test_a_split_without_ground_truth_is_predicted_but_not_scored(
    command: Command,
    checkpoint: dict,
    drawn: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    small: list[str],
) -> None:
    root = tmp_path / "placeholders"
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val", "test"):
        (root / split).symlink_to(drawn / split)
        (root / "annotations" / f"{split}.csv").write_bytes((drawn / "annotations" / f"{split}.csv").read_bytes())
    header, *rows = (drawn / "annotations" / "test.csv").read_text().splitlines()
    one_each = {row.split(",")[1]: row.split(",") for row in rows}
    cells = [[n, clip, "0", "20", "1", *row[5:]] for n, (clip, row) in enumerate(one_each.items())]
    lines = [header, *(",".join(map(str, row)) for row in cells)]
    (root / "annotations" / "test.csv").write_text("\n".join(lines))
    capsys.readouterr()
    assert command("mmad-eval", f"checkpoint={RUN}/checkpoints/best.ckpt", f"root={root}", "output=blind") == 0
    told = capsys.readouterr()
    assert re.search(r"^warning: .*placeholder", told.err, re.MULTILINE)
    assert "No ground truth, so no Detection-mAP (test, 6 clips)" in told.out
    assert len(json.loads(Path("blind/predictions.json").read_text())["results"]) == 6
    assert not Path("blind/metrics.json").exists()
    arguments = [a for a in small if not a.startswith("data.root")]
    assert command("mmad-train", *arguments, f"data.root={root}") == 2
    assert "split test has no ground truth" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_with_strange_signs_can_be_continued(command: Command, small: list[str]) -> None:
    folder = Path("runs/My (copy), lr=1")
    folder.mkdir(parents=True)
    assert command("mmad-train", *small, f"hydra.run.dir='{folder}'") == 0
    assert command("mmad-train", f"ckpt='{folder}'", "trainer.max_epochs=3") == 0
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
