"""`mmad-report` on folders of runs: what it writes, says and refuses."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from commands import Command
from made import write_data, write_run
from mmad.cli.entry import check_arguments, conf_dir
from mmad.cli.report import with_words
from mmad.comparison import plan_of

TABLES = sorted(path.stem for path in (conf_dir() / "table").glob("*.yaml"))
LIGHT = ["draws=20", "figures=[png]"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), clips=6)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A sweep of two adapters and two seeds, one of which failed, and one that another table is about."""
    folder = tmp_path_factory.mktemp("made") / "sweep"
    for adapter, spread in (("dsta", 0.2), ("tia", 0.9)):
        for seed in range(2):
            state = "failed" if (adapter, seed) == ("tia", 1) else "finished"
            name = f"adapter={adapter},seed={seed}"
            write_run(folder / name, f"adapter={adapter}", root=root, seed=seed, spread=spread, state=state)
    return folder


@pytest.fixture
def sweep(made: Path, tmp_path: Path) -> Path:
    """A copy of it in the folder where commands run."""
    return shutil.copytree(made, tmp_path / "sweep")


def record(folder: str = "sweep") -> dict:
    return json.loads(Path(folder, "table.json").read_text())


def test_a_folder_gets_a_table_in_every_form(command: Command, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mmad-report", "runs=sweep", "draws=20") == 0
    told = capsys.readouterr().out
    names = ["table.md", "table.csv", "table.tex", "table.json", "table.png", "table.svg", "table.pdf", "table.html"]
    assert [line.strip() for line in told.splitlines() if line.startswith("  sweep/")] == [f"sweep/{n}" for n in names]
    for name in names:
        assert (sweep / name).stat().st_size > 300, name
    assert told.splitlines()[-1] == "Next: open sweep/table.html"
    rows = record()["rows"]
    assert [row["name"] for row in rows] == ["adapter=dsta", "adapter=tia"]
    mean = rows[0]["reached"]["avg"]["avg"]["mean"]
    runs = [json.loads(path.read_text())["avg"] for path in sorted(sweep.glob("adapter=dsta*/metrics.json"))]
    assert mean == pytest.approx(sum(runs) / 2)
    assert f"{mean:.2f} [" in told
    assert f"{mean:.2f} [" in (sweep / "table.md").read_text()
    assert f"{mean:.2f} [" in (sweep / "table.html").read_text()
    (first, _) = csv.DictReader((sweep / "table.csv").read_text().splitlines())
    assert float(first["AVG (%)"]) == mean
    assert "note: adapter=tia: seed 1 failed: The disk is full; make room (adapter=tia,seed=1).\n" in told
    assert (sweep / "table.html").read_text().count("data:image/svg+xml") == 1


def test_a_report_of_the_same_runs_is_the_same(command: Command, sweep: Path) -> None:
    """What the command writes beside the runs is none of them."""
    texts = []
    for _ in range(2):
        assert command("mmad-report", "runs=sweep", *LIGHT) == 0
        texts.append([(sweep / f"table.{kind}").read_bytes() for kind in ("md", "csv", "tex", "json", "png")])
    assert texts[0] == texts[1]


def test_the_papers_table_by_its_number(command: Command, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mmad-report", "runs=sweep", "table=4", "output=out", *LIGHT) == 0
    told = capsys.readouterr().out
    table = record("out")
    assert [row["name"] for row in table["rows"]] == ["frozen", "full", "standard", "TIA", "DSTA"]
    assert [len(row["seeds"]) for row in table["rows"]] == [0, 0, 0, 1, 2]
    assert [row["paper"]["action"]["avg"] for row in table["rows"]] == [10.6, 15.4, 15.87, 16.25, 18.16]
    assert table["baseline"] == "DSTA"
    assert table["rows"][3]["contrast"]["avg"]["difference"] < 0
    assert "note: No run yet: frozen; full; standard.\n" in told
    assert not (sweep / "table.md").exists()
    page = Path("out/table.html").read_text()
    assert '<a href="../sweep/adapter%3Ddsta%2Cseed%3D0/report.html">' in page
    assert page.count("report.html") == 3


def test_another_baseline(command: Command, sweep: Path) -> None:
    assert command("mmad-report", "runs=sweep", "table=paper4", "baseline=tia", *LIGHT) == 0
    assert record()["baseline"] == "TIA"
    assert [row["contrast"] is None for row in record()["rows"]] == [True, True, True, True, False]


def test_ground_truth_that_is_gone_leaves_a_table_without_intervals(
    command: Command, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(root, tmp_path / "data")
    write_run(tmp_path / "sweep" / "0", root=data)
    shutil.rmtree(data)
    assert command("mmad-report", "runs=sweep", *LIGHT) == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: No intervals")]
    assert f"{data} is not a folder" in note
    assert record()["rows"][0]["reached"]["avg"]["avg"]["interval"] is None


def test_data_that_cannot_be_built_any_more_leave_a_table_without_intervals(
    command: Command, sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sweep.glob("*/config.yaml"):
        config = OmegaConf.load(path)
        config.data.forgotten = True
        OmegaConf.save(config, path)
    assert command("mmad-report", "runs=sweep", *LIGHT) == 0
    assert "note: No intervals and no p: the runs' data cannot be read (" in capsys.readouterr().out


def test_the_same_data_in_two_places_are_compared(command: Command, tmp_path: Path, root: Path) -> None:
    moved = shutil.copytree(root, tmp_path / "moved")
    write_run(tmp_path / "sweep" / "0", "adapter=dsta", root=root)
    write_run(tmp_path / "sweep" / "1", "adapter=tia", root=moved)
    assert command("mmad-report", "runs=sweep", "table=paper4", *LIGHT) == 0
    assert record()["rows"][3]["contrast"]["avg"]["p"] is not None


def test_other_data_are_refused(
    command: Command, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many clips and instances, but others."""
    write_run(tmp_path / "sweep" / "0", "adapter=dsta", root=root)
    write_run(tmp_path / "sweep" / "1", "adapter=tia", root=write_data(tmp_path / "others", clips=6, seed=9))
    assert command("mmad-report", "runs=sweep", *LIGHT) == 2
    assert "were not evaluated alike: data.root is" in capsys.readouterr().err
    assert not Path("sweep/table.json").exists()


def test_runs_that_are_not_finished_yet_make_an_empty_table(
    command: Command, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "sweep" / "0", root=root, state="epoch 2")
    assert command("mmad-report", "runs=sweep", *LIGHT) == 0
    told = capsys.readouterr().out
    assert "seed 0 stopped after epoch 2 of 20, or still running (0)." in told
    assert told.rstrip().endswith(
        "open sweep/table.html, or mmad-train ckpt=sweep/0 to go on with a run that is not finished"
    )
    assert not Path("sweep/table.png").exists()


def test_figures_of_an_earlier_table_do_not_stay(command: Command, sweep: Path) -> None:
    assert command("mmad-report", "runs=sweep", "draws=0", "figures=[png,svg]") == 0
    assert (sweep / "table.svg").exists()
    assert command("mmad-report", "runs=sweep", "draws=0", "figures=[png]") == 0
    assert [path.name for path in sweep.glob("table.*g")] == ["table.png"]
    assert "data:image/png" in (sweep / "table.html").read_text()


def test_runs_of_several_folders_make_one_table(command: Command, sweep: Path) -> None:
    for adapter in ("dsta", "tia"):
        Path(adapter).mkdir()
        for run in sweep.glob(f"adapter={adapter}*"):
            shutil.move(run, Path(adapter) / run.name)
    assert command("mmad-report", "runs=[dsta,tia,./tia]", "output=out", *LIGHT) == 0
    assert [run["folder"].split("/")[0] for run in record("out")["runs"]] == ["dsta", "dsta", "tia", "tia"]


def test_the_page_does_not_tell_the_users_folders(command: Command, sweep: Path, tmp_path: Path) -> None:
    assert command("mmad-report", f"runs={sweep}", f"output={tmp_path / 'out'}", *LIGHT) == 0
    assert str(tmp_path) not in Path("out/table.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs=nowhere"], "runs=nowhere is not a folder"),
        (["runs=empty"], "runs=empty holds no run of mmad-train; name the folder of a run or a sweep"),
        (["runs=[]"], "runs=[] names no folder"),
        (["runs=[sweep,../other]", "output=out"], "../other is not below the working folder"),
        (["runs=[sweep,empty]"], "runs= names several folders, so the table needs one of its own: add output=FOLDER"),
        (["runs=sweep", "output=taken"], "output=taken is a file"),
        (["runs=sweep", "draws=-1"], "draws=-1: expected 0 or more"),
        (["runs=sweep", "figures=[gif]"], "figures=gif: choose from png, svg, pdf"),
        (
            ["runs=sweep", "baseline=tai"],
            "baseline=tai: no row with a finished run is called so; choose one of adapter=",
        ),
        (["runs=sweep", "baseline=64"], "baseline=64: no row with a finished run is called so"),
        (["runs=sweep", "table=7"], "Unknown table=paper7: there are none, paper3"),
        (["runs=sweep", "adapter=dsta"], "mmad-report does not take adapter=dsta, which is for mmad-train"),
        ([], "This needs a value for runs: add runs=..."),
    ],
)
def test_faults_are_one_sentence(
    command: Command, sweep: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("taken").write_text("")
    Path("empty").mkdir()
    assert command("mmad-report", *arguments) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert message in told[0]
    assert not (sweep / "table.md").exists()


def test_a_sweep_of_reports_is_refused(command: Command, sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("mmad-report", "-m", "runs=sweep", "table=paper3,paper4") == 2
    assert "mmad-report makes one table at a time; leave -m out" in capsys.readouterr().err


def test_help_shows_the_tables_and_does_not_wait_for_torch() -> None:
    code = (
        "import sys; sys.argv = ['mmad-report', '--help']; import mmad.cli.report as r\n"
        "try: r.main()\nfinally: print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "mmad-report runs=runs/train-sweep/SWEEP table=paper4" in told
    assert "table: none, paper3, paper4, paper5, resolution" in told
    assert told.rstrip().endswith("False")


# The tables that come with it -----------------------------------------------------------------------------------------


def test_a_number_of_the_papers_tables_is_a_name() -> None:
    assert with_words(["runs=4", "table=4", "table=none"]) == ["runs=4", "table=paper4", "table=none"]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_composes_and_its_baseline_is_a_row(name: str) -> None:
    check_arguments(["runs=x", f"table={name}"], config="compare")
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        node = OmegaConf.to_container(compose("compare", overrides=["runs=x", f"table={name}"]).table)
    assert isinstance(node, dict)
    plan = plan_of(name, node)  # type: ignore[arg-type]
    assert (plan is None) == (name == "none")
    if plan is None:
        return
    assert node["baseline"] in [row.name for row in plan.rows]
    assert not node.keys() - {"title", "source", "baseline", "show_empty", "notes", "rows"}
    for row in node["rows"]:
        assert not row.keys() - {"name", "match", "paper"}
    for row in plan.rows:
        if "avg" in row.paper and "action" in row.paper and "avg" in row.paper["action"]:
            both = (row.paper["action"]["avg"] + row.paper["body"]["avg"]) / 2
            printed_otherwise = row.name == "VideoMamba (VideoMAE V2-g)"
            assert (abs(both - row.paper["avg"]) < 0.011) != printed_otherwise, row.name


@pytest.mark.parametrize("name", [name for name in TABLES if name != "none"])
def test_every_match_is_a_choice_or_an_option_that_there_is(name: str) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        known = compose("train")
    node = OmegaConf.load(conf_dir() / "table" / f"{name}.yaml")
    matches = [(key, wanted) for row in node.rows for key, wanted in row.get("match", {}).items()]
    assert matches
    for key, wanted in matches:
        if (conf_dir() / key).is_dir():
            for choice in [wanted] if isinstance(wanted, str) else wanted:
                assert (conf_dir() / key / f"{choice}.yaml").is_file(), f"{key}={choice}"
        else:
            assert OmegaConf.select(known, key) is not None, key
