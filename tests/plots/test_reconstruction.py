"""The picture of rebuilt clips: what lies where, and that its labels fit."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmad.plots import reconstruction, style
from mmad.plots.reconstruction import GAP, mosaic, plot_reconstructions


def videos(seed: int, clips: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (clips, 16, 24, 18, 3), dtype=np.uint8)


def test_a_row_for_each_video_and_a_column_for_each_frame() -> None:
    rows = [videos(0), videos(1), videos(2)]
    picture = mosaic(rows, 1)
    assert picture.shape == (3 * (24 + GAP), 16 * (18 + GAP), 3)
    for row in range(3):
        for frame in (0, 7, 15):
            top, left = row * (24 + GAP), frame * (18 + GAP)
            assert np.array_equal(picture[top : top + 24, left : left + 18], rows[row][1, frame])
    assert (picture[24 : 24 + GAP] == 255).all()


@pytest.mark.parametrize("clips", [1, 4])
def test_every_label_lies_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips: int) -> None:
    kept: list[Figure] = []
    save = style.save

    def keep(figure: Figure, stem: Path, *, formats: list[str]) -> list[Path]:
        kept.append(figure)
        return save(figure, stem, formats=formats)

    monkeypatch.setattr(reconstruction, "save", keep)
    names = [f"a clip in a folder with a $name$ that is rather long, number {clip}.mp4" for clip in range(clips)]
    path = plot_reconstructions(tmp_path / "r.png", names, videos(0, clips), videos(1, clips), videos(2, clips))
    assert path.stat().st_size > 5_000
    (figure,) = kept
    width, height = figure.get_size_inches() * figure.dpi
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert {"original", "masked", "rebuilt", names[0]} <= {text.get_text() for text in shown}
    with matplotlib.rc_context(style.RC):
        figure.draw_without_rendering()  # saving has left texts as they are at another resolution
        for text in shown:
            box = text.get_window_extent()
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= width, text
            assert box.y1 <= height, text
