"""The figure of annotator agreement is whole, says what is missing, and treats names as text."""

from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmad.dataset.agreement import Agreement, agreement
from mmad.plots import style
from mmad.plots.agreement import agreement_figure
from panels import BOW, NOD, TIPTOE, panel


@pytest.fixture
def found() -> Agreement:
    return agreement(
        panel(
            {
                "anna": [("a", NOD, 1, 3), ("a", BOW, 4, 6), ("a", TIPTOE, 7, 8)],
                "ben": [("a", NOD, 1, 3.1), ("a", BOW, 4.5, 6)],
            }
        )
    )


def written(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@matplotlib.rc_context(style.RC)
@pytest.mark.parametrize("classes", [1, 3, 52])
def test_nothing_is_cut_off(found: Agreement, classes: int) -> None:
    rows = found["action"]["classes"]
    found["action"]["classes"] = [
        {**rows[i % 3], "name": f"class {i} of a rather long name, longer"} for i in range(classes)
    ]
    figure = agreement_figure(found)
    figure.draw_without_rendering()
    figure.set_layout_engine(None)
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height


def test_it_shows_the_numbers(found: Agreement) -> None:
    figure = agreement_figure(found)
    curve, body, classes = figure.axes
    lines = {line.get_label(): line.get_ydata().tolist() for line in curve.lines if len(line.get_ydata()) > 2}
    assert lines == {
        "action": found["action"]["curve"],
        "body": found["body"]["curve"],
        "any action": found["any"]["curve"],
    }
    alphas = sorted((row["alpha"] for row in found["action"]["classes"]), reverse=True)
    assert [bar.get_width() for bar in classes.patches] == alphas
    assert f"each body group, mean {found['body']['alpha']:.2f}" in body.get_title()
    assert "Agreement of 2 annotators in 1 clips" in written(figure)


def test_a_class_without_alpha_and_one_below_chance(found: Agreement) -> None:
    found["action"]["classes"][0] |= {"alpha": None, "positive": None}
    found["action"]["classes"][1] |= {"alpha": -0.3}
    classes = agreement_figure(found).axes[-1]
    assert "no value" in [text.get_text() for text in classes.texts]
    assert classes.get_xlim()[0] < -0.3
    assert NOD in classes.get_yticklabels()[-1].get_text(), "what has no value comes last"


def test_without_body_groups_there_is_no_panel_for_them(found: Agreement) -> None:
    found["body"] = None
    figure = agreement_figure(found)
    assert len(figure.axes) == 2
    assert "body" not in [line.get_label() for line in figure.axes[0].lines]


def test_a_name_with_dollar_signs_is_no_formula_and_bytes_repeat(found: Agreement, tmp_path: Path) -> None:
    found["action"]["classes"][0]["name"] = "$\\frac{$"
    first, second = (style.save(agreement_figure(found), tmp_path / n, formats=("svg",))[0] for n in ("one", "two"))
    assert "$\\frac{$" in first.read_text()
    assert first.read_bytes() == second.read_bytes()
