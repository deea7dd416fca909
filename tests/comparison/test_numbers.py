"""Settings are compared as `repeated` compares them; what is missing or special is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from made import write_data, write_run
from mmad.comparison import Arrangement, GroundTruth, arrange, compare, find_runs, group, plan_of
from mmad.comparison.records import Record
from mmad.diagnosis.repeats import repeated
from mmad.errors import MmadError
from mmad.formats.mma52 import read_mma52
from mmad.formats.predictions import read_predictions
from mmad.matching import Rows
from mmad.taxonomy import MMA52

DRAWS = 60
SPREADS = {"frozen": 0.9, "tia": 0.5, "dsta": 0.3}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), clips=12, people=6)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Three settings, of three, two and one finished runs."""
    folder = tmp_path_factory.mktemp("runs")
    for adapter, seeds in (("frozen", 3), ("tia", 2), ("dsta", 1)):
        for seed in range(seeds):
            write_run(folder / f"{adapter}_{seed}", f"adapter={adapter}", root=root, seed=seed, spread=SPREADS[adapter])
    write_run(folder / "tia_2", "adapter=tia", root=root, seed=2, state="epoch 3")
    write_run(folder / "dsta_1", "adapter=dsta", root=root, seed=1, state="failed")
    return folder


def truth_of(root: Path) -> GroundTruth:
    return GroundTruth(read_mma52(root, "val"), MMA52)


def arranged(folder: Path, plan: dict | None = None) -> Arrangement:
    return arrange(group(find_runs(folder)), None if plan is None else plan_of("mine", plan), title="Runs")


def compared(folder: Path, root: Path, *, draws: int = DRAWS, plan: dict | None = None) -> Record:
    return compare(arranged(folder, plan), truth_of(root), folder=folder, draws=draws)


def metrics(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.parent.glob(f"{folder.name}_*/metrics.json"))]


def row(record: Record, name: str) -> dict:
    (found,) = [dict(each) for each in record["rows"] if each["name"] == name]
    return found


def test_means_and_deviations_are_those_of_the_runs_metrics(runs: Path, root: Path) -> None:
    record = compared(runs, root)
    told = metrics(runs / "frozen")
    frozen = row(record, "adapter=frozen")["reached"]
    for level in ("action", "body"):
        for threshold in told[0][level]["map"]:
            values = [each[level]["map"][threshold] for each in told]
            assert frozen["map"][level][threshold]["mean"] == pytest.approx(np.mean(values))
            assert frozen["map"][level][threshold]["deviation"] == pytest.approx(np.std(values, ddof=1))
        assert frozen["avg"][level]["runs"] == pytest.approx([each[level]["avg"] for each in told])
    assert frozen["avg"]["avg"]["deviation"] == pytest.approx(np.std([each["avg"] for each in told], ddof=1))
    dsta = row(record, "adapter=dsta")["reached"]
    assert dsta["avg"]["avg"]["deviation"] is None
    assert dsta["map"]["body"]["0.5"]["deviation"] is None


def test_intervals_differences_and_p_are_those_of_repeated_on_all_settings(runs: Path, root: Path) -> None:
    record = compared(runs, root)
    clips = read_mma52(root, "val")
    settings = {}
    for adapter in SPREADS:
        found = [read_predictions(path, taxonomy=MMA52) for path in sorted(runs.glob(f"{adapter}_*/predictions.json"))]
        settings[f"adapter={adapter}"] = [Rows.of([each[clip.id] for clip in clips]) for each in found]
    reached, contrasts = repeated(
        settings,
        Rows.of([clip.segments() for clip in clips]),
        taxonomy=MMA52,
        subjects=[clip.subject for clip in clips],
        baseline="adapter=dsta",
        draws=DRAWS,
    )
    assert {name: row(record, name)["reached"]["avg"] for name in settings} == reached
    assert {name: row(record, name)["contrast"] for name in settings} == {**contrasts, "adapter=dsta": None}
    assert contrasts["adapter=frozen"]["avg"]["p"] is not None
    assert (record["unit"], record["units"], record["draws"]) == ("subject", 6, DRAWS)
    assert (record["split"], record["clips"], record["instances"]) == ("val", 12, 36)


def test_what_is_missing_is_said(runs: Path, root: Path) -> None:
    record = compared(runs, root)
    assert "adapter=dsta: seed 1 failed: The disk is full; make room (dsta_1); seed 2 has no run." in record["notes"]
    assert "adapter=tia: seed 2 stopped after epoch 3 of 20, or still running (tia_2)." in record["notes"]
    assert "adapter=dsta: one run, so how far trainings vary is not in its interval." in record["notes"]
    assert not any(note.startswith("adapter=frozen") for note in record["notes"])
    states = {each["folder"]: (each["state"].partition(":")[0], each["counts"]) for each in record["runs"]}
    assert (len(states), states["dsta_0"], states["dsta_1"]) == (8, ("finished", True), ("failed", False))
    assert row(record, "adapter=tia")["seeds"] == [0, 1]


def test_costs_are_means_and_the_largest_memory(runs: Path, root: Path) -> None:
    cost = row(compared(runs, root, draws=0), "adapter=frozen")["cost"]
    assert cost["seconds"] == pytest.approx(101)
    assert cost["seconds_per_epoch"] == pytest.approx(5.05)
    assert cost["peak_memory"] == 3 * 2**30 + 2
    assert (cost["trained_in_backbone"], cost["epochs"], cost["devices"]) == (2**20 + 2**19, 20, ["CPU"])


def test_runs_without_costs_count_all_the_same(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "a", root=root, state="untold")
    (only,) = compared(tmp_path, root)["rows"]
    assert only["cost"] is None
    assert only["reached"] is not None


def test_times_of_different_devices_are_said_to_be_so(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", root=root, seed=0, device="H100")
    write_run(tmp_path / "1", root=root, seed=1)
    assert (
        "Time and memory are of different devices: CPU x 1 and H100 x 1." in compared(tmp_path, root, draws=0)["notes"]
    )


def test_no_draws_leave_means_and_differences(runs: Path, root: Path) -> None:
    with_draws, without = compared(runs, root), compared(runs, root, draws=0)
    assert without["unit"] is None
    for one, other in zip(with_draws["rows"], without["rows"], strict=True):
        assert one["reached"] is not None
        assert other["reached"] is not None
        assert other["reached"]["avg"]["avg"]["interval"] is None
        assert other["reached"]["avg"]["avg"]["mean"] == pytest.approx(one["reached"]["avg"]["avg"]["mean"])
        if one["contrast"] is not None and other["contrast"] is not None:
            assert other["contrast"]["avg"]["difference"] == pytest.approx(one["contrast"]["avg"]["difference"])
            assert other["contrast"]["avg"]["p"] is None
    assert not any("interval" in sentence for sentence in (*without["notes"], *without["meaning"]))


def test_intervals_that_cannot_be_are_explained(runs: Path, root: Path, tmp_path: Path) -> None:
    def reason(folder: Path, truth: GroundTruth | MmadError) -> str:
        record = compare(arranged(folder), truth, folder=folder, draws=DRAWS)
        assert all(
            each["reached"] is None or each["reached"]["avg"]["avg"]["interval"] is None for each in record["rows"]
        )
        (note,) = [note for note in record["notes"] if note.startswith("No intervals and no p: ")]
        return note.removeprefix("No intervals and no p: ")

    assert reason(runs, MmadError("x is not a folder")) == "x is not a folder."
    copied = shutil.copytree(runs, tmp_path / "runs")
    (copied / "tia_1" / "predictions.json").unlink()
    assert "tia_1/predictions.json does not exist" in reason(copied, truth_of(root))
    other = write_data(tmp_path / "more", clips=12, people=6, seed=5)
    assert "with the annotations as they are now; evaluate its checkpoint anew" in reason(runs, truth_of(other))
    fewer = write_data(tmp_path / "fewer", clips=6)
    assert "the ground truth lacks (6 of 12 clips)" in reason(runs, truth_of(fewer))
    alone = write_data(tmp_path / "alone", clips=2, people=1)
    write_run(tmp_path / "one" / "0", root=alone)
    assert reason(tmp_path / "one", truth_of(alone)) == "all clips show one person."


def test_a_seed_that_was_run_twice_counts_once_and_is_named(tmp_path: Path, root: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, root=root)
    record = compared(tmp_path, root, draws=0)
    assert record["rows"][0]["seeds"] == [0]
    newest, other = sorted(record["runs"], key=lambda each: not each["counts"])
    assert (newest["state"], other["state"], other["counts"]) == ("finished", "older", False)
    (note,) = record["notes"]
    assert f"seed 0 was run more than once; {newest['folder']} counts" in note
    assert f"{other['folder']} does not" in note


def test_the_papers_numbers_are_not_to_be_compared_with_other_data(tmp_path: Path, root: Path) -> None:
    plan = {
        "title": "Mine",
        "source": "A paper, Table 1",
        "rows": [{"name": "DSTA", "match": {"adapter": "dsta"}, "paper": {"avg": 20.0}}],
    }
    write_run(tmp_path / "same" / "0", root=root)
    assert "The paper's numbers: A paper, Table 1." in compared(tmp_path / "same", root, draws=0, plan=plan)["notes"]
    write_run(tmp_path / "other" / "0", "data=demo", "data.evaluate_split=val", root=root)
    (note,) = compared(tmp_path / "other", root, draws=0, plan=plan)["notes"]
    assert note.endswith("The runs here are on data=demo, so the two are not to be compared with each other.")


def test_without_any_finished_run_there_is_an_empty_row(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", root=root, state="failed")
    record = compare(arranged(tmp_path), None, folder=tmp_path, draws=DRAWS)
    assert (record["baseline"], record["split"], record["rows"][0]["reached"]) == (None, None, None)
    assert "failed: The disk is full; make room (0)" in record["notes"][0]


def test_many_comparisons_are_warned_of(tmp_path: Path, root: Path) -> None:
    adapters = ("dsta", "frozen", "full", "tia")
    for adapter in adapters[:3]:
        write_run(tmp_path / adapter, f"adapter={adapter}", root=root)
    sentence = "3 rows are compared with one, so one p below 0.05 would be no surprise."
    assert sentence not in compared(tmp_path, root)["meaning"]
    write_run(tmp_path / adapters[3], f"adapter={adapters[3]}", root=root)
    assert sentence in compared(tmp_path, root)["meaning"]


def test_data_are_the_same_wherever_their_videos_are(root: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(root, tmp_path / "moved")
    assert truth_of(root).same(truth_of(moved))
    text = (moved / "annotations" / "val.csv").read_text().splitlines()
    (moved / "annotations" / "val.csv").write_text("\n".join(text[:-1]) + "\n")
    assert not truth_of(root).same(truth_of(moved))
