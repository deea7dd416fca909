"""Times the data check on annotations alone: `python benchmarks/speed_check.py`.

The release is drawn in the layout of MMA-52, 6,500 clips in three splits, with a fault of every kind planted; the tests
check that all are found and nothing else. The time is that of the whole command, start of Python included.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from planted import write_release

CLIPS, LIMIT = 6500, 20.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        planted = sum(write_release(root / "release", clips=CLIPS).values())
        command = [str(Path(sys.executable).parent / "mmad-data"), "task=check", "data=mma52", "open_videos=false"]
        command += [f"data.root={root / 'release'}", f"output={root / 'found'}", f"hydra.run.dir={root / 'run'}"]
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall = time.monotonic() - start
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    (told,) = (line for line in done.stdout.splitlines() if " errors, " in line)
    print(told)
    print(f"planted {planted}; {wall:.1f} s, {spent.ru_utime + spent.ru_stime:.1f} s of CPU, limit {LIMIT:g} s")
    if done.returncode != 1 or wall > LIMIT:
        raise SystemExit(f"exit code {done.returncode}, {wall:.1f} s")


if __name__ == "__main__":
    main()
