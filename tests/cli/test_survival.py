"""Runs that are asked to stop, killed, or out of room: what is left goes on, and ends like an unbroken run."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from commands import Command
from mmad.cli.alone import alone_in
from mmad.errors import MmadError
from mmad.formats.whole_file import numbered
from mmad.lit.checkpoint_io import WholeCheckpoints
from mmad.lit.datamodule import ClipDataModule
from mmad.lit.module import DetectionModule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


def same_weights(one: str, other: str) -> None:
    whole, broken = (torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True) for run in (one, other))
    assert whole["global_step"] == broken["global_step"]
    for part in ("state_dict", "raw_weights"):
        for name, value in whole[part].items():
            torch.testing.assert_close(broken[part][name], value, rtol=0, atol=0, msg=f"{part} {name}")


@pytest.mark.parametrize(
    ("sent", "step", "where", "settings"),
    [
        pytest.param(signal.SIGTERM, 6, "after batch 2 of epoch 2", [], marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 5, "after batch 1 of epoch 2", ["data.workers=1"], marks=pytest.mark.slow),
        # Gradients are gathered over two batches: the one in between is no place to stop.
        pytest.param(
            *(signal.SIGTERM, 1, "after batch 2 of epoch 1", ["trainer.accumulate_grad_batches=2"]),
            marks=pytest.mark.slow,
        ),
        (signal.SIGTERM, 4, "after epoch 1", []),
        pytest.param(signal.SIGUSR1, 2, "after batch 2 of epoch 1", [], marks=pytest.mark.slow),
    ],
    ids=["within", "workers", "accumulation", "end", "requeue"],
)
def test_a_run_that_is_asked_to_stop_goes_on_with_the_next_batch(
    command: Command,
    small: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    sent: int,
    step: int,
    where: str,
    settings: list[str],
) -> None:
    """No clip is lost or seen twice, and the weights are those of a run that nobody stopped."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/requeued\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_JOB_NAME", "training")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    arguments = [*small, *settings, "data.batch_size=4"]
    assert command("mmad-train", *arguments, "hydra.run.dir=whole") == 0
    seen: list[list[tuple[int, float]]] = []
    plain = DetectionModule.training_step

    def noting(module: DetectionModule, batch: dict, index: int) -> Tensor:
        seen.append(sorted((window.clip, window.first) for window in batch["windows"]))
        if len(seen) == step and not Path("broken/checkpoints/sent").exists():
            Path("broken/checkpoints").mkdir(exist_ok=True)
            Path("broken/checkpoints/sent").touch()
            # The scheduler, another process, sends it to all, those that decode included.
            group = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
            subprocess.run(["kill", f"-{int(sent)}", *map(str, group)], check=True)
        return plain(module, batch, index)

    monkeypatch.setattr(DetectionModule, "training_step", noting)
    before = signal.getsignal(sent)
    assert command("mmad-train", *arguments, "hydra.run.dir=broken") == 128 + sent
    assert signal.getsignal(sent) is before
    told = capsys.readouterr().err
    assert f"stopped by {signal.Signals(sent).name} {where}; mmad-train ckpt=" in told
    assert (tmp_path / "requeued").exists() == (sent == signal.SIGUSR1)
    assert not Path("broken/training.json").exists()
    # The same command finds its unfinished part.
    assert command("mmad-train", *arguments, "hydra.run.dir=broken") == 0
    assert "broken holds an unfinished part of this run, which goes on" in capsys.readouterr().out
    same_weights("whole", "broken")
    assert len(seen) == 8
    for epoch in (seen[:4], seen[4:]):
        assert sorted(clip for batch in epoch for clip, _ in batch) == list(range(16))
    assert json.loads(Path("broken/metrics.json").read_text()) == json.loads(Path("whole/metrics.json").read_text())


def test_a_finished_run_is_not_done_again(
    command: Command, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small, "trainer.max_epochs=1", "hydra.run.dir=run"]
    assert command("mmad-train", *arguments) == 0
    cost = json.loads(Path("run/training.json").read_text())
    assert cost["epochs"] == 1
    assert cost["steps"] == 2
    assert cost["seconds"] == cost["seconds_per_epoch"] > 0
    assert cost["peak_memory"] > 2**20
    assert 0 < cost["parameters"]["trained_in_backbone"] < cost["parameters"]["trained"] < cost["parameters"]["total"]
    capsys.readouterr()
    assert command("mmad-train", *arguments) == 0
    assert capsys.readouterr().out == "run holds this run, finished; with another hydra.run.dir=... it is done anew\n"
    # Other settings are another run: they neither go on with this one's checkpoint nor lose its files.
    assert command("mmad-train", *arguments, "seed=1") == 0
    assert json.loads(Path("run/training.1.json").read_text()) == cost
    assert Path("run/checkpoints.1/last.ckpt").exists()


@pytest.mark.slow
def test_an_experiments_job_is_continued_as_the_job_that_it_is(
    command: Command, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The experiment asks for a sweep; what is continued is one run of it, in its own folder."""
    few = [*small, "trainer.max_epochs=1", "trainer.limit_train_batches=1", "hydra.sweep.dir=sweep"]
    assert command("mmad-train", "experiment=table3_dsta", "seed=1", *few) == 0
    (job,) = (path for path in Path("sweep").iterdir() if path.is_dir())
    assert job.name.startswith("seed=1,with-")
    told = capsys.readouterr().out
    assert f"1 job\n  {job}  done, AVG " in told
    assert command("mmad-train", f"ckpt='{job}'", "trainer.max_epochs=2") == 0
    assert json.loads((job / "training.json").read_text())["epochs"] == 2
    assert [path.name for path in Path("sweep").iterdir() if path.is_dir()] == [job.name]
    assert not Path("runs").exists()


def test_two_processes_are_not_at_one_run(tmp_path: Path) -> None:
    with alone_in(tmp_path / "run"):
        with (
            pytest.raises(MmadError, match="another process is at work there"),
            alone_in(tmp_path / "run", seconds=0.3),
        ):
            raise AssertionError
        with alone_in(tmp_path / "other"):
            pass
    with alone_in(tmp_path / "run", seconds=0):
        pass


def test_files_are_numbered_after_the_highest(tmp_path: Path) -> None:
    for name in ("metrics.csv", "metrics.2.csv", "metrics.x.csv", "metrics.1.json"):
        (tmp_path / name).touch()
    assert numbered(tmp_path / "metrics.csv").name == "metrics.3.csv"
    assert numbered(tmp_path / "checkpoints").name == "checkpoints.1"


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_annotations(
    command: Command,
    small: list[str],
    drawn: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = Path("data")
    shutil.copytree(drawn, root)
    arguments = [*(a for a in small if not a.startswith("data.root")), f"data.root={root}", "hydra.run.dir=run"]

    def stop(module: DetectionModule) -> None:
        if module.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DetectionModule, "on_train_epoch_start", stop)
        assert command("mmad-train", *arguments) == 1
    rows = (root / "annotations" / "train.csv").read_text().splitlines()
    (root / "annotations" / "train.csv").write_text("\n".join(rows[:-1]))
    assert command("mmad-train", *arguments) == 2
    assert "the annotations have changed since this run was broken off" in capsys.readouterr().err
    (root / "annotations" / "train.csv").write_text("\n".join(rows))
    assert command("mmad-train", *arguments) == 0


@pytest.mark.slow
def test_no_room_for_a_checkpoint_leaves_the_last_one(
    command: Command, small: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system refuses files of more than 100 kB from the second epoch on."""
    arguments = [*small, "hydra.run.dir=run"]
    assert command("mmad-train", *small, "hydra.run.dir=whole") == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(module: DetectionModule) -> None:
        if module.current_epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    with monkeypatch.context() as patch:
        patch.setattr(DetectionModule, "on_train_epoch_start", full)
        try:
            assert command("mmad-train", *arguments) == 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = capsys.readouterr().err
    assert ".ckpt cannot be written (File too large); choose another place, or make room" in told
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["epoch"] == 0
    assert not list(Path("run/checkpoints").glob("*.partial"))
    assert command("mmad-train", *arguments) == 0
    same_weights("whole", "run")


def test_loading_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(Exception, match="weights_only"):
        WholeCheckpoints().load_checkpoint(tmp_path / "evil.ckpt", weights_only=False)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_what_a_run_was_made_with_is_told(
    command: Command, small: list[str], drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*small, "trainer.max_epochs=1", "trainer.accumulate_grad_batches=2", "seed=4"]
    assert command("mmad-train", *arguments, "hydra.run.dir=run") == 0
    assert "an optimiser step sees 16 windows (data.batch_size=8, 1 processes" in capsys.readouterr().err
    told = json.loads(Path("run/environment.json").read_text())
    assert told["command"].startswith("mmad-train data.root=")
    assert told["seed"] == 4
    assert told["effective_batch"] == 16
    assert len(told["weights"]["sha256"]) == len(told["data"]["annotations"]) == len(told["lock"]) == 64
    assert told["data"]["manifest"] is None
    assert told["hardware"]["cores"] == os.cpu_count()
    # Another annotation is other data.
    assert command("mmad-train", *arguments, "hydra.run.dir=shuffled", "data.control=shuffled") == 0
    assert json.loads(Path("shuffled/environment.json").read_text())["data"] == told["data"]
    root = Path("other")
    (root / "annotations").mkdir(parents=True)
    for split in ("train", "val", "test"):
        (root / split).symlink_to(drawn / split)
        text = (drawn / "annotations" / f"{split}.csv").read_text()
        (root / "annotations" / f"{split}.csv").write_text(
            "\n".join(text.splitlines()[: -1 if split == "val" else None])
        )
    changed = [f"data.root={root}" if a.startswith("data.root") else a for a in arguments]
    assert command("mmad-train", *changed, "hydra.run.dir=changed") == 0
    other = json.loads(Path("changed/environment.json").read_text())["data"]
    assert other["annotations"] != told["data"]["annotations"]


@pytest.mark.slow
def test_twice_the_same_numbers(command: Command, small: list[str]) -> None:
    for run in ("first", "second"):
        assert command("mmad-train", *small, "trainer.deterministic=true", f"hydra.run.dir={run}") == 0
    same_weights("first", "second")
    assert Path("first/metrics.json").read_text() == Path("second/metrics.json").read_text()


def test_the_place_within_an_epoch_is_told_once(drawn: Path) -> None:
    """A checkpoint at the end of an epoch names the next one and no batch."""
    data = ClipDataModule.__new__(ClipDataModule)
    data.trainer, data.batches_done = None, 0
    assert data.state_dict() == {"next_epoch": 1, "batches_done": 0}
    data.batches_done = 3
    assert data.state_dict() == {"next_epoch": 0, "batches_done": 3}
