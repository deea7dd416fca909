"""What is decided before a run is logged."""

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_server_that_nobody_runs_is_noticed() -> None:
    """In a process of its own: wandb reads its address once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment |= {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "a" * 40}
    code = "from mmad.lit import loggers; loggers.REACHED_WITHIN = 2; print(loggers._why_offline())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert "127.0.0.1:9" in done.stdout
