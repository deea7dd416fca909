"""`mmad-view` as a command: what it refuses, what it shows of a run, and what a kill leaves."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

import made
from mmad.cli import view
from mmad.formats.boris import read_boris
from mmad.formats.csv_marks import read_csv_marks, write_csv_marks
from mmad.formats.elan import read_elan
from mmad.formats.json_marks import read_json_marks
from mmad.formats.labels import write_taxonomy
from mmad.formats.marks import Mark
from mmad.formats.predictions import write_predictions
from mmad.taxonomy import MMA52
from mmad.viewer.project import Project
from mmad.viewer.server import Server
from numbered import write_numbered
from viewing import box

Run = Callable[..., int]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line in an empty folder and gives its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["mmad-view", *arguments])
        try:
            view.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Project]:
    """The projects that a command would serve; it ends at once."""
    projects: list[Project] = []
    made_app = sys.modules["mmad.viewer.server"].make_app

    def make_app(project: Project, *arguments: Any, **options: Any) -> Any:
        projects.append(project)
        return made_app(project, *arguments, **options)

    monkeypatch.setattr("mmad.viewer.server.make_app", make_app)
    monkeypatch.setattr(Server, "run", lambda self, sockets: self.ready())
    return projects


def table(path: Path) -> Path:
    write_csv_marks(path, [Mark("one", 0.5, 1.5, "nodding"), Mark("one", 1.0, 2.5, "waving")])
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Pass run=FOLDER"),
        (["run=here"], "no folder of mmad-train"),
        (["run=here", "videos=x.mp4"], "does not go with run="),
        (["videos=nothing.mp4"], "there is no video"),
        (["annotations=nothing.csv"], "does not exist"),
        (["predictions=nothing.json"], "does not exist"),
        (["annotations=here.csv", "port=70000"], "expected 0 to 65535"),
        (["annotations=here.csv", "output=here.csv"], "is an input"),
        (["annotations=here.csv", "output=notes.txt"], "does not end in .csv"),
        (["annotation=here.csv"], "did you mean annotations"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    table(tmp_path / "here.csv")
    (tmp_path / "notes.txt").write_text("notes")
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("error: ")
    assert "Traceback" not in error


def test_help_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['mmad-view', '--help']\n"
        "from mmad.cli.view import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'starlette' not in sys.modules"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "mmad-view run=runs/train/RUN" in told.stdout


def test_a_run_shows_its_truth_and_its_predictions(
    command: Run, shown: list[Project], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.write_data(tmp_path / "data", clips=2)
    made.write_run(tmp_path / "run", root=root)
    table(tmp_path / "more.csv")
    assert command(f"run={tmp_path / 'run'}", "annotations=more.csv", "browser=false") == 0
    (project,) = shown
    assert [(layer.name, layer.kind) for layer in project.layers] == [
        ("ground truth", "truth"),
        ("more.csv", "annotation"),
        ("predictions", "prediction"),
    ]
    assert project.clips == ["001_01_0000_A", "002_01_0001_A"]
    assert set(project.videos) == set(project.clips)
    assert [len(project.layers[0].marks[clip]) for clip in project.clips] == [3, 3]
    assert [len(project.layers[2].marks[clip]) for clip in project.clips] == [4, 4]
    assert project.title == "run"
    read = {path.resolve().relative_to(tmp_path).as_posix() for path in project.inputs}
    assert {"data/annotations/val.csv", "run/predictions.json", "run/diagnosis.json", "more.csv"} <= read
    assert "data/labels.csv" not in read
    words = capsys.readouterr().out
    assert re.search(r"http://127\.0\.0\.1:\d+/[\w-]{32,}/\?token=[\w-]{32,}", words)
    assert "Nothing was corrected" in words
    (tmp_path / "run" / "predictions.json").unlink()
    assert command(f"run={tmp_path / 'run'}") == 2


def test_the_page_is_opened_and_faults_are_told(
    command: Run,
    shown: list[Project],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: dict[str, str] = {}

    def look(address: str) -> None:
        opened[address] = Path(url2pathname(urlsplit(address).path)).read_text()

    monkeypatch.setattr("webbrowser.open", look)
    rows = "".join(f"one,{n},{n},nodding\n" for n in range(8))
    (tmp_path / "faulty.csv").write_text(f"clip,start,end,label\none,0,1,nodding\n{rows}")
    assert command("annotations=[faulty.csv]", "output=mine.csv") == 0
    told = capsys.readouterr()
    start = re.search(r"http://\S+", told.out)
    ((address, content),) = opened.items()
    assert address.startswith("file://")  # what every user can see
    assert start is not None
    assert start[0] in content
    assert not list(tmp_path.glob("*.html"))
    assert told.err.count("warning:") == 6
    assert "3 more rows" in told.err
    assert "mine.csv" in told.out
    assert len(shown[0].layers[0].marks["one"]) == 1


def test_the_data_of_a_run_are_inputs(
    command: Run, shown: list[Project], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the annotations nor the classes may be the table, whatever lies beside them."""
    root = tmp_path / "data"
    (root / "test").mkdir(parents=True)
    for number in range(2):
        write_numbered(root / "test" / f"clip{number}.mp4", frames=20, fps=10, width=32, height=32)
    marks = [Mark(f"clip{number}", 0.5, 1.5, "nodding") for number in range(2)]
    write_csv_marks(root / "annotations.csv", marks)
    write_taxonomy(root / "labels.csv", MMA52)
    made.write_run(tmp_path / "run", "data=folder", root=root, state="epoch 1")
    write_predictions(tmp_path / "run" / "predictions.json", {}, taxonomy=MMA52)
    assert command("run=run", "browser=false") == 0, capsys.readouterr().err
    for name in ("annotations", "labels"):
        (root / f"{name}.journal.jsonl").write_text("")
        assert command("run=run", f"output=data/{name}.csv", "browser=false") == 2
        assert f"{name}.csv is an input" in capsys.readouterr().err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Starts the command as a process of its own; gives it and its address."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", "from mmad.cli.view import main; main()", *arguments, "browser=false"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        running.append(process)
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if found := re.search(r"http://\S+", line):
                return process, found[0]
        raise AssertionError("".join(seen))

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def test_a_kill_between_an_edit_and_an_export_loses_nothing(
    browser: Any,
    start: Callable[..., tuple[subprocess.Popen[str], str]],
    command: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Drags, kills, edits while the server is gone, starts again with the same command, and exports."""
    table(tmp_path / "marks.csv")
    before = (tmp_path / "marks.csv").read_bytes()
    process, address = start("annotations=marks.csv", "output=out")
    assert command("annotations=marks.csv", "output=out", "browser=false") == 2
    assert "another process is at work there" in capsys.readouterr().err
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(address)
    page.locator("#start button").first.click()
    page.locator("#lanes").focus()
    page.keyboard.press("n")
    handle = box(page.locator("#lanes .bar.chosen .handle.end"))
    page.mouse.move(handle["x"] + 3, handle["y"] + 5)
    page.mouse.down()
    page.mouse.move(handle["x"] + 103, handle["y"] + 5, steps=5)
    page.mouse.up()
    page.locator("#saved.fine").wait_for()
    process.send_signal(signal.SIGKILL)
    process.wait()
    dragged = float(page.input_value("#field-end"))
    assert dragged > 1.6
    page.keyboard.press("n")
    page.keyboard.press("Delete")
    page.locator("#gone", has_text="1 edit wait").wait_for()

    again, same = start("annotations=marks.csv", "output=out")
    assert same == address
    page.locator("#saved.fine").wait_for()
    page.keyboard.press("x")
    readers: dict[str, tuple[str, Callable[[Path], Any]]] = {
        "csv": ("one.csv", read_csv_marks),
        "elan": ("one.eaf", lambda path: read_elan(path, taxonomy=MMA52)),
        "boris": ("one.boris", read_boris),
        "boris_table": ("one.events.csv", read_boris),
        "json": ("one.json", read_json_marks),
    }
    for to, (name, read) in readers.items():
        page.locator(f"[data-to={to}]").click()
        page.locator("#export-dialog code", has_text=name).wait_for()
        (mark,) = read(tmp_path / "out" / name).marks
        assert (mark.clip, mark.start, mark.label) == ("one", 0.5, "nodding")
        assert mark.end == pytest.approx(dragged, abs=0.001)
    context.close()
    again.send_signal(signal.SIGINT)
    words, _ = again.communicate(timeout=30)
    assert "out/corrections.csv" in words
    assert again.returncode == 0
    (mark,) = read_csv_marks(tmp_path / "out" / "corrections.csv").marks
    assert mark.end == pytest.approx(dragged, abs=0.001)
    assert (tmp_path / "marks.csv").read_bytes() == before
