"""Two processes on the CPU: every clip counted once, and the same weights on both."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

LIGHT = ["report.draws=20", "report.figures=[]"]


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
    # The device's own environment must not leak into the processes that Lightning starts.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MMAD", "PL_"))}
    environment |= {"OMP_NUM_THREADS": "1"}
    commands = Path(sys.executable).parent
    arguments = [a for a in small if not a.startswith("data.root")]
    subprocess.run(
        [
            commands / "mmad-train",
            *arguments,
            f"data.root={root}",
            "data.batch_size=4",
            "trainer.accelerator=cpu",
            "trainer.devices=2",
            "trainer.strategy=ddp",
            "hydra.run.dir=run",
        ],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=300,
    )
    subprocess.run(
        [commands / "mmad-eval", "checkpoint=run/checkpoints/best.ckpt", "output=again", *LIGHT],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=300,
    )
    # The metric, summed over two processes, is that of the file with all detections.
    subprocess.run(
        [
            commands / "mmad-eval",
            "predictions=run/predictions.json",
            f"annotations={root}/annotations/test.csv",
            "output=file",
            *LIGHT,
        ],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=300,
    )
    together = json.loads((tmp_path / "run" / "metrics.json").read_text())
    alone = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert json.loads((tmp_path / "file" / "metrics.json").read_text()) == together
    curves = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    assert float(curves[-1]["test/avg"]) == pytest.approx(together["avg"], abs=1e-4)
    assert alone["avg"] == pytest.approx(together["avg"], abs=0.2)
    # The second process starts later; it must not take the first one's files for those of an earlier part.
    assert (tmp_path / "run" / "config.yaml").exists()
    assert not (tmp_path / "run" / "config.1.yaml").exists()
    found = json.loads((tmp_path / "run" / "predictions.json").read_text())["results"]
    assert len(found) == 5
    assert torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
