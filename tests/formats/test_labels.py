"""Taxonomies of other data, from ground truth in ActivityNet's layout and from tables of classes."""

import json
from pathlib import Path

import pytest

from mmad.errors import MmadError
from mmad.formats.ground_truth import read_ground_truth
from mmad.formats.labels import read_taxonomy, write_taxonomy
from mmad.taxonomy import MMA52, Taxonomy


def annotated(folder: Path, *labels: object, taxonomy: object = None) -> Path:
    """A ground-truth file whose clips have one instance each."""
    database = {
        f"clip{number}": {"subset": "training", "annotations": [{"segment": [0, 1], "label": label}]}
        for number, label in enumerate(labels)
    }
    path = folder / "truth.json"
    path.write_text(json.dumps({"database": {"empty": {}, **database}, "taxonomy": taxonomy, "version": "1"}))
    return path


def table(folder: Path, text: str) -> Path:
    path = folder / "classes.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("hierarchy", [None, [], {}])
def test_labels_in_order_of_first_appearance(tmp_path, hierarchy):
    path = annotated(tmp_path, "Diving", "Billiards", "Diving", "Ambiguous", taxonomy=hierarchy)
    taxonomy = read_taxonomy(path, ignore_labels=["Ambiguous"])
    assert taxonomy == Taxonomy(("Diving", "Billiards"), ("1", "2"), ("all",), (0, 0))
    assert taxonomy.flat
    assert read_taxonomy(path).actions == ("Diving", "Billiards", "Ambiguous")


def test_its_own_ground_truth_is_read_with_it(tmp_path):
    path = annotated(tmp_path, "Diving", 7, "Diving")
    truths = read_ground_truth(path, taxonomy=read_taxonomy(path))
    assert [[instance.label for instance in truth.instances] for truth in truths] == [[], [0], [1], [0]]


def test_parents_are_body_groups(tmp_path):
    nodes = [
        {"nodeName": "Root", "nodeId": 0, "parentId": None, "parentName": None},
        {"nodeName": "Sports", "nodeId": 1, "parentId": 0, "parentName": "Root"},
        {"nodeName": "Diving", "nodeId": 2, "parentId": 1, "parentName": "Sports"},
        {"nodeName": "Cooking", "nodeId": 3, "parentId": 0},
        {"nodeName": "Baking", "nodeId": 4, "parentId": 3},
        {"nodeName": "Sports", "nodeId": 5, "parentId": 3, "parentName": "Cooking"},
    ]
    taxonomy = read_taxonomy(annotated(tmp_path, "Baking", "Diving", "Sports", taxonomy=nodes))
    groups = {name: taxonomy.bodies[body] for name, body in zip(taxonomy.actions, taxonomy.body_of, strict=True)}
    # A parent without a name is found by its id; the leaf "Sports" is meant, not the inner node.
    assert groups == {"Baking": "Cooking", "Diving": "Sports", "Sports": "Cooking"}
    assert not taxonomy.flat


def test_hierarchy_that_lacks_a_class(tmp_path):
    nodes = [{"nodeName": "Diving", "nodeId": 2, "parentId": 1, "parentName": "Sports"}]
    path = annotated(tmp_path, "Diving", "Baking", "Sewing", taxonomy=nodes)
    with pytest.raises(MmadError, match=r"'taxonomy' gives no parent to 2 of 3 classes, the first is 'Baking'; add"):
        read_taxonomy(path)


@pytest.mark.parametrize("hierarchy", [["Diving"], {"Diving": "Sports"}])
def test_hierarchy_in_another_form_is_told(tmp_path, hierarchy):
    path = annotated(tmp_path, "Diving", taxonomy=hierarchy)
    with pytest.warns(UserWarning, match=r"truth\.json: 'taxonomy' is no list of nodes .* one body group"):
        assert read_taxonomy(path).flat


def test_table_of_classes(tmp_path):
    text = "body,code,name,note\narm,X1,left,\nleg,,kick,hard\n arm ,X2, right,\n"
    assert read_taxonomy(table(tmp_path, text)) == Taxonomy.from_rows(
        (("X1", "left", "arm"), ("2", "kick", "leg"), ("X2", "right", "arm"))
    )


def test_names_alone_are_enough(tmp_path):
    taxonomy = read_taxonomy(table(tmp_path, "name\r\nleft\r\nright"))
    assert taxonomy == Taxonomy(("left", "right"), ("1", "2"), ("all",), (0, 0))


def test_mma52_as_a_table_is_itself(tmp_path):
    rows = zip(MMA52.codes, MMA52.actions, MMA52.body_of, strict=True)
    lines = [f"{code},{name},{MMA52.bodies[body]}" for code, name, body in rows]
    assert read_taxonomy(table(tmp_path, "\n".join(["code,name,body", *lines]))) == MMA52


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\nleft", r"classes\.csv has no column 'name', .* rename the nearest, 'label'"),
        ("name\n", r"classes\.csv names no class, expected at least one"),
        ("name,body\nleft,arm\n,leg", "line 3: name is empty"),
        ("name,body\nleft,", "line 2: body is empty"),
        ("name\nleft\nright\nleft", "line 4: name 'left' is also in line 2; rename one"),
        ("name,code\nleft,2\nright,", "line 3: code '2' is also in line 2"),
    ],
)
def test_tables_that_cannot_be_right(tmp_path, text, message):
    with pytest.raises(MmadError, match=message):
        read_taxonomy(table(tmp_path, text))


def test_files_that_are_no_ground_truth(tmp_path):
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps({"results": {}}))
    with pytest.raises(MmadError, match=r"has no 'database' \(this is predictions\)"):
        read_taxonomy(path)
    with pytest.raises(MmadError, match="names no class"):
        read_taxonomy(annotated(tmp_path))
    with pytest.raises(MmadError, match="clip 'clip0': label is None, expected the name of a class"):
        read_taxonomy(annotated(tmp_path, None))


def test_a_table_of_classes_comes_back(tmp_path):
    write_taxonomy(tmp_path / "new" / "labels.csv", MMA52)
    assert read_taxonomy(tmp_path / "new" / "labels.csv") == MMA52
