"""Settings come into the rows that ask for them, and what must not stand side by side is refused."""

import json
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from made import write_data, write_run
from mmad.comparison import Arrangement, Run, arrange, check_evaluated_alike, find_runs, group, plan_of
from mmad.comparison.rows import Plan
from mmad.errors import MmadError


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


ROWS = [
    {"name": "TIA", "match": {"adapter": "tia"}, "paper": {"avg": 21.8}},
    {"name": "DSTA", "match": {"adapter": ["dsta", "another"]}},
    {"name": "not here yet", "paper": {"avg": 1.0}},
]


def plan(rows: list = ROWS, **more: object) -> Plan:
    made = plan_of("mine", {"title": "Mine", "rows": rows, "baseline": "DSTA", **more})
    assert made is not None
    return made


def arranged(folder: Path, table: Plan | None, **options: str) -> Arrangement:
    return arrange(group(find_runs(folder)), table, title="Runs", **options)


def test_rows_take_their_runs_and_the_others_are_left_out(tmp_path: Path, root: Path) -> None:
    for adapter in ("dsta", "tia", "frozen"):
        write_run(tmp_path / adapter, f"adapter={adapter}", root=root)
    made = arranged(tmp_path, plan())
    assert [(row.name, [run.folder.name for run in row.finished]) for row in made.rows] == [
        ("TIA", ["tia"]),
        ("DSTA", ["dsta"]),
        ("not here yet", []),
    ]
    assert made.rows[0].paper == {"avg": 21.8}
    assert (made.baseline, list(made.left_out)) == ("DSTA", ["adapter=frozen"])
    assert made.notes == []


def test_values_match_as_they_are_and_choices_by_any_of_a_list(tmp_path: Path, root: Path) -> None:
    rows = [
        {"name": "list", "match": {"data.resolution": [64, 48]}},
        {"name": "number", "match": {"data.resolution": 64}},
        {"name": "no such option", "match": {"data.resolutions": 64}},
    ]
    write_run(tmp_path / "0", "data.resolution=64", root=root)
    write_run(tmp_path / "1", "data.resolution=[64,48]", root=root)
    write_run(tmp_path / "2", "data.resolution=48", root=root)
    made = arranged(tmp_path, plan(rows))
    assert [[run.folder.name for run in row.finished] for row in made.rows] == [["1"], ["0"], []]
    assert list(made.left_out) == ["data.resolution=48"]


def test_a_table_may_hide_rows_without_runs(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "adapter=tia", root=root)
    assert [row.name for row in arranged(tmp_path, plan(show_empty=False)).rows] == ["TIA"]
    assert "No run yet: DSTA." in arranged(tmp_path, plan()).notes


def test_runs_that_are_not_finished_share_the_row_of_their_twins(tmp_path: Path, root: Path) -> None:
    """Whatever else they were given: they bring no number that could be mistaken."""
    write_run(tmp_path / "0", "adapter=tia", root=root, seed=0)
    write_run(tmp_path / "1", "adapter=tia", "trainer.max_epochs=3", root=root, seed=1, state="failed")
    row = arranged(tmp_path, plan()).rows[0]
    assert [run.seed for run in row.finished] == [0]
    assert row.setting is not None
    assert [run.seed for run in row.setting.unfinished] == [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("trainer.max_epochs=3", r"trainer\.max_epochs is 20 in .*/0 and 3 in .*/1; name a folder .* table=none"),
        ("backbone=vmae_b", r"backbone is vmae_s in .*/0 and vmae_b in .*/1"),
        ("adapter.layer.ratio=8", r"adapter\.layer\.ratio is 4 in .*/0 and 8 in .*/1"),
    ],
)
def test_two_settings_in_a_row_are_refused(tmp_path: Path, root: Path, change: str, message: str) -> None:
    write_run(tmp_path / "0", "adapter=tia", root=root)
    write_run(tmp_path / "1", "adapter=tia", change, root=root)
    with pytest.raises(MmadError, match=rf"row 'TIA' of table=mine has two settings: {message}"):
        arranged(tmp_path, plan())
    assert len(arranged(tmp_path, None).rows) == 2


def test_a_setting_that_fits_two_rows_is_refused(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "adapter=tia", root=root)
    both = [ROWS[0], {"name": "any", "match": {"adapter": ["tia", "dsta"]}}]
    with pytest.raises(MmadError, match=r"0 fits two rows of table=mine, 'TIA' and 'any'; .*conf/table/mine\.yaml"):
        arranged(tmp_path, plan(both))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"title": "Mine", "rows": [{"match": {}}]}, "a name for each row"),
        ({"title": "Mine", "rows": [{"name": "a"}, {"name": "a"}]}, "none twice"),
        ({"rows": [{"name": "a"}]}, "a title"),
        ({"title": "Mine", "rows": [{"name": "a", "paper": {"actions": {}}}]}, "'actions', expected action, body"),
    ],
)
def test_a_faulty_table_is_named(node: dict, message: str) -> None:
    with pytest.raises(MmadError, match=message):
        plan_of("mine", node)


def test_extra_arguments_are_told(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "adapter=tia", "trainer.max_epochs=3", "data.batch_size=4", root=root)
    write_run(tmp_path / "1", "adapter=dsta", "adapter.layer.beta=one", "data.batch_size=4", root=root)
    (note,) = arranged(tmp_path, plan()).notes
    assert note == (
        "More is set than the table compares: adapter.layer.beta is absent in TIA, one in DSTA; "
        "trainer.max_epochs is 3 in TIA, 20 in DSTA."
    )


def test_what_a_recipe_sets_is_told_and_what_follows_from_a_choice_is_not(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "adapter=tia", root=root)
    write_run(tmp_path / "1", "adapter=frozen", root=root)
    rows = [*ROWS, {"name": "frozen", "match": {"adapter": "frozen"}}]
    assert not any("More is set" in note for note in arranged(tmp_path, plan(rows)).notes)
    write_run(tmp_path / "2", "adapter=dsta", "recipe=demo", root=root)
    (note,) = arranged(tmp_path, plan(rows)).notes
    assert "backbone is vmae_s in TIA and frozen, vmae_tiny in DSTA; " in note
    assert re.search(r"; and \d+ more\.$", note)
    assert "adapter" not in note


def test_an_experiments_name_is_no_difference(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "experiment=table3_adatad", root=root)
    write_run(tmp_path / "1", "experiment=table3_dsta", root=root)
    made = arranged(tmp_path, plan())
    assert ([len(row.finished) for row in made.rows], made.notes) == ([1, 1, 0], [])


def test_a_preset_that_was_changed_is_told_even_in_the_only_row(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "1", "adapter=dsta", "adapter.layer.beta=removed", "trainer.max_epochs=3", root=root)
    notes = arranged(tmp_path, plan()).notes
    assert "More is set than the table compares: adapter.layer.beta is removed in DSTA." in notes


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (None, "adapter=dsta, trainer.max_epochs=3"),
        ("tia", "adapter=tia, trainer.max_epochs=20"),
        ("adapter=TIA", "adapter=tia, trainer.max_epochs=20"),
        ("adapter=tia, trainer.max_epochs=20", "adapter=tia, trainer.max_epochs=20"),
    ],
)
def test_the_baseline_by_any_of_its_names(tmp_path: Path, root: Path, wanted: str | None, chosen: str) -> None:
    write_run(tmp_path / "0", "adapter=dsta", "trainer.max_epochs=3", root=root)
    write_run(tmp_path / "1", "adapter=dsta", root=root)
    write_run(tmp_path / "2", "adapter=tia", root=root)
    assert arranged(tmp_path, None, **({} if wanted is None else {"baseline": wanted})).baseline == chosen
    with pytest.raises(MmadError, match="baseline=dsta: several rows are called so; choose one of adapter=dsta, "):
        arranged(tmp_path, None, baseline="dsta")
    with pytest.raises(MmadError, match="baseline=tai: no row with a finished run is called so"):
        arranged(tmp_path, None, baseline="tai")


def test_another_row_takes_the_place_of_a_baseline_without_runs(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "adapter=tia", root=root)
    write_run(tmp_path / "1", "adapter=dsta", root=root, state="failed")
    made = arranged(tmp_path, plan())
    assert made.baseline == "TIA"
    assert "The table's baseline, DSTA, has no finished run; TIA takes its place." in made.notes
    with pytest.raises(MmadError, match="baseline=dsta: no row with a finished run"):
        arranged(tmp_path, plan(), baseline="dsta")


# Runs that were not evaluated alike -----------------------------------------------------------------------------------


def two(folder: Path, root: Path, *, other: Path | None = None, arguments: tuple[str, ...] = ()) -> list[Run]:
    write_run(folder / "0", root=root)
    write_run(folder / "1", *arguments, root=other or root)
    return find_runs(folder)


def never(*_: Run) -> bool:
    return False


def test_other_data_are_refused_unless_they_are_the_same(tmp_path: Path, root: Path) -> None:
    runs = two(tmp_path / "runs", root, other=write_data(tmp_path / "elsewhere"))
    with pytest.raises(MmadError, match=rf"0 and .*1 were not evaluated alike: data\.root is {root} in the first"):
        check_evaluated_alike(runs, same=never)
    check_evaluated_alike(runs, same=lambda *_: True)


def test_another_choice_of_data_is_named_first(tmp_path: Path, root: Path) -> None:
    runs = two(tmp_path, root, arguments=("data=folder", "data.evaluate_split=val"))
    with pytest.raises(MmadError, match="alike: data is mma52 in the first and folder in the second; make a table of"):
        check_evaluated_alike(runs, same=never)


def test_another_split_protocol_or_number_of_clips_is_refused(tmp_path: Path, root: Path) -> None:
    runs = two(tmp_path / "same", root)
    check_evaluated_alike(runs, same=never)
    for name, place, value, message in (
        ("split", "config.yaml", None, "data.evaluate_split is val in the first and test in the second"),
        ("protocol", "protocol", {"later_first": True}, "protocol.later_first is false in the first and true"),
        ("clips", "clips", 5, "the number of clips is 3 in the first and 5"),
        ("instances", "instances", 5, "the number of instances is 9 in the first and 5"),
    ):
        runs = two(tmp_path / name, root)
        changed = tmp_path / name / "1"
        if value is None:
            config = OmegaConf.load(changed / place)
            config.data.evaluate_split = "test"
            OmegaConf.save(config, changed / place)
        else:
            metrics = json.loads((changed / "metrics.json").read_text())
            metrics[place] = {**metrics[place], **value} if isinstance(value, dict) else value
            (changed / "metrics.json").write_text(json.dumps(metrics))
        with pytest.raises(MmadError, match=message):
            check_evaluated_alike(find_runs(tmp_path / name), same=lambda *_: True)
