"""The list of faults as text and as plain data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmad.checks.examine import Examination
from mmad.checks.faults import KINDS, Fault


def as_text(faults: Sequence[Fault], *, most: int | None = None) -> str:
    """Faults under the heading of their kind.

    Args:
        faults: sorted by kind.
        most: of each kind, only so many are written out.
    """
    parts = []
    for kind, known in KINDS.items():
        mine = [fault for fault in faults if fault.kind == kind]
        if not mine:
            continue
        shown = mine if most is None else mine[:most]
        lines = [f"{known.severity}: {known.title} ({len(mine):,})", *(f"  {fault.message}" for fault in shown)]
        if len(shown) < len(mine):
            lines.append(f"  ... and {len(mine) - len(shown):,} more")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def as_data(examination: Examination, *, root: Path) -> dict[str, Any]:
    """What was found as plain data.

    Args:
        examination: the findings.
        root: folder of the data set; files in it are named from there.
    """

    def record(fault: Fault) -> dict[str, Any]:
        file, line = fault.place(root)
        return {
            "kind": fault.kind,
            "severity": fault.severity,
            "blocks": fault.blocks,
            "clip": fault.clip,
            "file": file,
            "line": line,
            "message": fault.message,
            "fix": fault.fix,
        }

    return {
        "clips": examination.clips,
        "instances": examination.instances,
        "excluded": dict(examination.excluded),
        "errors": len(examination.errors),
        "warnings": len(examination.faults) - len(examination.errors),
        "faults": [record(fault) for fault in examination.faults],
    }
