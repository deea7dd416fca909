"""Mistakes on the command line: one sentence, the fix, exit code 2, before anything starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from commands import Command
from mmad.cli.entry import check_arguments
from mmad.errors import MmadError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["adapter=dsat"], r"Unknown adapter=dsat: there are dsta, .*did you mean dsta\?"),
        (["adaptor=dsta"], r"Unknown option adaptor: did you mean adapter\?"),
        (["trainer.max_epoch=3"], r"Unknown option trainer\.max_epoch: did you mean trainer\.max_epochs\?"),
        (["adapter.layer.spatial_kernal=3"], r"did you mean adapter\.layer\.spatial_kernel\?"),
        (["adapter=standard", "adapter.layer.beta=one"], r"Unknown option adapter\.layer\.beta"),
        (["-m", "adapter=standard,tai"], r"Unknown adapter=tai: .*did you mean tia\?"),
        (["data=mma52"], r"needs a value for data\.root: add data\.root=\.\.\."),
        (["seed=[1"], r"Cannot read the argument 'seed=\[1'"),
        (["dsta"], r"Cannot read the argument 'dsta'"),
        (["adapter=null"], r"Unknown adapter=null: there are dsta, .*frozen"),
        (["-m", "adapter=dsta,standard", "adapter.layer.beta=one"], r"Unknown option adapter\.layer\.beta"),
        (
            ["adapter=full", "data=ma52", "data.root=x"],
            r"^mmad-train does not take data=ma52, which is for mmad-pretrain, mmad-extract and mmad-data\.$",
        ),
        (["trainer.benchmark=true"], r"A new key needs a plus: \+trainer\.benchmark"),
    ],
)
def test_a_mistake_is_named_with_its_fix(arguments: list[str], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        check_arguments(arguments, config="train")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["adapter=frozen", "data.resolution=[64,48]"],
        ["-m", "adapter=standard,tia,dsta", "seed=0,1"],
        ["data=mma52", "data.root=somewhere", "backbone=vmae_b"],
        ["recipe=paper", "optimizer=muon", "+trainer.benchmark=true"],
        ["hydra.run.dir=somewhere"],
        ["-m", "adapter=glob(*)"],
        ["--cfg", "job", "adapter=tia"],
    ],
)
def test_right_arguments_pass(arguments: list[str]) -> None:
    check_arguments(arguments, config="train")


def bad_inputs(drawn: Path, folder: Path) -> list[tuple[list[str], str]]:
    """Command lines that fail at something outside the configuration."""
    annotations = folder / "faulty" / "annotations"
    annotations.mkdir(parents=True)
    for split in ("val", "test"):
        (annotations / f"{split}.csv").write_bytes((drawn / "annotations" / f"{split}.csv").read_bytes())
    rows = (drawn / "annotations" / "train.csv").read_text().splitlines()
    cells = rows[3].split(",")
    cells[4] = "52"
    (annotations / "train.csv").write_text("\n".join([*rows[:3], ",".join(cells), *rows[4:]]))
    text = folder / "text.ckpt"
    text.write_text("not a checkpoint")
    data = [f"data.root={drawn}", "data.make=null", "backbone.weights=null"]
    return [
        (["data.make=null", "data.root=nowhere", "backbone.weights=null"], "nowhere is not a folder"),
        (["data.make=null", f"data.root={folder / 'faulty'}", "backbone.weights=null"], "train.csv, line 4"),
        (
            ["data.make=null", f"data.root={folder / 'faulty'}", "weights=adatad.pth"],
            "no file of weights at adatad.pth",
        ),
        ([*data, "backbone.weights=none.pth"], "There is no file of weights at none.pth"),
        ([*data, "backbone=vmae_s", f"backbone.weights={text}"], "text.ckpt"),
        ([*data, "trainer.accelerator=gpu"], "torch sees no GPU"),
        ([*data, "trainer.accelerator=gqu"], "choose auto, cpu, gpu or mps"),
        ([*data, "grid.window=100"], "choose grid.window=112"),
        ([*data, "adapter.layer.beta=removed", "adapter.layer.gamma=removed"], "gamma"),
        ([*data, "data.control=stil"], "choose null, still or shuffled"),
        ([*data, "trainer.accelerator=mps"], "torch sees no Apple GPU"),
        ([*data, "trainer.precision=bf16-true"], "choose 32-true, bf16-mixed, 16-mixed"),
        (["ckpt=nowhere"], "there is no checkpoint nowhere"),
        (["ckpt=last"], "has a last.ckpt yet"),
    ]


def test_bad_input_ends_in_one_sentence(
    command: Command,
    drawn: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for arguments, message in bad_inputs(drawn, tmp_path):
        code = command("mmad-train", *arguments)
        told = capsys.readouterr().err
        assert code == 2, arguments
        assert message in told, (arguments, told)
        *bars, sentence = told.strip().splitlines()  # a progress bar ends in a carriage return
        assert sentence.startswith("error: ")
        assert all("clip/s" in bar or not bar.strip() for bar in bars), told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "neither came"),
        (["checkpoint=a", "predictions=b"], "both came"),
        (["checkpoint=nowhere.ckpt"], "nowhere.ckpt: there is no such checkpoint"),
        (["predictions=nowhere.json"], "needs annotations=FILE"),
        (["predictions=nowhere.json", "annotations=nowhere.csv"], "nowhere.csv"),
    ],
)
def test_evaluation_names_what_is_missing(
    command: Command, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert command("mmad-eval", *arguments) == 2
    assert message in capsys.readouterr().err


def test_debug_shows_the_traceback(command: Command) -> None:
    with pytest.raises(MmadError):
        command("mmad-train", "adapter=dsat", "debug=true")


def test_help_and_mistakes_do_not_wait_for_torch() -> None:
    modules = ", ".join(f"mmad.cli.{name}" for name in ("train", "evaluate", "pretrain", "extract"))
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
