"""`mmad-eval` on files: what it writes, compares, refuses, and how it takes other data sets."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from commands import Command
from mmad.formats.predictions import read_predictions
from mmad.taxonomy import MMA52

LIGHT = ["report.draws=20", "report.figures=[]", "output=out"]


@pytest.fixture(scope="module")
def files(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two predictions of the drawn test split; the ground truth, moved a little or much."""
    folder = tmp_path_factory.mktemp("files")
    rows = list(csv.DictReader((drawn / "annotations" / "test.csv").read_text().splitlines()))
    for name, seconds in (("good.json", 0.1), ("poor.json", 1.0)):
        rng = np.random.default_rng(0)
        results: dict[str, list] = {}
        for row in rows:
            times = np.array([int(row["start_frame"]), int(row["end_frame"])]) / float(row["fps"])
            start, end = np.sort(np.clip(times + rng.normal(0, seconds, 2), 0, int(row["total_frames"]) / 16)).tolist()
            label = MMA52.actions[int(row["class"])]
            results.setdefault(row["video_id"], []).append(
                {"label": label, "segment": [start, end], "score": rng.random()}
            )
        (folder / name).write_text(json.dumps({"results": results}))
    return folder


def evaluate(command: Command, files: Path, drawn: Path, *more: str, predictions: str = "good.json") -> int:
    annotations = drawn / "annotations" / "test.csv"
    return command("mmad-eval", f"predictions={files / predictions}", f"annotations={annotations}", *LIGHT, *more)


def metrics() -> dict:
    return json.loads(Path("out/metrics.json").read_text())


def test_a_file_gets_numbers_tables_figures_and_a_page(
    command: Command, files: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(command, files, drawn, "report.figures=[png]", f"videos={drawn}/test") == 0
    told = capsys.readouterr().out
    numbers = metrics()
    assert f"{numbers['avg']:.2f}" in told
    assert "95 % interval over 2 subjects" in told
    assert "Actions at tIoU 0.5" in told
    assert numbers["unit"] == "subject"
    for name in ("tables/detection_map.csv", "tables/tables.md", "figures/false_positives.png", "diagnosis.json"):
        assert Path("out", name).stat().st_size > 0
    assert not list(Path("out/figures").glob("*.svg"))
    page = Path("out/report.html").read_text()
    clip = next(iter(json.loads((files / "good.json").read_text())["results"]))
    assert f"/test/{clip}.mp4" in page


@pytest.mark.parametrize(("videos", "expected"), [("none", False), ("embed", True)])
def test_videos_are_embedded_only_when_asked(
    command: Command, files: Path, drawn: Path, videos: str, expected: bool
) -> None:
    assert evaluate(command, files, drawn, f"videos={drawn}/test", f"report.videos={videos}") == 0
    page = Path("out/report.html").read_text()
    assert ("data:video/mp4;base64," in page) == expected
    assert ".mp4" not in page.replace("data:video/mp4", "")


def test_two_files_are_compared(command: Command, files: Path, drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(command, files, drawn, f"against={files / 'poor.json'}") == 0
    comparison = json.loads(Path("out/comparison.json").read_text())
    assert (comparison["first"], comparison["second"]) == ("poor.json", "good.json")
    assert comparison["avg"]["difference"] > 0
    assert comparison["avg"]["second"] == metrics()["avg"]
    assert "good.json minus poor.json: AVG +" in capsys.readouterr().out
    assert Path("out/tables/comparison.csv").exists()


def test_thumos_like_files_bring_their_own_classes(command: Command, tmp_path: Path) -> None:
    names = ["BaseballPitch", "Diving", "Ambiguous"]
    database = {
        "video_test_0000001": {
            "subset": "validation",
            "duration": 60.0,
            "annotations": [{"label": name, "segment": [i, i + 5.0]} for i, name in enumerate(names)],
        },
        "video_test_0000002": {"subset": "validation", "duration": 30.0, "annotations": []},
        "video_validation_1": {
            "subset": "training",
            "duration": 9.0,
            "annotations": [{"label": "Diving", "segment": [0, 5]}],
        },
    }
    results = {"video_test_0000001": [{"label": "Diving", "segment": [1, 6], "score": 0.9}]}
    (tmp_path / "truth.json").write_text(json.dumps({"database": database}))
    (tmp_path / "found.json").write_text(json.dumps({"results": results}))
    arguments = ["predictions=found.json", "annotations=truth.json", "labels=truth.json", "ignore_labels=[Ambiguous]"]
    assert command("mmad-eval", *arguments, "subset=val", *LIGHT) == 0
    numbers = metrics()
    assert numbers["action"]["per_class"] == {"BaseballPitch": 0, "Diving": pytest.approx(100)}
    assert numbers["clips"] == 2
    assert "1 of 2 clips have no predictions" in numbers["notes"][0]


@pytest.mark.parametrize(("unknown", "code", "better"), [("error", 2, None), ("ignore", 0, True), ("count", 0, False)])
def test_predictions_for_unknown_clips(
    command: Command,
    files: Path,
    drawn: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    unknown: str,
    code: int,
    better: bool | None,
) -> None:
    document = json.loads((files / "good.json").read_text())
    rows = next(iter(document["results"].values()))
    document["results"]["stranger"] = [{**row, "score": 2.0} for row in rows]
    (tmp_path / "more.json").write_text(json.dumps(document))
    known = [f"predictions={tmp_path / 'more.json'}", f"annotations={drawn}/annotations/test.csv", *LIGHT]
    assert command("mmad-eval", *known, f"unknown_clips={unknown}") == code
    if better is None:
        assert "predictions are for clip 'stranger'" in capsys.readouterr().err
        return
    assert "'stranger'" in metrics()["notes"][0]
    with_stranger = metrics()["avg"]
    assert evaluate(command, files, drawn) == 0
    assert (with_stranger == pytest.approx(metrics()["avg"])) == better
    assert with_stranger <= metrics()["avg"]


def test_a_submission_holds_the_predictions(
    command: Command, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = {
        f"test{i:04d}": rows for i, rows in enumerate(json.loads((files / "good.json").read_text())["results"].values())
    }
    (tmp_path / "test.json").write_text(json.dumps({"results": renamed}))
    assert command("mmad-eval", "predictions=test.json", "submission=prediction.zip", "output=out") == 0
    assert "prediction.zip" in capsys.readouterr().out
    written = read_predictions(tmp_path / "prediction.zip", taxonomy=MMA52)
    for clip, rows in read_predictions(tmp_path / "test.json", taxonomy=MMA52).items():
        for name, values in rows.items():
            np.testing.assert_array_equal(written[clip][name], values)
    assert not Path("out/metrics.json").exists()


def test_the_protocol_is_kept_with_the_numbers(command: Command, files: Path, drawn: Path) -> None:
    assert evaluate(command, files, drawn, "protocol=opentad", "protocol.body_predictions=nms") == 0
    kept = metrics()["protocol"]
    assert (kept["later_first"], kept["body_predictions"], kept["union_extra"]) == (True, "nms", 0)


def test_buckets_mode_and_per_frame_map_are_configured(command: Command, files: Path, drawn: Path) -> None:
    changes = ["diagnosis.mode=detad", "diagnosis.buckets.coverage=null", "report.frame_rate=8", "report.unit=clip"]
    length = ["diagnosis.buckets.length.edges=[0,2,inf]", "diagnosis.buckets.length.labels=[short,long]"]
    assert evaluate(command, files, drawn, *changes, *length) == 0
    diagnosis = json.loads(Path("out/diagnosis.json").read_text())
    assert diagnosis["mode"] == "detad"
    first = diagnosis["action"]["false_negatives"]["characteristics"][0]
    assert (first["name"], [bucket["label"] for bucket in first["buckets"]]) == ("length", ["short", "long"])
    assert metrics()["frame_map"]["rate"] == 8
    assert (metrics()["unit"], metrics()["units"]) == ("clip", 6)


def test_an_earlier_comparison_does_not_stay_beside_a_new_report(command: Command, files: Path, drawn: Path) -> None:
    assert evaluate(command, files, drawn, f"against={files / 'poor.json'}") == 0
    assert Path("out/comparison.json").exists()
    assert evaluate(command, files, drawn) == 0
    assert not [path for path in Path("out").rglob("*") if path.stem == "comparison"]


def test_a_comparison_tells_what_its_other_file_lacks(
    command: Command, files: Path, drawn: Path, tmp_path: Path
) -> None:
    document = json.loads((files / "poor.json").read_text())
    some = dict(list(document["results"].items())[:2])
    (tmp_path / "some.json").write_text(json.dumps({"results": some}))
    assert evaluate(command, files, drawn, "against=some.json") == 0
    assert "some.json: 4 of 6 clips have no predictions" in metrics()["notes"][0]


def test_the_page_does_not_tell_the_users_folders(command: Command, files: Path, drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes((files / "good.json").read_bytes())
    (tmp_path / "truth.csv").write_bytes((drawn / "annotations" / "test.csv").read_bytes())
    paths = [f"predictions={tmp_path}/mine.json", f"annotations={tmp_path}/truth.csv"]
    assert command("mmad-eval", *paths, *LIGHT) == 0
    page = Path("out/report.html").read_text()
    assert "predictions=mine.json" in page
    assert str(tmp_path) not in page


def test_names_with_dollar_signs_are_no_formulas(command: Command, files: Path, drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "run$^^$.json").write_bytes((files / "good.json").read_bytes())
    quoted = f"predictions='{tmp_path}/run$^^$.json'"
    others = [f"against={files / 'poor.json'}", f"annotations={drawn}/annotations/test.csv"]
    assert command("mmad-eval", quoted, *others, *LIGHT, "report.figures=[svg]") == 0
    assert "run$^^$.json" in Path("out/figures/comparison.svg").read_text()


def test_jobs_of_a_sweep_do_not_share_an_output(
    command: Command, files: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = [f"predictions={files / 'good.json'}", f"annotations={drawn}/annotations/test.csv", *LIGHT[:2]]
    protocols = ["protocol=mmad,opentad", "hydra.sweep.dir=sweep"]
    assert command("mmad-eval", "-m", *sweep, *protocols, "output=same") == 2
    assert "every job of the sweep would write there" in capsys.readouterr().err
    assert command("mmad-eval", "-m", *sweep, *protocols) == 0
    assert Path("sweep/0/report.html").exists()
    assert Path("sweep/1/report.html").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("report.videos=some", "choose link, embed, none"),
        ("report.unit=video", "choose null, subject or clip"),
        ("report.figures=[gif]", "choose from png, svg, pdf"),
        ("report.draws=-1", "no negative number of draws"),
        ("diagnosis.mode=classic", "choose class_first or detad"),
        ("diagnosis.buckets.length.labels=[a]", "one more than labels"),
        ("protocol.body_truth=some", "choose exact, none, union"),
        ("unknown_clips=skip", "choose error, ignore, count"),
        ("videos=nowhere", "nowhere"),
        ("against=nowhere.json", "nowhere.json does not exist"),
        ("labels=nowhere.csv", "nowhere.csv"),
        ("protocol.thresholds=0.5", "expected a list"),
        ("protocol.union_extra=-1", "no negative seconds"),
    ],
)
def test_faults_are_one_sentence(
    command: Command, files: Path, drawn: Path, capsys: pytest.CaptureFixture[str], change: str, message: str
) -> None:
    assert evaluate(command, files, drawn, change) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert message in told[0]
    assert not Path("out/metrics.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=a.ckpt", "videos=b"], "videos=b goes with predictions=FILE"),
        (["checkpoint=a.ckpt", "labels=b"], "labels=b goes with predictions=FILE"),
        (["predictions=a.json", "output=taken"], "output=taken is a file"),
        (["predictions=a.json", "submission=a.zip", "against=b"], "needs annotations=FILE"),
    ],
)
def test_settings_that_do_not_go_together(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "taken").write_text("")
    assert command("mmad-eval", *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_wandb_gets_tables_and_figures_and_no_video(
    command: Command, files: Path, drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    Path("out/figures").mkdir(parents=True)
    Path("out/figures/face.png").write_bytes(b"somebody")
    logged: dict[str, object] = {}
    monkeypatch.setattr(wandb.Run, "log", lambda self, data, *_, **__: logged.update(data))
    assert evaluate(command, files, drawn, "logger=wandb", f"videos={drawn}/test") == 0
    tables = {name for name, value in logged.items() if isinstance(value, wandb.Table)}
    pictures = {name for name, value in logged.items() if isinstance(value, wandb.Image)}
    assert {"tables/classes", "tables/false_positives", "tables/detection_map"} <= tables
    assert {"figures/false_positives", "figures/false_negatives", "figures/confusion"} <= pictures
    assert tables | pictures == set(logged)
    assert "figures/face" not in logged
    assert wandb.run is None
    shutil.rmtree("wandb", ignore_errors=True)
