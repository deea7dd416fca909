"""What the README says to type is accepted, and what it links to is there."""

import re
import shlex
from pathlib import Path

import pytest

from mmad.cli.entry import check_arguments
from mmad.cli.report import with_words

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = {
    "mmad-train": "train",
    "mmad-eval": "eval",
    "mmad-pretrain": "pretrain",
    "mmad-extract": "extract",
    "mmad-data": "dataset",
    "mmad-report": "compare",
    "mmad-predict": "predict",
    "mmad-view": "view",
    "mmad-export": "export",
}


def commands() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)]
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("line", commands())
def test_command_is_accepted(line: str) -> None:
    name, *arguments = shlex.split(line)
    if name == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
    elif name in CONFIGS:
        check_arguments(with_words([a for a in arguments if not a.startswith("ckpt=")]), config=CONFIGS[name])
    else:
        assert Path(name).name == "python"
        assert (ROOT / arguments[0]).is_file()


def test_ci_runs_the_test_command() -> None:
    assert "make test" in commands()
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", page.read_text())]
    missing = [link for link in links if link and "://" not in link and not (page.parent / link).exists()]
    assert not missing


PYTHON = [(page, code) for page in PAGES for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)]


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[page.name for page, _ in PYTHON])
def test_python_runs(page: Path, code: str) -> None:
    names: dict[str, object] = {}
    exec(compile(code, str(page), "exec"), names)
    assert names.keys() - {"__builtins__"}, "the example does nothing"


def test_there_is_python_to_run() -> None:
    assert PYTHON
