"""Every newer head learns two drawn clips by heart through the command: data, targets, decoding and metric agree."""

import json
import shutil
from pathlib import Path

import pytest

from commands import Command
from mmad.demo.clips import SplitPlan, generate_demo

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning:lightning"), pytest.mark.slow]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn clips, which are the other splits' clips under other names too."""
    root = generate_demo(
        tmp_path_factory.mktemp("data") / "two",
        splits={"train": SplitPlan(2, range(1, 3))},
        seed=3,
        processes=1,
        progress=False,
    )
    for subject, split in ((901, "val"), (911, "test")):
        (root / split).mkdir()
        table = (root / "annotations" / "train.csv").read_text()
        for number, video in enumerate(sorted((root / "train").iterdir())):
            name = f"{subject + number}{video.stem[3:]}"
            shutil.copy(video, root / split / f"{name}.mp4")
            table = table.replace(video.stem, name)
        (root / "annotations" / f"{split}.csv").write_text(table)
    return root


@pytest.mark.parametrize("head", ["tadtr", "pointtad", "ms_tct"])
def test_two_clips_are_learnt_by_heart(command: Command, two: Path, head: str) -> None:
    data = [f"data.root={two}", "data.make=null", "data.batch_size=2", "effective_batch=2", "augment=none"]
    training = ["trainer.max_epochs=400", "trainer.check_val_every_n_epoch=100", "ema=0.5"]
    report = ["report.figures=[]", "report.draws=20", "hydra.run.dir=run"]
    assert command("mmad-train", f"head={head}", "adapter=frozen", *data, *training, *report) == 0
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["action"]["avg"] > 90
    assert metrics["body"]["avg"] > 90
