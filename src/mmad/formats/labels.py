"""Taxonomies of other data, from their ground truth or from a table of classes."""

import csv
import io
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mmad.errors import MmadError
from mmad.formats.activitynet import annotations_of, database_of, parse_json
from mmad.formats.table import read_text, table_rows
from mmad.formats.whole_file import write_whole
from mmad.taxonomy import Taxonomy

ONE_GROUP = "all"
"""The body group of every class where a file knows no hierarchy."""


def read_taxonomy(path: Path, *, ignore_labels: Collection[str] = ()) -> Taxonomy:
    """The classes of a ground-truth file in ActivityNet's layout, or of a CSV table of classes.

    In a JSON file the classes are the labels in order of first appearance, over all subsets; the body group of a
    class is the parent that the file's `taxonomy` gives it. A CSV file has a row per class in index order, with the
    column `name` and optionally `code` and `body`. Classes without a code are numbered from 1. Without a hierarchy
    all belong to one group, and the body level says nothing of classes: see `Taxonomy.flat`.

    Args:
        path: the file; which of the two it is, is seen from its content.
        ignore_labels: labels that are no classes, such as `Ambiguous` of THUMOS14.

    Raises:
        MmadError: the file is missing or faulty, has no class, has a class twice, or its hierarchy lacks one.
    """
    path, ignored = Path(path), set(ignore_labels)
    text = read_text(path)
    if text.lstrip().startswith(("{", "[")):
        rows = _from_annotations(parse_json(text, source=str(path)), source=str(path), ignored=ignored)
    else:
        rows = [row for row in _from_table(text, source=str(path)) if row[1] not in ignored]
    if not rows:
        raise MmadError(f"{path} names no class, expected at least one; check the file")
    return Taxonomy.from_rows(tuple(rows))


def write_taxonomy(path: Path, taxonomy: Taxonomy) -> None:
    """Writes the table of classes that `read_taxonomy` reads: name, code, body.

    Args:
        path: the CSV file; its folder is made.
        taxonomy: the classes.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("name", "code", "body"))
    for name, code, body in zip(taxonomy.actions, taxonomy.codes, taxonomy.body_of, strict=True):
        writer.writerow((name, code, taxonomy.bodies[body]))
    write_whole(Path(path), text.getvalue().encode())


def _from_annotations(document: Mapping[str, Any], *, source: str, ignored: set[str]) -> list[tuple[str, str, str]]:
    labels: dict[str, None] = {}
    for clip, entry in database_of(document, source=source).items():
        where = f"{source}, clip {clip!r}"
        for row in annotations_of(entry, where=where):
            label = row.get("label")
            if isinstance(label, bool) or not isinstance(label, str | int) or not str(label).strip():
                raise MmadError(f"{where}: label is {label!r}, expected the name of a class; correct it")
            labels[str(label).strip()] = None
    classes = [label for label in labels if label not in ignored]
    parent_of = _parents(document.get("taxonomy"), source=source)
    orphans = [label for label in classes if label not in parent_of]
    if parent_of and orphans:
        raise MmadError(
            f"{source}: 'taxonomy' gives no parent to {len(orphans)} of {len(classes)} classes, the first is "
            f"{orphans[0]!r}; add a node for each, or empty the list to have one group for all"
        )
    return [(str(number), label, parent_of.get(label, ONE_GROUP)) for number, label in enumerate(classes, start=1)]


def _parents(nodes: object, *, source: str) -> dict[str, str]:
    """Parent of each node by name, from a list of `{"nodeName", "nodeId", "parentId", "parentName"}`."""
    if not nodes:
        return {}
    if not isinstance(nodes, list) or not all(isinstance(node, dict) and "nodeName" in node for node in nodes):
        warnings.warn(
            f"{source}: 'taxonomy' is no list of nodes with 'nodeName' and 'parentName', so all classes have one "
            "body group",
            stacklevel=4,
        )
        return {}
    name_of = {node["nodeId"]: node["nodeName"] for node in nodes if node.get("nodeId") is not None}
    inner = {node.get("parentId") for node in nodes}
    parents = {}
    # Classes are leaves: where an inner node has a leaf's name, the leaf comes later and stays.
    for node in sorted(nodes, key=lambda node: node.get("nodeId") is None or node["nodeId"] not in inner):
        parent = node.get("parentName") or name_of.get(node.get("parentId"))
        if parent:
            parents[str(node["nodeName"]).strip()] = str(parent).strip()
    return parents


def _from_table(text: str, *, source: str) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    lines: dict[tuple[str, str], int] = {}
    for line, row in table_rows(text, columns=["name"], source=source):
        name, code = row["name"].strip(), row.get("code", "").strip() or str(len(rows) + 1)
        body = row["body"].strip() if "body" in row else ONE_GROUP
        for what, value in (("name", name), ("code", code), ("body", body)):
            if not value:
                raise MmadError(f"{source}, line {line}: {what} is empty; complete or remove the row")
            first = line if what == "body" else lines.setdefault((what, value), line)
            if first != line:
                raise MmadError(f"{source}, line {line}: {what} {value!r} is also in line {first}; rename one of them")
        rows.append((code, name, body))
    return rows
