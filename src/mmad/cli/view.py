"""`mmad-view`: a local page to look at, correct and export annotations and predictions."""

import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from mmad.cli.entry import run, shown, warn
from mmad.errors import MmadError

if TYPE_CHECKING:
    from mmad.viewer.project import Project

_TOLD = 5
"""Faults of annotations that are named; the others are counted."""


def main() -> None:
    """Console script."""
    run(view, config="view")


def view(cfg: DictConfig) -> None:
    """Shows a run, or videos with what was predicted and annotated, until it is stopped."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise MmadError("mmad-view shows one page at a time; leave -m out")
    given = [name for name in ("videos", "predictions", "labels") if cfg[name] is not None]
    if cfg.run is not None and given:
        raise MmadError(
            f"{given[0]}={cfg[given[0]]} does not go with run=, which brings its own; leave one of them out"
        )
    if cfg.run is None and cfg.videos is None and cfg.predictions is None and cfg.annotations is None:
        raise MmadError("Pass run=FOLDER, or videos=, predictions= or annotations=; none came.")
    if not isinstance(cfg.port, int) or not 0 <= cfg.port < 2**16:
        raise MmadError(f"port={cfg.port}: expected 0 to 65535, 0 for any that is free")
    # Imported only now, since `--help` and mistakes shall not wait for torch.
    from mmad.cli.alone import alone_in
    from mmad.viewer.saving import Corrections
    from mmad.viewer.server import Server, listen, make_app, way_in

    output = Path(cfg.output).expanduser()
    if output.is_file() and output.suffix.lower() != ".csv":
        raise MmadError(f"output={output} is a file that does not end in .csv; name a table or a folder")
    faults: list[MmadError] = []
    project = _project(cfg, faults)
    warn([str(fault) for fault in faults[:_TOLD]])
    if len(faults) > _TOLD:
        warn([f"and {len(faults) - _TOLD} more rows are left out; mmad-data task=check lists them all"])
    folder = output.parent if output.suffix.lower() == ".csv" else output
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MmadError(f"output={output} cannot be made ({error.strerror}); name another place") from error
    with alone_in(folder, seconds=2):
        corrections = Corrections(output, inputs=project.inputs, subjects=project.subjects)
        project = project.knowing(corrections.labels)
        opened, address = listen(corrections.folder, port=cfg.port)

        def ready() -> None:
            layers = ", ".join(layer.name for layer in project.layers) or "no layer to compare with"
            print(f"{len(project.clips):,} clips, {len(project.videos):,} with a video: {layers}\n")
            print(f"  {address.start}\n")
            print(f"Corrections go to {shown(corrections.table)}; Ctrl+C stops, nothing is lost.", flush=True)
            if cfg.browser:
                webbrowser.open(open_files.enter_context(way_in(corrections.folder, address)))

        try:
            with ExitStack() as open_files, suppress(KeyboardInterrupt):
                Server(make_app(project, corrections, address=address), ready=ready).run(sockets=[opened])
        finally:
            opened.close()
            corrections.close()
    print(f"\n  {shown(corrections.journal)}" if corrections.journal.exists() else "\nNothing was corrected.")
    if corrections.table.exists():
        print(f"  {shown(corrections.table)}")
    print("\nNext: the same command goes on where this one stopped")


def _project(cfg: DictConfig, faults: list[MmadError]) -> "Project":
    from mmad.viewer.project import of_files, of_run

    annotations = [Path(name).expanduser() for name in _several(cfg.annotations)]
    for path in annotations:
        if not path.exists():
            raise MmadError(f"annotations={path} does not exist; check the path")
    if cfg.run is None:
        return of_files(
            videos=_several(cfg.videos),
            predictions=None if cfg.predictions is None else Path(cfg.predictions).expanduser(),
            annotations=annotations,
            labels=None if cfg.labels is None else Path(cfg.labels).expanduser(),
            on_fault=faults.append,
        )
    from hydra.utils import instantiate

    from mmad.comparison.run import read_run
    from mmad.data.sources.source import OWN_TABLES
    from mmad.formats.videos import SUFFIXES

    folder = Path(cfg.run).expanduser()
    known = read_run(folder) if folder.is_dir() else None
    if known is None:
        raise MmadError(f"run={folder} is no folder of mmad-train; name one, such as runs/train/RUN")
    data: Any = OmegaConf.create(dict(known.config["data"]))
    root = Path(data.root)
    if data.make is not None:
        instantiate(data.make)(root)
    tables = [path for name in OWN_TABLES if (path := root / name).is_file()]
    source = instantiate(data.source, _convert_="all")(root, on_fault=faults.append)
    clips = [clip for clip in source.annotations.clips if source.dealt.get(clip) == data.evaluate_split]
    return of_run(
        folder,
        annotations=source.annotations,
        clips=clips,
        # A run on features has files of another kind.
        videos={clip: path for clip in clips if (path := source.found.get(clip)) and path.suffix.lower() in SUFFIXES},
        taxonomy=source.taxonomy,
        tables=tables,
        more=annotations,
        on_fault=faults.append,
    )


def _several(value: Any) -> list[str]:
    """One value or a list as a list."""
    return [] if value is None else [str(each) for each in value] if isinstance(value, ListConfig) else [str(value)]
