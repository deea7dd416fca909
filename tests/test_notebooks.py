"""Notebooks run, and print what they were committed with."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output["text"] for output in outputs if output["output_type"] == "stream" and output["name"] == "stdout"]


@pytest.mark.filterwarnings("default")  # those of the machinery that runs a kernel
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_repeats_its_output(path: Path) -> None:
    committed = nbformat.read(path, as_version=4)
    said = printed(committed)
    assert said, "commit the notebook with its outputs"
    again = nbformat.from_dict(committed.copy())
    NotebookClient(
        again, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    ).execute()
    assert printed(again) == said
