"""Says what a data set holds: writes its statistics as numbers, tables, figures and a page."""

import json
from datetime import date
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mmad.cli.entry import shown
from mmad.cli.tasks.source import source_of, training_command
from mmad.cli.versions import versions
from mmad.dataset import describe, findings, tables_of
from mmad.dataset.contents import UNSPLIT, clips_by_split
from mmad.dataset.tables import size
from mmad.formats.whole_file import write_whole
from mmad.page.dataset import write_dataset_page
from mmad.plots.dataset import draw_figures, write_figures
from mmad.tables import to_markdown, write_tables


def stats(cfg: DictConfig) -> None:
    """Says what a data set holds: writes its statistics as numbers, tables, figures and a page."""
    output = Path(cfg.output)
    source = source_of(cfg)
    statistics = describe(clips_by_split(source), taxonomy=source.taxonomy)
    write_whole(output / "statistics.json", (json.dumps(statistics, indent=2, allow_nan=False) + "\n").encode())
    write_tables(output / "tables", tables_of(statistics))
    written = write_figures(output / "figures", draw_figures(statistics))
    page = write_dataset_page(
        output / "statistics.html",
        title=f"Statistics of {Path(cfg.data.root).expanduser().resolve().name}",
        statistics=statistics,
        figures={name: path.read_bytes() for name, paths in written.items() for path in paths if path.suffix == ".svg"},
        about={
            "data": str(cfg.data.root),
            "made": date.today().isoformat(),
            "mmad": " ".join(versions()[key] for key in ("mmad", "revision")),
        },
    )
    print(f"\n{to_markdown(size(statistics))}")
    print("\n\n".join("\n".join(sentences) for sentences in findings(statistics).values()))
    paths = [output / "statistics.json", output / "tables", *([output / "figures"] if written else []), page]
    print("", *(f"  {shown(path)}" for path in paths), sep="\n")
    data = f"data={HydraConfig.get().runtime.choices['data']} data.root={cfg.data.root}"
    command = "mmad-data task=split" if UNSPLIT in statistics["splits"] else training_command()
    print(f"\nNext: open {shown(page)}, then {command} {data}")
