"""Two processes on the CPU: every clip counted once, the losses and weights of one process, and sweeps."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

LIGHT = ["report.draws=20", "report.figures=[]"]
COMMANDS = Path(sys.executable).parent


def run(folder: Path, name: str, *arguments: str, code: int = 0, seconds: float = 240) -> str:
    """Runs a command in a folder, as a user's shell would, and gives what it printed."""
    # The device's own environment must not leak into the processes that Lightning starts.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MMAD", "PL_"))}
    done = subprocess.run(
        [COMMANDS / name, *arguments],
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def curves(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))


@pytest.mark.slow
def test_two_processes_do_what_one_does(small: list[str], tmp_path: Path) -> None:
    """Batch 4 on one, batch 2 on two: the same losses, weights and metrics, dropped channels and paths included.

    Each epoch is one step, so that each step's loss is told.
    """
    same = [*small, "trainer.accelerator=cpu", "trainer.max_epochs=5", "trainer.check_val_every_n_epoch=5"]
    same += ["trainer.limit_train_batches=1", "optimizer=adamw", "effective_batch=4"]
    run(tmp_path, "mmad-train", *same, "data.batch_size=4", "hydra.run.dir=one")
    run(tmp_path, "mmad-train", *same, "data.batch_size=2", "trainer=ddp_cpu", "hydra.run.dir=two")
    one, two = (
        [float(row["train/loss"]) for row in curves(tmp_path / name) if row["train/loss"]] for name in ("one", "two")
    )
    assert len(one) == 5
    assert two == pytest.approx(one, rel=1e-5)
    checkpoints = [torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in ("one", "two")]
    for part in ("raw_weights", "state_dict"):
        for name, value in checkpoints[0][part].items():
            torch.testing.assert_close(checkpoints[1][part][name], value, rtol=1e-3, atol=1e-5, msg=f"{part} {name}")
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert second["avg"] == pytest.approx(first["avg"], abs=1e-2)


def losses_and_weights(folder: Path, *arguments: str) -> tuple[list[list[float]], list[dict[str, torch.Tensor]]]:
    """Losses of each step and weights after the last one, of four clips on one process and of two on each of two."""
    same = [*arguments, "trainer.accelerator=cpu", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=3"]
    same += ["trainer.limit_train_batches=1", "optimizer=adamw", "effective_batch=4"]
    run(folder, "mmad-train", *same, "data.batch_size=4", "hydra.run.dir=one")
    run(folder, "mmad-train", *same, "data.batch_size=2", "trainer=ddp_cpu", "hydra.run.dir=two")
    losses = [
        [float(row["train/loss"]) for row in curves(folder / name) if row["train/loss"]] for name in ("one", "two")
    ]
    saved = [torch.load(folder / name / "checkpoints/last.ckpt", weights_only=True) for name in ("one", "two")]
    return losses, [each["raw_weights"] for each in saved]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        # Clips of the drawn set differ in length, so that processes run a backbone on other groups, and other numbers.
        ["backbone=re2tal_swin_t", "adapter=full", "backbone.embed_dim=32", "backbone.heads=[1,2]"],
        ["backbone=slowfast_r50", "adapter=full", "backbone.checkpointing=true"],
        ["head=tadtr", "adapter=frozen", "head.encoder_layers=1", "head.decoder_layers=2"],
    ],
    ids=["re2tal_swin_t", "slowfast_r50", "tadtr"],
)
def test_two_processes_train_other_families_as_one_does(settings: list[str], drawn: Path, tmp_path: Path) -> None:
    """Dropped paths and values, the number of instances, and gradients of a reversible network included."""
    light = [f"data.root={drawn}", "data.make=null", "backbone.weights=null", "data.resolution=[32,24]"]
    light += ["head.channels=32", "report.figures=[]", "report.draws=0"]
    (one, two), (first, second) = losses_and_weights(tmp_path, *light, *settings)
    assert len(one) == 3
    assert two == pytest.approx(one, rel=1e-4)
    assert first.keys() == second.keys()
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_a_sweep_of_distributed_jobs_keeps_one_folder(small: list[str], tmp_path: Path) -> None:
    """The second job gets its own settings on both ranks; started again, nothing is left to do."""
    jobs = ["-m", *small, "trainer=ddp_cpu", "trainer.max_epochs=1", "adapter=standard,tia", "hydra.sweep.dir=sweep"]
    told = run(tmp_path, "mmad-train", *jobs)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
    folders = sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert [name for folder in folders for name in folder.name.split(",") if "adapter=" in name] == [
        "adapter=standard",
        "adapter=tia",
    ]
    for folder, temporal in zip(folders, (False, True), strict=True):
        saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
        assert json.loads((folder / "training.json").read_text())["processes"] == 2
        assert any("dwconv" in name for name in saved["state_dict"]) == temporal
    assert told.count("done, AVG") == 2
    assert run(tmp_path, "mmad-train", *jobs).count("holds this run, finished") == 2


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_job_with_its_error(small: list[str], drawn: Path, tmp_path: Path) -> None:
    """A video that only the second rank reads cannot be decoded."""
    root = tmp_path / "damaged"
    root.mkdir()
    for name in ("annotations", "train", "test"):
        (root / name).symlink_to(drawn / name)
    (root / "val").mkdir()
    damaged = []
    for number, video in enumerate(sorted((drawn / "val").glob("*.mp4"))):
        damaged += [video.name] if number % 2 else []
        content = video.read_bytes()
        # The header stays whole, so that no check before the training finds it.
        (root / "val" / video.name).write_bytes(
            content if number % 2 == 0 else content[:200] + b"0" * 800 + content[1000:]
        )
    arguments = [a for a in small if not a.startswith("data.root")]
    start = time.monotonic()
    told = run(tmp_path, "mmad-train", *arguments, f"data.root={root}", "data.cache=null", "trainer=ddp_cpu", code=2)
    assert any(f"{name}: " in told for name in damaged), told
    assert time.monotonic() - start < 120


DYING = """
import importlib.abc, os, sys

def die(self):
    if self.global_rank == 1 and not any("dwconv" in name for name, _ in self.named_parameters()):
        {how}

class Dying(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "mmad.lit.stopping":
            sys.meta_path.remove(self)
            import mmad.lit.module
            mmad.lit.module.DetectionModule.on_train_epoch_start = die

sys.meta_path.insert(0, Dying())
"""
"""Python runs this at its start: the second rank of a job without temporal convolutions dies in its first epoch."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("os.kill(os.getpid(), 9)", "another process of this job was killed by SIGKILL"),
        ("raise RuntimeError('broken')", "another process of this job ended with code 1: RuntimeError: broken"),
    ],
    ids=["killed", "raised"],
)
def test_a_rank_that_dies_ends_its_job_and_not_the_sweep(
    small: list[str], tmp_path: Path, how: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DYING.format(how=how))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    jobs = ["-m", *small, "trainer=ddp_cpu", "trainer.max_epochs=1", "adapter=standard,tia", "hydra.sweep.dir=sweep"]
    said = run(tmp_path, "mmad-train", *jobs, code=2)
    first, second = sorted(path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    assert told in (first / "error.txt").read_text()
    assert (second / "training.json").exists()
    assert "error: 1 of the sweep's 2 jobs failed; the same command takes up only what is not done." in said


@pytest.mark.slow
def test_two_processes_train_and_count_every_clip_once(drawn: Path, small: list[str], tmp_path: Path) -> None:
    """Evaluated again by one process, the checkpoint gives the same metrics, though five test clips do not divide."""
    rows = (drawn / "annotations" / "test.csv").read_text().splitlines()
    first = rows[1].split(",")[1]
    root = tmp_path / "uneven"
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val", "test"):
        (root / split).symlink_to(drawn / split)
        (root / "annotations" / f"{split}.csv").write_bytes((drawn / "annotations" / f"{split}.csv").read_bytes())
    (root / "annotations" / "test.csv").write_text("\n".join([rows[0], *(row for row in rows[1:] if first not in row)]))
    arguments = [a for a in small if not a.startswith("data.root")]
    two = ["data.batch_size=4", "trainer=ddp_cpu", "hydra.run.dir=run"]
    run(tmp_path, "mmad-train", *arguments, f"data.root={root}", *two)
    run(tmp_path, "mmad-eval", "checkpoint=run/checkpoints/best.ckpt", "output=again", *LIGHT)
    # The metric, summed over two processes, is that of the file with all detections.
    truth = f"annotations={root}/annotations/test.csv"
    run(tmp_path, "mmad-eval", "predictions=run/predictions.json", truth, "output=file", *LIGHT)
    both = ["trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp"]
    run(tmp_path, "mmad-eval", "checkpoint=run/checkpoints/best.ckpt", "output=shared", *both, *LIGHT)
    together = json.loads((tmp_path / "run" / "metrics.json").read_text())
    alone = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert json.loads((tmp_path / "file" / "metrics.json").read_text()) == together
    assert json.loads((tmp_path / "shared" / "metrics.json").read_text())["avg"] == pytest.approx(alone["avg"], abs=0.2)
    assert float(curves(tmp_path / "run")[-1]["test/avg"]) == pytest.approx(together["avg"], abs=1e-4)
    assert alone["avg"] == pytest.approx(together["avg"], abs=0.2)
    # The second process starts later; it must not take the first one's files for those of an earlier part.
    assert (tmp_path / "run" / "config.yaml").exists()
    assert not (tmp_path / "run" / "config.1.yaml").exists()
    found = json.loads((tmp_path / "run" / "predictions.json").read_text())["results"]
    assert len(found) == 5
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
