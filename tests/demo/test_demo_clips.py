import csv
import json
import operator
import os
import subprocess
import sys
import time

import pytest

import mmad.demo.clips
from mmad.demo.actions import ACTIONS
from mmad.demo.clips import SplitPlan, generate_demo, write_annotations
from mmad.demo.schedule import plan_split
from mmad.errors import MmadError

pytest.importorskip("skia")
av = pytest.importorskip("av")

TINY = {
    "train": SplitPlan(clips=5, subjects=range(1, 3)),
    "test": SplitPlan(clips=1, subjects=range(999, 1000)),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return generate_demo(tmp_path_factory.mktemp("demo") / "set", splits=TINY, seed=0, processes=1, progress=False)


def rows(root, split):
    with (root / "annotations" / f"{split}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_layout(root):
    assert sorted(path.name for path in root.iterdir()) == ["annotations", "demo.json", "test", "train"]
    assert sorted(path.name for path in (root / "annotations").iterdir()) == ["test.csv", "train.csv"]
    assert sorted(path.stem for path in (root / "train").iterdir()) == [
        "001_01_0000_A", "001_01_0002_A", "001_01_0004_A", "002_01_0001_A", "002_01_0003_A",
    ]  # fmt: skip
    assert [path.name for path in (root / "test").iterdir()] == ["999_01_0000_A.mp4"]
    assert [path.name for path in root.parent.iterdir()] == ["set"]


def test_csv_has_the_columns_and_line_ends_of_the_release(root):
    content = (root / "annotations" / "train.csv").read_bytes()
    assert content.startswith(b"id,video_id,start_frame,end_frame,class,total_frames,fps\n0,001_01_0000_A,")
    assert b"\r" not in content
    assert content.endswith(b"\n")


@pytest.mark.parametrize("split", TINY)
def test_rows_agree_with_the_videos(root, split):
    decoded = {}
    for path in (root / split).iterdir():
        with av.open(str(path)) as container:
            video = container.streams.video[0]
            decoded[path.stem] = (sum(1 for _ in container.decode(video)), float(video.average_rate))
    table = rows(root, split)
    assert [int(row["id"]) for row in table] == list(range(len(table)))
    assert {row["video_id"] for row in table} == set(decoded)
    assert {row["fps"] for row in table} <= {"16.0", "15.0"}
    for row in table:
        assert 0 <= int(row["start_frame"]) < int(row["end_frame"]) < int(row["total_frames"])
        assert (int(row["total_frames"]), float(row["fps"])) == decoded[row["video_id"]]
        assert int(row["class"]) in ACTIONS


def test_every_fifth_clip_has_another_frame_rate(root):
    assert {row["video_id"] for row in rows(root, "train") if row["fps"] == "15.0"} == {"001_01_0004_A"}


def test_rows_say_what_was_planned(tmp_path):
    plans = plan_split("train", clips=3, subjects=range(1, 2), seed=5)
    write_annotations(tmp_path / "train.csv", plans)
    with (tmp_path / "train.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    acts = [(plan, act) for plan in plans for act in plan.performances]
    assert len(table) == len(acts)
    for row, (plan, act) in zip(table, acts, strict=True):
        assert int(row["start_frame"]) / plan.fps == act.start
        assert int(row["end_frame"]) / plan.fps == act.end
        assert int(row["class"]) == act.label


def test_number_of_processes_changes_nothing(tmp_path):
    splits = {"val": SplitPlan(clips=2, subjects=range(4, 6))}
    one = generate_demo(tmp_path / "one", splits=splits, seed=0, processes=1, progress=False)
    two = generate_demo(tmp_path / "two", splits=splits, seed=0, processes=2, progress=False)
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) == 4
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes()


def test_trimmed_clips_lie_as_those_of_ma52(tmp_path):
    splits = {"train": SplitPlan(clips=2, subjects=range(4, 6)), "val": SplitPlan(clips=1, subjects=range(6, 7))}
    root = generate_demo(tmp_path / "set", splits=splits, seed=0, trimmed=True, processes=1, progress=False)
    assert sorted(path.name for path in root.iterdir()) == ["annotations", "demo.json", "videos_train", "videos_val"]
    for split, planned in splits.items():
        lines = (root / "annotations" / f"{split}_list_videos.txt").read_text().splitlines()
        named = [line.split(" ") for line in lines]
        assert len(named) == planned.clips
        assert {name for name, _ in named} == {path.name for path in (root / f"videos_{split}").iterdir()}
        assert all(int(label) in ACTIONS for _, label in named)
    assert json.loads((root / "demo.json").read_text())["trimmed"] is True
    with pytest.raises(MmadError, match="another seed, size or version"):
        generate_demo(root, splits=splits, seed=0, processes=1, progress=False)


def test_sets_of_before_there_were_trimmed_clips_are_the_same_still(root):
    """The record is what decides whether a set is drawn again."""
    assert list(json.loads((root / "demo.json").read_text())) == ["generator", "seed", "decoys", "splits"]


def test_a_complete_set_is_left_alone(root, monkeypatch):
    monkeypatch.setattr(mmad.demo.clips, "draw_to_file", None)  # would fail if called
    before = (root / "demo.json").stat().st_mtime_ns
    assert generate_demo(root, splits=TINY, seed=0, processes=1, progress=False) == root
    assert (root / "demo.json").stat().st_mtime_ns == before
    assert json.loads((root / "demo.json").read_text())["seed"] == 0


def test_another_set_in_the_folder_is_an_error(root):
    with pytest.raises(MmadError, match=r"set holds a demo data set of another seed.*delete that folder"):
        generate_demo(root, splits=TINY, seed=1, processes=1, progress=False)


def test_a_strange_folder_is_an_error(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(MmadError, match="is not a demo data set"):
        generate_demo(tmp_path, splits=TINY, seed=0, processes=1, progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_an_empty_folder_is_filled(tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    splits = {"test": SplitPlan(clips=1, subjects=range(3, 4))}
    generate_demo(root, splits=splits, seed=0, processes=1, progress=False)
    assert (root / "annotations" / "test.csv").exists()


def test_an_interrupted_run_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch):
    drawn = []

    def fail_at_second(plan, path):
        drawn.append(path)
        path.write_bytes(b"half a video")
        if len(drawn) == 2:
            raise KeyboardInterrupt

    splits = {"test": SplitPlan(clips=3, subjects=range(3, 4))}
    monkeypatch.setattr(mmad.demo.clips, "draw_to_file", fail_at_second)
    with pytest.raises(KeyboardInterrupt):
        generate_demo(tmp_path / "set", splits=splits, seed=0, processes=1, progress=False)
    assert len(drawn) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_failing_worker_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(mmad.demo.clips, "draw_to_file", operator.sub)  # no plan can be subtracted from a path
    with pytest.raises(TypeError):
        generate_demo(tmp_path / "set", splits=TINY, seed=0, processes=2, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_rests_of_a_killed_run_are_removed(tmp_path, monkeypatch):
    for name, days in ((".set.abc.partial", 2), (".set.partial", 2), (".set.young.partial", 0)):
        (tmp_path / name / "train").mkdir(parents=True)
        os.utime(tmp_path / name, (time.time() - days * 86_400,) * 2)
    monkeypatch.setattr(mmad.demo.clips, "draw_to_file", lambda plan, path: path.write_bytes(b""))
    root = generate_demo(tmp_path / "set", splits=TINY, seed=0, processes=1, progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"set", ".set.young.partial"}
    assert root.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": SplitPlan(0, range(3))}, "asks for 0 clips"),
        ({"train": SplitPlan(10_001, range(3))}, "asks for 10001 clips"),
        ({"train": SplitPlan(3, range(990, 1001))}, "expected at least one number, all within 0 to 999"),
        ({"train": SplitPlan(3, range(0))}, "expected at least one number"),
        (
            {"train": SplitPlan(3, range(5)), "test": SplitPlan(3, range(4, 8))},
            "Subject 4 .* 'train' and split 'test'",
        ),
    ],
)
def test_impossible_plans_are_errors(tmp_path, splits, message):
    with pytest.raises(MmadError, match=message):
        generate_demo(tmp_path / "set", splits=splits, seed=0, progress=False)


@pytest.mark.parametrize("package", ["skia", "av"])
def test_missing_package_names_the_extra(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MmadError, match=rf"'{package}'.*pip install \"mmad\[demo\]\""):
        generate_demo(tmp_path / "set", splits=TINY, seed=0, processes=1, progress=False)


def test_workers_start_without_torch_and_planning_without_skia():
    check = """
import sys
import mmad.demo.clips
assert not {"torch", "skia", "av"} & set(sys.modules)
import mmad.demo.rendering
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", check], check=True)


def test_two_first_runs_at_once_do_not_disturb_each_other(tmp_path, monkeypatch):
    from mmad.demo import clips

    splits, draw = {"train": SplitPlan(2, range(1, 2))}, clips.draw_to_file
    calls = []

    def while_another_runs(plan, path):
        if not calls:
            calls.append(plan)
            generate_demo(tmp_path / "demo", splits=splits, seed=1, processes=1, progress=False)
        draw(plan, path)

    monkeypatch.setattr(clips, "draw_to_file", while_another_runs)
    root = generate_demo(tmp_path / "demo", splits=splits, seed=1, processes=1, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    assert len(list((root / "train").glob("*.mp4"))) == 2
