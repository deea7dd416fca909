"""Lists everything that is wrong with a data set."""

import json
from functools import partial
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmad.checks.examine import Examination, examine
from mmad.checks.report import as_data, as_text
from mmad.cli.entry import shown
from mmad.cli.tasks.source import source_of, training_command
from mmad.data.manifest import MANIFEST
from mmad.data.sources.source import EXCLUSIONS
from mmad.errors import MmadError
from mmad.formats.splits import write_exclusions
from mmad.formats.whole_file import write_whole

_MOST = 20


def check(cfg: DictConfig) -> None:
    """Writes the faults of a data set, a manifest of its videos, and the clips to leave out.

    Raises:
        SystemExit: with code 1 where there is an error.
    """
    root, output = Path(cfg.data.root).expanduser(), Path(cfg.output)
    for name in ("open_videos", "deep"):
        if not isinstance(cfg[name], bool):
            raise MmadError(f"{name}={cfg[name]}: choose true or false.")
    if isinstance(cfg.time_limit, bool) or not isinstance(cfg.time_limit, int | float) or not cfg.time_limit > 0:
        raise MmadError(f"time_limit={cfg.time_limit}: expected seconds, more than 0.")
    found = examine(
        partial(source_of, cfg),
        grid=instantiate(cfg.grid),
        needed=dict.fromkeys(("train", "val", cfg.data.evaluate_split)),
        videos=cfg.open_videos,
        inspect=True,
        deep=cfg.deep,
        limit=cfg.time_limit,
    )
    written = [output / "faults.txt", output / "faults.json"]
    write_whole(written[0], f"{as_text(found.faults) or 'nothing is wrong'}\n".encode())
    write_whole(written[1], f"{json.dumps(as_data(found, root=root), indent=1)}\n".encode())
    if found.manifest.videos:
        written.append(output / MANIFEST)
        found.manifest.write(written[-1])
    # Clips that were left out before stay out.
    blocked = {**found.excluded, **found.blocked}
    if found.blocked:
        written.append(output / EXCLUSIONS)
        write_exclusions(written[-1], blocked)
    if found.faults:
        print(f"\n{as_text(found.faults, most=_MOST)}")
    left_out = f", {len(found.excluded):,} clips left out" if found.excluded else ""
    errors, rest = len(found.errors), len(found.faults) - len(found.errors)
    print(f"\n{found.clips:,} clips, {found.instances:,} instances{left_out}: {errors:,} errors, {rest:,} warnings\n")
    for path in written:
        print(f"  {shown(path)}")
    print(f"\n{_advice(found, root, output)}")
    if found.errors:
        raise SystemExit(1)


def _advice(found: Examination, root: Path, output: Path) -> str:
    there = output.resolve() == root.resolve()
    blocked = len(found.blocked)
    if found.obstacles:
        return "Next: correct these and check again"
    if blocked:
        how = "as that file says now" if there else f"by putting {EXCLUSIONS} into {shown(root)}"
        return f"Next: correct these, or train without the {blocked:,} clips that are concerned, {how}"
    if found.errors:
        return "Next: correct these; training is possible all the same"
    if there:
        return f"Next: mmad-data task=stats, or {training_command()}"
    manifest = f"with {MANIFEST} in {shown(root)}, videos are not opened again"
    return f"Next: mmad-data task=stats, or {training_command()}; {manifest}"
