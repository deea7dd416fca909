"""Runs are found wherever they lie, and each says whether it is finished, or why not."""

import json
import os
from pathlib import Path

import pytest
import torch

from made import write_data, write_run
from mmad.comparison import find_runs, group
from mmad.errors import MmadError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def test_runs_are_found_at_any_depth_and_other_folders_are_not(tmp_path: Path, root: Path) -> None:
    for name in ("b/job_10", "b/job_9", "a/x/y"):
        write_run(tmp_path / name, root=root)
    inner = tmp_path / "a/x/y/wandb/files"
    inner.mkdir(parents=True)
    (inner / "config.yaml").write_bytes((tmp_path / "a/x/y/config.yaml").read_bytes())
    other = write_run(tmp_path / "pretrained", root=root)
    text = (other / ".hydra" / "hydra.yaml").read_text()
    (other / ".hydra" / "hydra.yaml").write_text(text.replace("config_name: train", "config_name: pretrain"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "config.yaml").write_text("data: {root: x}\nseed: 1\n")
    assert [run.folder.relative_to(tmp_path).as_posix() for run in find_runs(tmp_path)] == [
        "a/x/y",
        "b/job_9",
        "b/job_10",
    ]
    assert [run.folder for run in find_runs(tmp_path / "b" / "job_9")] == [tmp_path / "b" / "job_9"]


def test_a_run_tells_its_choices_arguments_and_numbers(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "run", "adapter=tia", "+trainer.fast_dev_run=false", root=root, seed=4)
    (run,) = find_runs(tmp_path)
    assert (run.seed, run.choices["adapter"], run.choices["recipe"], run.lacks) == (4, "tia", "paper", None)
    assert run.overrides["trainer.fast_dev_run"] == "false"
    assert run.metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert run.training is not None
    assert run.training["parameters"]["trained_in_backbone"] == 2**20 + 2**19


def test_a_folder_without_hydras_record_still_has_the_arguments_choices(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "run", "adapter=tia", root=root)
    (tmp_path / "run" / ".hydra" / "hydra.yaml").unlink()
    (run,) = find_runs(tmp_path)
    assert run.choices == {"data": "mma52", "adapter": "tia"}


@pytest.mark.parametrize(
    ("state", "lacks"),
    [
        ("finished", None),
        ("untold", None),
        ("failed", "failed: The disk is full; make room"),
        ("started", "no checkpoint yet"),
        ("epoch 3", "stopped after epoch 3 of 20, or still running"),
        ("epoch 20", "all 20 epochs trained, not evaluated yet"),
    ],
)
def test_the_state_of_a_run(tmp_path: Path, root: Path, state: str, lacks: str | None) -> None:
    write_run(tmp_path / "run", root=root, state=state)
    (run,) = find_runs(tmp_path)
    assert run.lacks == lacks
    assert (run.metrics is None) == (lacks is not None)
    assert (run.training is None) == (state != "finished")


def test_a_run_that_failed_after_it_was_evaluated_does_not_count(tmp_path: Path, root: Path) -> None:
    """Unless it had come to its end: then something else has failed in its folder since."""
    write_run(tmp_path / "run", root=root)
    (tmp_path / "run" / "error.txt").write_text("No room.")
    assert find_runs(tmp_path)[0].lacks is None
    (tmp_path / "run" / "training.json").unlink()
    (run,) = find_runs(tmp_path)
    assert (run.lacks, run.metrics) == ("failed: No room", None)


def test_results_belong_to_the_run_that_wrote_them(tmp_path: Path, root: Path) -> None:
    """Hydra's files are of another run, which was started in the folder and killed before it did anything."""
    folder = write_run(tmp_path / "run", "adapter=tia", root=root)
    environment = {"choices": {"adapter": "dsta"}, "overrides": ["adapter=dsta", "seed=0"]}
    (folder / "environment.json").write_text(json.dumps(environment))
    (run,) = find_runs(tmp_path)
    assert run.choices == {"adapter": "dsta"}
    assert run.overrides == {"adapter": "dsta", "seed": "0"}


def test_a_checkpoint_within_an_epoch_counts_those_before_it(tmp_path: Path, root: Path) -> None:
    folder = write_run(tmp_path / "run", root=root, state="epoch 3")
    told = {"epoch": 2, "ClipDataModule": {"next_epoch": 2, "batches_done": 7}}
    torch.save(told, folder / "checkpoints" / "last.ckpt")
    assert find_runs(tmp_path)[0].lacks == "stopped after epoch 2 of 20, or still running"


def test_a_checkpoint_that_cannot_be_read_is_said_so(tmp_path: Path, root: Path) -> None:
    folder = write_run(tmp_path / "run", root=root, state="epoch 1")
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"half of it")
    assert find_runs(tmp_path)[0].lacks == "its checkpoints/last.ckpt cannot be read"
    torch.save({"state_dict": {}}, folder / "checkpoints" / "last.ckpt")
    assert find_runs(tmp_path)[0].lacks == "its checkpoints/last.ckpt cannot be read"


def test_a_run_that_never_began_belongs_to_the_setting_of_its_twins(tmp_path: Path, root: Path) -> None:
    """Its configuration is the one that Hydra kept, with interpolations."""
    write_run(tmp_path / "0", "adapter=tia", root=root, seed=0)
    write_run(tmp_path / "1", "adapter=tia", root=root, seed=1, state="started")
    (setting,) = group(find_runs(tmp_path))
    assert [run.seed for run in setting.finished] == [0]
    assert [run.seed for run in setting.unfinished] == [1]


def test_a_relative_folder_of_data_is_told_from_where_the_run_was_started(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "0", root=Path(root.name), cwd=root.parent, seed=0)
    write_run(tmp_path / "runs" / "1", root=Path(os.path.relpath(root)), cwd=tmp_path, seed=1)
    assert {run.config["data"]["root"] for run in find_runs(tmp_path / "runs")} == {str(root)}
    assert len(group(find_runs(tmp_path / "runs"))) == 1


@pytest.mark.parametrize(
    ("name", "text"), [("metrics.json", "{"), ("metrics.json", "{}"), ("training.json", "[]"), ("config.yaml", "a: [")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, root: Path, name: str, text: str) -> None:
    folder = write_run(tmp_path / "run", root=root)
    (folder / name).write_text(text)
    with pytest.raises(MmadError, match=rf"run/{name} .*anew"):
        find_runs(tmp_path)


def test_no_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MmadError, match="nowhere is not a folder; name the one"):
        find_runs(tmp_path / "nowhere")
