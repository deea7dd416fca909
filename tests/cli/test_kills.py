"""A training that is killed again and again, at whatever moment, ends like one that nobody disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

COMMAND = Path(sys.executable).parent / "mmad-train"
KILLS = 20


@pytest.mark.slow
def test_every_kill_is_survived(drawn: Path, small: list[str], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MMAD", "PL_"))}
    environment |= {"OMP_NUM_THREADS": "1"}
    line = [COMMAND, *small, "trainer.max_epochs=12", "trainer.check_val_every_n_epoch=2", "data.batch_size=4"]

    def start(folder: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*line, f"hydra.run.dir={folder}"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    begun = time.monotonic()
    process = start("whole")
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    seconds = time.monotonic() - begun
    moments = random.Random(5)
    kills, reached, ends = 0, [], 0
    while kills < KILLS:
        process = start("broken")
        try:
            told, _ = process.communicate(timeout=moments.uniform(0.2, 1.1) * seconds)
            # It was done before its turn: what is left of the kills hits a run in another folder.
            assert process.returncode == 0, told
            ends += 1
            check(tmp_path / "whole", tmp_path / "broken")
            (tmp_path / "broken").rename(tmp_path / f"done-{ends}")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            told, _ = process.communicate()
            kills += 1
            last = tmp_path / "broken" / "checkpoints" / "last.ckpt"
            reached.append(torch.load(last, weights_only=True)["epoch"] if last.exists() else -1)
    process = start("broken")
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    check(tmp_path / "whole", tmp_path / "broken")
    print(f"{kills} kills, after epochs {reached}; {ends + 1} runs ended like the undisturbed one")
    assert len({*reached}) > 3, reached


def check(whole: Path, broken: Path) -> None:
    """The same weights, to the last bit, and the same metrics."""
    one, other = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, broken))
    for part in ("state_dict", "raw_weights"):
        for name, value in one[part].items():
            torch.testing.assert_close(other[part][name], value, rtol=0, atol=0, msg=f"{part} {name}")
    assert json.loads((broken / "metrics.json").read_text()) == json.loads((whole / "metrics.json").read_text())
    assert not list(broken.rglob("*.partial"))
