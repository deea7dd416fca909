"""All figures fit their page for ordinary, empty and odd results, and are written alike every time."""

from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import sample
from mmad.diagnosis import compare, diagnose, measure
from mmad.diagnosis.records import Comparison, Diagnosis, Numbers
from mmad.matching import Rows
from mmad.plots import figures, style
from mmad.plots.figures import draw_figures, write_figures
from mmad.plots.pairs import co_occurrence_figure, confusion_figure
from mmad.plots.timing import calibration_figure

NAMES = ["false_positives", "false_negatives", "sensitivity", "classes", "confusion", "co_occurrence"]
NAMES += ["boundaries", "calibration", "comparison"]


def draw(numbers: Numbers, result: Diagnosis, comparison: Comparison | None = None) -> dict[str, Figure]:
    """Settles and draws every figure, in memory; a warning of matplotlib fails the test."""
    drawn = draw_figures(numbers, result, comparison)
    with matplotlib.rc_context(style.RC):
        for figure in drawn.values():
            figure.draw_without_rendering()
            figure.set_layout_engine(None)
    return drawn


def written(figure: Figure) -> str:
    """All text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def write_one(folder: Path) -> list[Path]:
    """Writes the calibration figure alone, in the formats that are the default."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw_figures", lambda *records: {"calibration": calibration_figure(records[1])})
        return write_figures(folder, sample.numbers(), sample.diagnosis())


@pytest.fixture(scope="module")
def written_png(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], dict[str, Figure]]:
    """Every figure as PNG, and the figures as they were drawn."""
    kept: dict[str, Figure] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw_figures", lambda *records: kept.update(draw_figures(*records)) or kept)
        everything = sample.numbers(), sample.diagnosis(), sample.comparison()
        folder = tmp_path_factory.mktemp("png") / "new" / "figures"
        return write_figures(folder, *everything, formats=("png",)), kept


def test_every_figure_is_written_as_the_one_format_asked_for(written_png) -> None:
    paths, _ = written_png
    assert [path.name for path in paths] == [f"{name}.png" for name in NAMES]
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_three_formats_unless_asked_and_the_same_bytes_every_time(tmp_path: Path) -> None:
    first, second = write_one(tmp_path / "first"), write_one(tmp_path / "second")
    assert [path.name for path in first] == ["calibration.png", "calibration.svg", "calibration.pdf"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.suffix
    # Text stays text, so that a figure can be edited and searched.
    assert ">share that is right</text>" in first[1].read_text()


# Widths of text depend on the figures' settings.
@matplotlib.rc_context(style.RC)
@pytest.mark.parametrize("classes", [sample.CLASSES, 52])
def test_nothing_is_cut_off(classes: int, written_png) -> None:
    _, drawn = written_png
    if classes != sample.CLASSES:
        drawn = draw(sample.numbers(classes), sample.diagnosis(classes=classes), sample.comparison(classes))
    assert list(drawn) == NAMES
    for name, figure in drawn.items():
        width, height = figure.get_size_inches()
        assert 7 <= width <= 11.1
        box = figure.get_tightbbox()
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= width, name
        assert box.y1 <= height, name


def test_figures_without_predictions_and_overlaps_say_so() -> None:
    drawn = draw(*sample.barren())
    assert "no predictions" in written(drawn["false_positives"])
    assert "no matched pairs" in written(drawn["boundaries"])
    assert "no instances of two classes overlap" in written(drawn["co_occurrence"])


def test_figures_without_classes_and_characteristics_say_so() -> None:
    numbers, result = sample.barren()
    for scores, level in ((numbers["action"], result["action"]), (numbers["body"], result["body"])):
        scores["per_class"] = {}
        level["classes"] = []
        level["confusion"] = {"names": [], "codes": [], "groups": [], "matrix": [[0]]}
        level["boundaries"]["by_length"] = []
        level["false_negatives"]["characteristics"] = level["kept_misses"]["characteristics"] = []
    drawn = draw(numbers, result)
    assert "no class has ground truth" in written(drawn["classes"])
    assert "no instances and no predictions" in written(drawn["confusion"])
    assert "no characteristics" in written(drawn["sensitivity"])


def test_scores_that_are_no_probabilities_are_called_so() -> None:
    some = sample.predictions()
    logits = Rows(some.clip, some.label, some.segment, 10 * some.score)
    result = diagnose(logits, sample.ground_truth(), taxonomy=sample.TAXONOMY)
    assert "no probabilities" in written(calibration_figure(result))
    for level in (result["action"], result["body"]):
        level["calibration"]["bins"] = []
    said = written(calibration_figure(result))
    assert "no predictions" in said
    assert "no probabilities" not in said


def test_one_class_in_one_clip_is_enough() -> None:
    """One clip gives no draws, and predictions compared with themselves no difference."""
    found, truth = sample.predictions(1), sample.ground_truth(1)
    found, truth = found.take((found.clip == 0) & (found.label == 0)), truth.take(truth.clip == 0)
    one = compare(found, found, truth, taxonomy=sample.TAXONOMY)
    assert one["per_class"]["shaking body"]["interval"] is None
    draw(measure(found, truth, taxonomy=sample.TAXONOMY), diagnose(found, truth, taxonomy=sample.TAXONOMY), one)


def test_a_name_with_dollar_signs_is_no_formula(tmp_path: Path) -> None:
    result = sample.diagnosis(classes=3)
    for row in result["action"]["classes"]:
        row["code"] = ""
    result["action"]["confusion"]["codes"] = ["$\\x$", "", "<b>"]
    result["action"]["co_occurrence"]["pairs"][0]["first"] = "$\\frac{$"
    drawn = {"confusion": confusion_figure(result), "pairs": co_occurrence_figure(result)}
    svg = {name: style.save(figure, tmp_path / name, formats=("svg",))[0].read_text() for name, figure in drawn.items()}
    assert "$\\x$" in svg["confusion"]
    assert "$\\frac{$" in svg["pairs"]
