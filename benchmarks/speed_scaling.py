"""How a training step's time and memory grow with frames, pixels, batch and adapter; what a second process brings.

    python benchmarks/speed_scaling.py [OVERRIDE ...]

Ratios to the first row of each part, all taken in turns in one run; see speed_adapters.py for how. The last part trains
with one process of batch 8 and with two of batch 4, of one thread each, on drawn clips.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from speed_adapters import Steps, measured_steps

PARTS = {
    "feature steps": {str(steps): [f"grid.window={steps}"] for steps in (32, 64, 128)},
    "pixels": {f"{h}x{w}": [f"data.resolution=[{h},{w}]"] for h, w in ((64, 48), (96, 64), (128, 96))},
    "windows per batch": {str(size): [f"data.batch_size={size}"] for size in (4, 8, 16)},
    "adapter": {name: [f"adapter={name}"] for name in ("frozen", "standard", "tia", "dsta", "full")},
}
RUN = ["trainer.max_epochs=2", "trainer.limit_train_batches=30", "trainer.check_val_every_n_epoch=2"]
RUN += ["trainer.limit_val_batches=1", "report.figures=[]", "report.draws=0", "trainer.accelerator=cpu"]


def seconds_per_step(overrides: list[str], folder: Path) -> float:
    """Mean of a short run; clips are drawn and decoded before its first step."""
    command = [str(Path(sys.executable).parent / "mmad-train"), *RUN, *overrides, f"hydra.run.dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    told = json.loads((folder / "training.json").read_text())
    return told["seconds"] / told["steps"]


def main() -> None:
    given = sys.argv[1:]
    for title, settings in PARTS.items():
        steps = measured_steps(settings, given)
        first: Steps = next(iter(steps.values()))
        print(f"\n{title:<28}{'step':>10}{'ratio':>8}{'peak':>12}{'ratio':>8}")
        for name, step in steps.items():
            print(
                f"{name:<28}{step.time * 1000:>7.0f} ms{step.time / first.time:>8.2f}"
                f"{step.memory / 2**20:>8.0f} MiB{step.memory / first.memory:>8.2f}"
            )
    with tempfile.TemporaryDirectory() as folder:
        one = seconds_per_step([*given, "data.batch_size=8"], Path(folder) / "one")
        two = seconds_per_step([*given, "data.batch_size=4", "trainer=ddp_cpu"], Path(folder) / "two")
    print(f"\nprocesses{'steps/s':>29}{'ratio':>8}")
    for name, seconds in (("1 of batch 8", one), ("2 of batch 4", two)):
        print(f"{name:<28}{1 / seconds:>10.2f}{one / seconds:>8.2f}")


if __name__ == "__main__":
    main()
