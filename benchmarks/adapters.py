"""Tables 4 and 5 on drawn clips: what trains in the backbone, and which parts of DSTA matter.

Run from the project's root; draws the clips first (five minutes), then trains 27 detectors, each about four minutes of
one core, and measures steps:

    python benchmarks/adapters.py [FOLDER] [--seeds 3] [--jobs 2] [--overrides data=demo]

A run that FOLDER (default: runs/adapters) already holds is not repeated. What intervals and tests mean is told in
docs/adapters.md.
"""

from comparison import arguments, report, train_all
from speed_adapters import SETTINGS, measured_steps


def main() -> None:
    given = arguments(__doc__, folder="runs/adapters")
    train_all(SETTINGS, folder=given.folder, seeds=given.seeds, jobs=given.jobs, overrides=given.overrides)
    steps = measured_steps(SETTINGS, given.overrides)
    columns = {
        "trained in the backbone": {name: f"{step.backbone:,}" for name, step in steps.items()},
        "step time": {name: f"{step.time / steps['frozen'].time:.2f}" for name, step in steps.items()},
        "peak memory": {name: f"{step.memory / steps['frozen'].memory:.2f}" for name, step in steps.items()},
    }
    report(SETTINGS, folder=given.folder, seeds=given.seeds, baseline="DSTA", columns=columns)


if __name__ == "__main__":
    main()
