"""`mmad-report`: a table of the settings that a folder holds runs of, beside a paper's numbers."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mmad.cli.entry import run, shown
from mmad.errors import MmadError

if TYPE_CHECKING:
    from mmad.comparison import Arrangement, GroundTruth, Run
    from mmad.comparison.records import Record


def main() -> None:
    """Console script."""
    sys.argv[1:] = with_words(sys.argv[1:])
    run(report, config="compare")


def with_words(arguments: Sequence[str]) -> list[str]:
    """The command line with the paper's tables by name: Hydra takes no number for a choice.

    >>> with_words(["runs=sweep", "table=4"])
    ['runs=sweep', 'table=paper4']
    """
    return [re.sub(r"^table=(\d+)$", r"table=paper\1", argument) for argument in arguments]


def report(cfg: DictConfig) -> None:
    """Collects runs, compares their settings, and writes the table in every form."""
    folders = [Path(cfg.runs).expanduser()] if isinstance(cfg.runs, str) else _below_here(cfg.runs)
    if len(folders) > 1 and cfg.output is None:
        raise MmadError("runs= names several folders, so the table needs one of its own: add output=FOLDER")
    folder = folders[0] if len(folders) == 1 else Path(os.path.commonpath(folders))
    output = folder if cfg.output is None else Path(cfg.output).expanduser()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise MmadError("mmad-report makes one table at a time; leave -m out")
    if output.exists() and not output.is_dir():
        raise MmadError(f"output={output} is a file, expected a folder to write into; name another one")
    if cfg.draws < 0:
        raise MmadError(f"draws={cfg.draws}: expected 0 or more")
    # Imported only now, since `--help` and mistakes shall not wait for torch.
    from mmad.comparison import arrange, check_evaluated_alike, compare, find_runs, group, plan_of
    from mmad.plots.style import FORMATS
    from mmad.tables.settings import on, results, to_text

    if unknown := [name for name in cfg.figures if name not in FORMATS]:
        raise MmadError(f"figures={unknown[0]}: choose from {', '.join(FORMATS)}")
    choice = str(HydraConfig.get().runtime.choices["table"])
    node: Any = OmegaConf.to_container(cfg.table, resolve=True)
    plan = plan_of(choice, node)
    found = [find_runs(each) for each in folders]
    if empty := [each for each, those in zip(folders, found, strict=True) if not those]:
        raise MmadError(f"runs={empty[0]} holds no run of mmad-train; name the folder of a run or a sweep")
    runs = list({run.folder: run for each in found for run in each}.values())
    name, baseline = folder.resolve().name, None if cfg.baseline is None else str(cfg.baseline)
    arrangement = arrange(group(runs), plan, baseline=baseline, title=f"Settings in {name}")
    truths = _Truths()
    finished = [each for row in arrangement.rows for each in row.finished]
    check_evaluated_alike(finished, same=truths.same)
    truth = truths.of(finished[0]) if finished and cfg.draws else None
    record = compare(arrangement, truth, folder=folder, draws=cfg.draws)
    paths = _write(record, folder=folder, output=output, formats=list(cfg.figures))
    print(f"\n{record['title']}\n{on(record)}\n\n{to_text(results(record))}")
    for sentence in (*record["notes"], *record["meaning"]):
        print(f"note: {sentence}")
    print("", *(f"  {shown(path)}" for path in paths), sep="\n")
    print(f"\nNext: {_next(arrangement, page=shown(output / 'table.html'))}")


def _below_here(names: Sequence[str]) -> list[Path]:
    """Several folders of runs; the table shall not tell where the working folder lies."""
    folders = [Path(os.path.normpath(name)) for name in names]
    if not folders:
        raise MmadError("runs=[] names no folder; give that of a run or a sweep")
    for each in folders:
        if each.is_absolute() or each.parts[:1] in ((), ("..",)):
            raise MmadError(
                f"runs= names several folders, of which {each} is not below the working folder; go to one above all."
            )
    return folders


class _Truths:
    """Clips and annotations by what configures them, each read once."""

    def __init__(self) -> None:
        self._read: dict[str, GroundTruth | MmadError] = {}

    def of(self, run: "Run") -> "GroundTruth | MmadError":
        """What a run was evaluated on, or why it cannot be read."""
        data = run.config["data"]
        key = json.dumps([data.get(name) for name in ("root", "source", "make", "evaluate_split")], default=str)
        if key not in self._read:
            self._read[key] = _ground_truth(data)
        return self._read[key]

    def same(self, one: "Run", other: "Run") -> bool:
        """Whether two runs were evaluated on the same clips and annotations, as far as these can be read."""
        first, second = self.of(one), self.of(other)
        return not isinstance(first, MmadError) and not isinstance(second, MmadError) and first.same(second)


def _ground_truth(settings: Mapping[str, Any]) -> "GroundTruth | MmadError":
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    from mmad.comparison import GroundTruth

    try:
        # Clips that the project draws are not drawn for this.
        data = instantiate(OmegaConf.create(dict(settings)), _convert_="all")
        return GroundTruth(data.clips(data.evaluate_split), data.taxonomy)
    except MmadError as error:
        return error
    except (InstantiationException, OSError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return cause if isinstance(cause, MmadError) else MmadError(f"the runs' data cannot be read ({cause})")


def _write(record: "Record", *, folder: Path, output: Path, formats: list[str]) -> list[Path]:
    """Writes the table in every form and gives the files."""
    from mmad.cli.versions import versions
    from mmad.formats.whole_file import write_whole
    from mmad.page.settings import write_settings_page
    from mmad.plots import style
    from mmad.plots.settings import settings_figure
    from mmad.tables import to_csv
    from mmad.tables.settings import everything, to_document, to_floats

    texts = {
        "table.md": to_document(record),
        "table.csv": to_csv(everything(record)),
        "table.tex": to_floats(record),
        "table.json": json.dumps(record, indent=2, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        write_whole(output / name, text.encode())
    averages = {row["name"]: row["reached"]["avg"]["avg"] for row in record["rows"] if row["reached"] is not None}
    figures = []
    if averages and formats:
        figure = settings_figure(averages, title=f"{record['title']}: AVG, mean of action and body level")
        figures = style.save(figure, output / "table", formats=formats)
    for path in (output / f"table.{suffix}" for suffix in style.FORMATS):
        if path not in figures:
            path.unlink(missing_ok=True)  # of an earlier table
    reports = {}
    for each in record["runs"]:
        if (page := folder / each["folder"] / "report.html").is_file():
            reports[each["folder"]] = _address(page, output)
    page = write_settings_page(
        output / "table.html",
        record,
        figure=next((path for kind in (".svg", ".png") for path in figures if path.suffix == kind), None),
        reports=reports,
        about={
            "runs": folder.resolve().name,
            "made": f"{datetime.now():%Y-%m-%d %H:%M}",
            "mmad": " ".join(versions()[key] for key in ("mmad", "revision")),
        },
    )
    return [*(output / name for name in texts), *figures, page]


def _address(page: Path, output: Path) -> str:
    """Where a page in `output` finds another; relative, so that a folder that holds both can be moved."""
    try:
        return quote(Path(os.path.relpath(page.resolve(), output.resolve())).as_posix())
    except ValueError:  # another drive
        return page.resolve().as_uri()


def _next(arrangement: "Arrangement", *, page: str) -> str:

    unfinished = [run for row in arrangement.rows if row.setting is not None for run in row.setting.unfinished]
    begun = [run.folder for run in unfinished if (run.folder / "checkpoints" / "last.ckpt").is_file()]
    if not begun:
        return f"open {page}"
    return f"open {page}, or mmad-train ckpt={shown(begun[0])} to go on with a run that is not finished"
