"""The data check finds every planted fault, at its place, and nothing else."""

from collections import Counter
from functools import partial
from pathlib import Path

from mmad.checks.examine import Examination, examine
from mmad.checks.faults import KINDS
from mmad.data.grid import Grid
from mmad.data.sources import MMA52Source
from planted import Found, write_release

GRID = Grid(window=128, feature_stride=4, frames_per_step=2, levels=6)


def places(examination: Examination, root: Path) -> Found:
    """The faults as the planter counts them."""
    found: Found = Counter()
    for fault in examination.faults:
        file, line = fault.place(root)
        if line is not None:
            found[fault.kind, f"{Path(file or '').name}:{line}"] += 1
        elif fault.clip is not None:
            found[fault.kind, fault.clip] += 1
        elif fault.kind == "untrained_class" or fault.kind == "subject_in_splits":
            found[fault.kind, fault.message.split("'")[1]] += 1
        else:
            found[fault.kind, "test"] += 1
            assert "test" in fault.message
    return found


def test_all_planted_faults_of_a_release_and_nothing_else(tmp_path: Path) -> None:
    expected = write_release(tmp_path, clips=6500)
    examination = examine(partial(MMA52Source, tmp_path, fps=None), grid=GRID, videos=False)
    assert places(examination, tmp_path) == expected
    assert examination.clips == 6500, "every clip still has a readable row"
    assert {kind for kind, _ in expected} > {"label", "segment", "beyond", "row", "duplicate", "lost_instance"}
    order = list(KINDS)
    ranks = [order.index(fault.kind) for fault in examination.faults]
    assert ranks == sorted(ranks), "the gravest come first"
    assert all(fault.fix and fault.fix != fault.message for fault in examination.errors)
