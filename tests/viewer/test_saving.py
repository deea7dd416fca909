"""The journal of corrections: what is told as saved comes back, whatever happens between."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmad.errors import MmadError
from mmad.formats.csv_marks import read_csv_marks
from mmad.viewer.saving import Corrections, Edited, Outdated

IDS = ("a", "b", "c", "d")


def segment(id: str = "a", start: float = 1.0, end: float = 2.0, label: str = "nodding", **more: Any) -> dict[str, Any]:
    return {"id": id, "start": start, "end": end, "label": label, **more}


def edit(key: str, *put: dict[str, Any], remove: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"key": key, "do": "edit", "remove": list(remove), "put": list(put)}


@st.composite
def operations(draw: st.DrawFn) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 12))):
        what = draw(st.sampled_from(["edit", "edit", "edit", "undo", "undo", "redo"]))
        if what != "edit":
            made.append({"key": f"k{number}", "do": what})
            continue
        put = draw(st.lists(st.sampled_from(IDS), unique=True, max_size=3))
        starts = [draw(st.floats(0, 100)) for _ in put]
        rows = (segment(id, start, start + 1) for id, start in zip(put, starts, strict=True))
        made.append(edit(f"k{number}", *rows, remove=tuple(draw(st.lists(st.sampled_from(IDS), max_size=2)))))
    return made


def state(edited: Edited) -> dict[str, Any]:
    return {"segments": edited.segments, "done": edited.done, "undone": edited.undone, "keys": list(edited.keys)}


def naive(made: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The segments after the operations: every state is kept whole, undoing goes back in the list."""
    states: list[dict[str, dict[str, Any]]] = [{}]
    at = 0
    for each in made:
        if each["do"] == "edit":
            new = {id: row for id, row in states[at].items() if id not in each["remove"]}
            states = [*states[: at + 1], new | {row["id"]: row for row in each["put"]}]
            at += 1
        elif each["do"] == "undo":
            at = max(at - 1, 0)
        else:
            at = min(at + 1, len(states) - 1)
    return states[at]


@given(made=operations())
def test_undo_and_redo_lead_where_a_list_of_all_states_does(made: list[dict[str, Any]]) -> None:
    edited = Edited()
    for each in made:
        edited.follow(each)
    assert edited.segments == naive(made)


@settings(max_examples=40, deadline=None)
@given(made=operations(), cut=st.integers(0, 400), batch=st.integers(1, 4))
def test_a_cut_journal_is_a_beginning_of_the_edits(
    tmp_path_factory: pytest.TempPathFactory, made: list[dict[str, Any]], cut: int, batch: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    corrections = Corrections(folder)
    for first in range(0, len(made), batch):
        corrections.follow("clip", made[first : first + batch], version=first)
    corrections.close()
    whole = state(Corrections(folder).of("clip"))
    assert whole == state(corrections.of("clip"))
    assert whole["segments"] == naive(made)
    journal = corrections.journal
    if made:
        content = journal.read_bytes()
        kept = content[: max(len(content) - cut, 0)]
        journal.write_bytes(kept)
        lines = kept.count(b"\n")
        again = Corrections(folder)
        assert again.of("clip").segments == naive(made[:lines])
        # What follows is not glued to the rest of a line.
        again.follow("clip", [edit("later", segment("z"))], version=lines)
        again.close()
        assert "z" in Corrections(folder).of("clip").segments


def test_an_operation_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrections = Corrections(tmp_path)
    seen = []

    def fsync(file: int) -> None:
        seen.append((corrections.journal.read_text(), dict(corrections.of("clip").segments)))

    monkeypatch.setattr(os, "fsync", fsync)
    corrections.follow("clip", [edit("k", segment())], version=0)
    content, segments = seen[0]
    assert json.loads(content)["put"] == [segment()]
    assert segments == {}
    assert corrections.of("clip").segments == {"a": segment()}
    corrections.close()


def test_what_is_sent_twice_counts_once_and_what_is_late_is_refused(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    first, second = edit("k1", segment("a")), edit("k2", segment("b"))
    corrections.follow("clip", [first], version=0)
    corrections.follow("clip", [first, second], version=0)
    assert list(corrections.of("clip").segments) == ["a", "b"]
    assert len(corrections.journal.read_text().splitlines()) == 2
    with pytest.raises(Outdated):
        corrections.follow("clip", [edit("k3", segment("c"))], version=1)
    corrections.follow("other", [edit("k1", segment("a"))], version=0)
    corrections.close()


def test_a_full_disk_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corrections = Corrections(tmp_path)
    corrections.follow("clip", [edit("k1", segment("a"))], version=0)
    before = corrections.journal.read_bytes()
    with monkeypatch.context() as patch:

        def full(file: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", full)
        with pytest.raises(MmadError, match="cannot be written"):
            corrections.follow("clip", [edit("k2", segment("b"))], version=1)
    assert corrections.journal.read_bytes() == before
    assert list(corrections.of("clip").segments) == ["a"]
    corrections.follow("clip", [edit("k2", segment("b"))], version=1)
    corrections.close()
    assert list(Corrections(tmp_path).of("clip").segments) == ["a", "b"]


@pytest.mark.parametrize(
    "operation",
    [
        None,
        {"do": "edit"},
        {"key": "k", "do": "burn"},
        {"key": "k", "do": "edit", "remove": "a", "put": []},
        {"key": "k", "do": "edit", "remove": [1], "put": []},
        edit("k" * 65),
        edit("k", {"id": "a"}),
        edit("k", segment(start=2.0)),
        edit("k", segment(start=-0.1)),
        edit("k", segment(end=float("inf"))),
        edit("k", segment(start=float("nan"))),
        edit("k", segment(start=True)),
        edit("k", segment(label="")),
        edit("k", segment(label="a\nb")),
        edit("k", segment(label=3)),
        edit("k", segment(id="")),
        edit("k", segment(end=10**400)),
        edit("k", segment(start=10**400, end=10**401)),
        edit("k\ud800", segment()),
        edit("k", segment(id="\ud800")),
        edit("k", remove=("\ud800",)),
        edit("k", segment(label="\ud800")),
    ],
)
def test_what_is_no_edit_is_refused_and_not_written(tmp_path: Path, operation: Any) -> None:
    corrections = Corrections(tmp_path)
    with pytest.raises(MmadError):
        corrections.follow("clip", [edit("good", segment("b")), operation], version=0)
    assert not corrections.journal.exists()
    assert corrections.of("clip").segments == {}


def test_the_table_holds_what_the_journal_leads_to(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path, subjects={"one": "anna"})
    corrections.follow("one", [edit("k1", segment("a", 3, 4), segment("b", 1, 2, "waving", checked=True))], version=0)
    corrections.follow("empty", [edit("k1", segment("a")), edit("k2", remove=("a",))], version=0)
    corrections.follow("undone", [edit("k1", segment("a")), {"key": "k2", "do": "undo"}], version=0)
    corrections.close()
    read = read_csv_marks(tmp_path / "corrections.csv")
    assert [(mark.clip, mark.start, mark.label, mark.subject) for mark in read.marks] == [
        ("one", 1.0, "waving", "anna"),
        ("one", 3.0, "nodding", "anna"),
    ]
    assert set(read.clips) == {"one", "empty"}
    (tmp_path / "corrections.csv").unlink()
    Corrections(tmp_path, subjects={"one": "anna"})
    assert read_csv_marks(tmp_path / "corrections.csv").marks == read.marks


def test_a_table_that_somebody_changed_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corrections = Corrections(tmp_path)
    corrections.follow("one", [edit("k1", segment("a"))], version=0)
    corrections.close()
    table = tmp_path / "corrections.csv"
    own = table.read_bytes()
    by_hand = own.replace(b"nodding", b"waving")
    table.write_bytes(by_hand)
    again = Corrections(tmp_path)
    assert (table.read_bytes(), (tmp_path / "corrections.1.csv").read_bytes()) == (own, by_hand)
    assert "corrections.csv was changed elsewhere; it is now" in capsys.readouterr().err
    # While the page is open, too.
    table.write_bytes(by_hand + by_hand)
    again.follow("one", [edit("k2", segment("b"))], version=1)
    again.close()
    assert (tmp_path / "corrections.2.csv").read_bytes() == by_hand + by_hand
    assert len(read_csv_marks(table).marks) == 2
    Corrections(tmp_path).close()
    assert len(list(tmp_path.glob("*.csv"))) == 3


def test_a_table_that_a_kill_left_behind_is_no_foreign_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corrections = Corrections(tmp_path)
    corrections.follow("one", [edit("k1", segment("a"))], version=0)
    corrections.write_table()
    old = (tmp_path / "corrections.csv").read_bytes()
    corrections.follow("one", [edit(f"k{n}", segment(f"s{n}", n, n + 1)) for n in range(2, 8)], version=1)
    corrections.close()
    (tmp_path / "corrections.csv").write_bytes(old)
    Corrections(tmp_path).close()
    assert len(read_csv_marks(tmp_path / "corrections.csv").marks) == 7
    assert len(list(tmp_path.glob("*.csv"))) == 1
    assert capsys.readouterr().err == ""


def test_clips_whose_ids_are_paths_stay_apart_in_the_table(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path, subjects={"a/x": "anna", "b/x": "ben"})
    for n, clip in enumerate(("a/x", "b/x", "y.avi", "y.mov")):
        corrections.follow(clip, [edit("k", segment("a", n, n + 1))], version=0)
    corrections.close()
    assert [(mark.clip, mark.start, mark.subject) for mark in read_csv_marks(tmp_path / "corrections.csv").marks] == [
        ("a_x", 0.0, "anna"),
        ("b_x", 1.0, "ben"),
        ("y_avi", 2.0, None),
        ("y_mov", 3.0, None),
    ]


def test_no_input_and_no_foreign_table_is_written(tmp_path: Path) -> None:
    table = tmp_path / "corrections.csv"
    with pytest.raises(MmadError, match="is an input"):
        Corrections(tmp_path, inputs=[table])
    table.write_text("clip,start,end,label\n")
    with pytest.raises(MmadError, match="no journal"):
        Corrections(tmp_path)
    with pytest.raises(MmadError, match="is an input"):
        Corrections(tmp_path / "mine.csv", inputs=[tmp_path / "mine.journal.jsonl"])
    assert table.read_text() == "clip,start,end,label\n"


def test_a_file_that_is_no_journal_is_named_with_its_line(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path / "mine.csv")
    corrections.follow("clip", [edit("k", segment())], version=0)
    corrections.close()
    with corrections.journal.open("a") as file:
        file.write("hello\n")
    with pytest.raises(MmadError, match=r"mine\.journal\.jsonl, line 2"):
        Corrections(tmp_path / "mine.csv")
