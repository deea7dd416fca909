"""The viewer as somebody uses it: with the mouse, with keys, and with a server that dies."""

import io
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mmad.errors import MmadError
from mmad.formats.boris import read_boris
from mmad.formats.csv_marks import read_csv_marks
from mmad.formats.elan import read_elan
from mmad.formats.json_marks import read_json_marks
from mmad.formats.marks import Mark
from mmad.taxonomy import MMA52
from mmad.viewer import saving
from mmad.viewer.frames import facts
from mmad.viewer.project import Layer, Project
from mmad.viewer.saving import Corrections, Edited
from numbered import picture, shown_numbers, write_numbered
from viewing import TRUTH, box, project, served

FPS, SECONDS = 30, 4
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"

Rows = list[tuple[float, float, str]]


class View(NamedTuple):
    """An open page, and the corrections behind it."""

    page: Any
    corrections: Corrections
    output: Path

    def until(self, condition: str) -> None:
        """Waits for JavaScript to be true; `wait_for_function` needs eval, which the page's policy forbids."""
        for _ in range(300):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(20)
        raise AssertionError(f"never true: {condition}")

    def saved(self) -> None:
        self.until("document.querySelector('#saved').className === 'fine'")

    def rows(self, clip: str = "one") -> Rows:
        """What the server has of the corrections, once all is saved."""
        self.saved()
        return rows_of(self.corrections.of(clip))

    def drawn(self) -> list[str]:
        """What the timeline says of the corrections, by time."""
        labels = self.page.locator("#lanes .bar.corrections").evaluate_all("bars => bars.map(bar => bar.ariaLabel)")
        return sorted(labels, key=lambda words: float(words.split(", ")[-1].split()[0]))

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def begin(self, name: str = "ground truth") -> None:
        self.page.locator("#start button", has_text=name).click()

    def frame(self) -> int:
        return int(self.page.locator("#now").inner_text().split()[-1])

    def drag(self, place: tuple[float, float], seconds: float, *, steps: int = 6) -> None:
        """Drags from a place on the page by a time."""
        x, y = place
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + seconds * self.pace(), y, steps=steps)
        mouse.up()

    def pace(self) -> float:
        """Pixels of a second, from the bars of two layers that no zoom has cut."""
        place = box(self.page.locator("#lanes .bar.truth").first)
        words = self.page.locator("#lanes .bar.truth").first.get_attribute("aria-label")
        start, end = (float(words.split(", ")[-1].split()[at]) for at in (0, 2))
        return place["width"] / (end - start)

    def edge(self, bar: str, side: str) -> tuple[float, float]:
        """A place on the end of the selected segment."""
        place = box(self.page.locator(f"{bar} .handle.{side}"))
        return place["x"] + place["width"] / 2, place["y"] + place["height"] / 2

    def middle(self, bar: Any) -> tuple[float, float]:
        place = box(bar.locator(".shape"))
        return place["x"] + place["width"] / 2, place["y"] + place["height"] / 2


def rows_of(edited: Edited) -> Rows:
    return sorted((row["start"], row["end"], row["label"]) for row in edited.segments.values())


EXPECTED: Rows = sorted((mark.start, mark.end, mark.label) for mark in TRUTH)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, numbered_video: Callable[..., Path]) -> dict[str, Path]:
    """A common film, one of which no browser knows the codec, and one of variable rate."""
    folder = tmp_path_factory.mktemp("films")
    write_numbered(folder / "one.mp4", frames=FPS * SECONDS, fps=FPS, options={"crf": "12", "g": "250"})
    write_numbered(folder / "old.avi", codec="mpeg4", frames=60, fps=30)
    ticks = [round(1000 * (number / 10 + (number % 3) / 40)) for number in range(40)]
    shutil.copy(numbered_video(frames=40, fps=10, ticks=ticks), folder / "uneven.mp4")
    (folder / "broken.mp4").write_bytes(b"not a film")
    return {path.stem: path for path in sorted(folder.iterdir())}


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    contexts = []

    def build(address: str, *, size: tuple[int, int] = (1440, 900), **options: Any) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        page = context.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on(
            "console", lambda message: page.faults.append(message.text) if "Content Security" in message.text else None
        )
        contexts.append((context, page))
        page.goto(address)
        page.locator("#start *").first.wait_for()
        return page

    yield build
    for context, page in contexts:
        assert not page.faults
        context.close()


@pytest.fixture
def view(tmp_path: Path, films: dict[str, Path], open_page: Callable[..., Any]) -> Iterator[View]:
    with served(project(films), tmp_path / "out") as (address, corrections):
        yield View(open_page(address.start), corrections, tmp_path / "out")


# Editing --------------------------------------------------------------------------------------------------------------


def test_the_token_goes_out_of_sight_and_layers_are_drawn(view: View) -> None:
    assert "token" not in view.page.url
    assert view.page.locator("#lanes .bar.truth").count() == 3
    assert view.page.locator("#lanes .bar.annotation").count() == 1
    assert view.drawn() == []
    assert not view.corrections.journal.exists()


def test_corrections_begin_as_a_copy(view: View) -> None:
    view.begin()
    assert view.rows() == EXPECTED
    assert len(view.drawn()) == 3
    view.keys("Control+z")
    assert view.rows() == []
    view.begin("anna")
    assert view.rows() == [(0.4, 1.6, "nodding")]
    view.page.select_option("#start-again", label="nothing")
    assert view.rows() == []


def test_edges_and_segments_are_dragged_onto_frames(view: View) -> None:
    view.begin()
    view.page.mouse.click(*view.middle(view.page.locator("#lanes .bar.corrections").first))
    view.drag(view.edge("#lanes .bar.chosen", "end"), 0.41)
    start, end, label = view.rows()[0]
    assert (start, label) == (0.5, "nodding")
    assert end == pytest.approx(1.5 + 12 / FPS)
    view.drag(view.edge("#lanes .bar.chosen", "start"), -0.2)
    assert view.rows()[0][0] == pytest.approx(0.5 - 6 / FPS)
    view.drag(view.middle(view.page.locator("#lanes .bar.chosen")), 0.3)
    start, end, _ = view.rows()[0]
    assert (start, end) == (pytest.approx(0.3 + 9 / FPS), pytest.approx(1.9 + 9 / FPS))
    view.drag(view.middle(view.page.locator("#lanes .bar.chosen")), -1.2)
    assert view.rows()[0][:2] == (0, pytest.approx(1.6))
    view.drag(view.edge("#lanes .bar.chosen", "start"), 2)
    assert min(end - start for start, end, _ in view.rows()) == pytest.approx(1 / FPS)


def test_alt_leaves_the_frames_out(view: View) -> None:
    view.begin()
    view.page.mouse.click(*view.middle(view.page.locator("#lanes .bar.corrections").first))
    view.page.keyboard.down("Alt")
    view.drag(view.edge("#lanes .bar.chosen", "end"), 0.415)
    view.page.keyboard.up("Alt")
    end = view.rows()[0][1]
    assert end == pytest.approx(1.915, abs=0.01)
    assert abs(end * FPS - round(end * FPS)) > 0.05 or end == round(end, 3)
    assert end == round(end, 3)


def test_a_drag_that_escape_ends_changes_nothing(view: View) -> None:
    view.begin()
    view.page.mouse.click(*view.middle(view.page.locator("#lanes .bar.corrections").first))
    x, y = view.edge("#lanes .bar.chosen", "end")
    view.page.mouse.move(x, y)
    view.page.mouse.down()
    view.page.mouse.move(x + 60, y, steps=4)
    view.keys("Escape")
    view.page.mouse.up()
    assert view.rows() == EXPECTED


def test_all_by_keyboard(view: View) -> None:
    """Begin, choose, change the class, trim, add, check, delete, undo and redo without the mouse."""
    view.keys("s", "Enter")
    view.until("document.querySelectorAll('#lanes .bar.corrections').length === 3")
    view.page.locator("#lanes").focus()
    view.keys("n", "c")
    view.page.keyboard.type("touching nose")
    view.keys("Enter")
    assert view.rows()[0] == (0.5, 1.5, "touching nose")
    view.keys("q", "r", "r")
    assert view.rows()[0][:2] == (pytest.approx(0.5 - 1 / FPS), pytest.approx(1.5 + 2 / FPS))
    view.keys("w", "e", "Home", "Shift+ArrowRight", "o")
    assert view.rows()[0][:2] == (pytest.approx(0.5), pytest.approx(1.0))
    view.keys("ArrowLeft", "ArrowLeft", "i")
    assert view.rows()[0][:2] == (pytest.approx(1 - 2 / FPS), pytest.approx(1.0))
    view.keys("m", "n")
    view.saved()
    assert [row.get("checked") for row in view.corrections.of("one").segments.values()].count(True) == 1
    view.keys("Delete")
    assert len(view.rows()) == 2
    view.keys("Shift+ArrowRight", "a")
    view.page.keyboard.type("b1")
    view.keys("Enter")
    added = [row for row in view.rows() if row[2] == "nodding"]
    assert len(view.rows()) == 3
    assert added[0][1] - added[0][0] == pytest.approx(1.0)
    before = view.rows()
    view.keys(*["Control+z"] * 12)
    assert view.rows() == []
    view.keys(*["Control+Shift+z"] * 6, *["Control+y"] * 7)
    assert view.rows() == before


def test_segments_are_copied_from_other_layers(view: View) -> None:
    view.page.locator("#lanes").focus()
    view.keys("ArrowDown")
    assert "ground truth" in view.page.locator("#details").inner_text()
    view.keys("ArrowDown", "d")
    assert view.rows() == [(0.4, 1.6, "nodding")]
    view.page.locator("#lanes .bar.prediction").first.locator(".shape").click()
    view.page.locator("#take").click()
    start, end, label = view.rows()[-1]
    assert label == "nodding"
    assert (start * FPS, end * FPS) == (pytest.approx(14), pytest.approx(43))


def test_other_layers_stay_as_they_are(view: View) -> None:
    bar = view.page.locator("#lanes .bar.truth").first
    view.drag(view.middle(bar), 0.5)
    assert "stays as it is" in view.page.locator("#said").inner_text()
    for key in ("Delete", "q", "c", "m", "i"):
        view.keys(key)
    assert not view.page.locator("#class-dialog").is_visible()
    assert not view.corrections.journal.exists()


def test_double_click_adds_in_the_lane_of_the_body_group(view: View) -> None:
    lane = box(view.page.locator("rect[data-body='1']"))
    view.page.mouse.dblclick(lane["x"] + 0.75 * lane["width"], lane["y"] + 5)
    options = view.page.locator("#class-dialog [role=option]")
    assert "nodding" in options.first.inner_text()
    view.page.locator("#class-dialog [role=option]", has_text="shaking head").click()
    ((start, _, label),) = view.rows()
    assert (label, 2.3 < start < 3.2) == ("shaking head", True)


def test_numbers_and_buttons_change_the_segment(view: View) -> None:
    view.begin()
    view.page.locator("#lanes").focus()
    view.keys("n")
    view.page.fill("#field-end", "2.2")
    view.keys("Enter")
    assert view.rows()[0][:2] == (0.5, 2.2)
    view.page.click("#start-later")
    assert view.rows()[0][0] == pytest.approx(0.5 + 1 / FPS)
    view.page.fill("#field-start", "3")
    view.keys("Tab")
    assert view.page.input_value("#field-start") == "0.533"
    view.page.click("#undo")
    assert view.rows()[0][0] == 0.5
    view.page.click("#delete")
    assert len(view.rows()) == 2


# Looking --------------------------------------------------------------------------------------------------------------


def test_thresholds_choose_the_predictions(view: View) -> None:
    bars = view.page.locator("#lanes .bar.prediction")
    assert bars.count() == 1  # only nodding has a threshold of its own
    view.page.locator("#own").uncheck()
    assert bars.count() == 2
    view.keys("t", "Home")
    assert bars.count() == 3
    view.keys("End")
    assert bars.count() == 1
    assert view.page.locator("output[for=least]").inner_text() == "0.90"


def until_shown(view: View, number: int) -> None:
    """Waits until the picture is that of a frame."""
    seen = None
    for _ in range(60):
        content = view.page.locator("#screen").screenshot()
        screen = Image.open(io.BytesIO(content)).convert("RGB")
        width, height = screen.size
        wide = min(width, round(height * 4 / 3))
        screen = screen.crop(((width - wide) // 2, 0, (width + wide) // 2, height))
        seen = shown_numbers(torch.from_numpy(np.array(screen)).permute(2, 0, 1)[None])[0]
        if seen == number:
            return
        view.page.wait_for_timeout(20)
    raise AssertionError(f"frame {seen} is shown, not {number}")


def test_the_picture_is_that_of_the_frame(view: View) -> None:
    view.until("document.querySelector('video').readyState >= 2")
    view.keys("ArrowRight", "ArrowRight", "ArrowRight")
    assert view.frame() == 3
    until_shown(view, 3)
    view.keys("Shift+ArrowRight", "ArrowLeft")
    assert view.frame() == 32
    until_shown(view, 32)
    view.keys("End")
    assert view.frame() == 119
    until_shown(view, 119)


def test_frames_of_a_variable_rate_are_stepped_at_their_own_times(view: View) -> None:
    view.page.select_option("#clip", label="uneven")
    view.until("document.querySelector('video').readyState >= 2 && location.hash === '#uneven'")
    seen = []
    for number in range(1, 5):
        view.keys("ArrowRight")
        assert view.frame() == number
        until_shown(view, number)
        seen.append(float(view.page.locator("#now").inner_text().split()[0]))
    assert seen == [0.125, 0.25, 0.3, 0.425]


def with_earlier_sound(path: Path, *, seconds: float, delay: float) -> Path:
    """A numbered film whose sound begins before its picture."""
    with av.open(str(path), "w") as container:
        film = container.add_stream("libvpx", rate=FPS, options={"crf": "6", "b": "2M", "deadline": "realtime"})
        film.width, film.height, film.pix_fmt = 160, 120, "yuv420p"
        film.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("libopus", rate=48000, layout="mono")
        for number in range(round((seconds + delay) * 48000 / 960)):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = 48000, number * 960, Fraction(1, 48000)
            container.mux(sound.encode(silence))
        for number in range(round(seconds * FPS)):
            frame = av.VideoFrame.from_ndarray(picture(number, width=160, height=120), format="rgb24")
            frame.pts, frame.time_base = round(1000 * (delay + number / FPS)), Fraction(1, 1000)
            container.mux(film.encode(frame))
        container.mux(sound.encode())
        container.mux(film.encode())
    return path


def test_sound_that_begins_before_the_picture_moves_no_frame(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    film = with_earlier_sound(tmp_path / "late.webm", seconds=2, delay=1.0)
    assert facts(film)["delay"] == pytest.approx(1.0, abs=0.02)
    shown = Project("late", MMA52, ["late"], {"late": film}, [])
    with served(shown, tmp_path / "out") as (address, corrections):
        view = View(open_page(address.start), corrections, tmp_path / "out")
        view.until("document.querySelector('video').readyState >= 2")
        until_shown(view, 0)
        view.keys("ArrowRight", "ArrowRight")
        until_shown(view, 2)
        view.keys("Shift+ArrowRight")
        assert view.frame() == 32
        until_shown(view, 32)
        view.keys("End")
        assert view.frame() == 59
        until_shown(view, 59)
        view.keys("Home", " ")
        view.until("document.querySelector('#play').textContent.includes('Pause')")
        view.until("Number(document.querySelector('#now').textContent.split(' ')[0]) > 0.5")
        view.keys(" ")
        until_shown(view, view.frame())
        view.keys(" ")
        view.until("document.querySelector('#play').textContent.includes('Play')")
        assert view.frame() == 59


def test_what_the_browser_cannot_play_is_shown_frame_by_frame(view: View) -> None:
    view.page.select_option("#clip", label="old")
    view.page.locator("#screen img").wait_for()
    assert "cannot play the video (mpeg4)" in view.page.locator("#fault").inner_text()
    view.keys("ArrowRight", "ArrowRight")
    assert view.frame() == 2
    until_shown(view, 2)
    view.keys(" ")
    view.until("Number(document.querySelector('#now').textContent.split(' ').pop()) > 8")
    view.keys(" ")


def test_a_broken_video_is_told_and_its_timeline_works(view: View) -> None:
    view.page.select_option("#clip", label="broken")
    view.until("location.hash === '#broken'")
    assert "cannot be read" in view.page.locator("#screen").inner_text()
    view.keys("a")
    view.page.keyboard.type("waving")
    view.keys("Enter")
    assert view.rows("broken") == [(0.0, 1.0, "waving")]


def test_a_segment_plays_to_its_end(view: View) -> None:
    view.until("document.querySelector('video').readyState >= 2")
    view.begin()
    view.page.locator("#lanes").focus()
    view.page.select_option("#speed", "2")
    view.page.locator("#lanes").focus()
    view.keys("n", "n", "n", "Enter")
    view.until("document.querySelector('#play').textContent.includes('Pause')")
    view.until("document.querySelector('#play').textContent.includes('Play')")
    assert view.frame() == pytest.approx(3.8 * FPS, abs=1)
    view.keys("l", "Enter")
    view.page.wait_for_timeout(900)
    assert "Pause" in view.page.locator("#play").inner_text()
    assert 3.0 * FPS - 1 <= view.frame() <= 3.8 * FPS
    view.keys(" ")


def test_zooming_keeps_the_playhead_and_draws_what_is_in_view(view: View) -> None:
    view.begin()
    wide = view.pace()
    view.keys("End")
    for _ in range(2):
        view.keys("+")
    assert view.page.locator("#lanes .bar.truth").count() == 1
    view.page.locator("#zoom-in").click()
    view.keys("0")
    assert view.pace() == pytest.approx(wide)
    ruler = box(view.page.locator(".ruler"))
    view.page.mouse.move(ruler["x"] + ruler["width"] / 2, ruler["y"] + 60)
    view.page.keyboard.down("Control")
    view.page.mouse.wheel(0, -100)
    view.page.keyboard.up("Control")
    assert view.pace() > 1.3 * wide
    strip = box(view.page.locator(".window"))
    view.page.mouse.click(strip["x"] + strip["width"] + 60, strip["y"] + 4)
    assert box(view.page.locator(".window"))["x"] > strip["x"]


def test_a_click_on_the_ruler_keeps_the_selection(view: View) -> None:
    view.begin()
    view.page.locator("#lanes").focus()
    view.keys("n")
    ruler = box(view.page.locator(".ruler"))
    view.page.mouse.click(ruler["x"] + 0.4 * ruler["width"], ruler["y"] + 30)
    view.keys("o")
    assert view.rows()[0][1] != 1.5
    assert abs(view.rows()[0][1] * FPS - round(view.rows()[0][1] * FPS)) < 1e-6


def test_the_help_names_every_key(view: View) -> None:
    view.keys("?")
    words = view.page.locator("#help-dialog").inner_text()
    assert "end a frame earlier, later" in words
    view.keys("a")
    assert not view.page.locator("#class-dialog").is_visible()
    view.keys("Escape")
    view.until("!document.querySelector('#help-dialog').open")


# Nothing is lost ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_whatever_keys_are_pressed_page_server_and_disk_agree(view: View, seed: int) -> None:
    rng = np.random.default_rng(seed)
    view.begin()
    keys = [*"nnpqwerdmiio", "ArrowDown", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowLeft", "ArrowRight", "Home"]
    keys += ["Delete", "Control+z", "Control+z", "Control+z", "Control+y", "0", "+", "-", "c", "a"]
    view.page.locator("#lanes").focus()
    for key in rng.choice(keys, 120):
        view.keys(key)
        if view.page.locator("#class-dialog").is_visible():
            view.keys(*["ArrowDown"] * int(rng.integers(0, 4)), str(rng.choice(["Enter", "Enter", "Escape"])))
    view.keys("0")
    rows = view.rows()
    words = [
        f"corrections: {MMA52.codes[MMA52.index_of[label]]} {label}, {start:.2f} to {end:.2f} s"
        for start, end, label in rows
    ]
    assert sorted(each.removesuffix(", checked") for each in view.drawn()) == sorted(words)
    assert rows_of(Corrections(view.output).of("one")) == rows
    assert len(view.corrections.of("one").keys) > 20


def test_a_reload_keeps_all_and_undo_goes_on(view: View) -> None:
    view.page.select_option("#clip", label="uneven")
    view.until("location.hash === '#uneven'")
    view.keys("a")
    view.page.keyboard.type("waving")
    view.keys("Enter", "m")
    view.saved()
    view.page.reload()
    view.page.locator("#lanes .bar.corrections").wait_for()
    assert view.page.url.endswith("#uneven")
    view.page.locator("#lanes").focus()
    view.keys("Control+z", "Control+z")
    assert view.rows("uneven") == []
    view.keys("Control+y")
    assert len(view.rows("uneven")) == 1


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "csv": ("one.csv", read_csv_marks),
    "elan": ("one.eaf", lambda path: read_elan(path, taxonomy=MMA52)),
    "boris": ("one.boris", read_boris),
    "boris_table": ("one.events.csv", read_boris),
    "json": ("one.json", read_json_marks),
}


def test_every_export_is_what_is_shown(view: View) -> None:
    view.begin()
    view.page.locator("#lanes").focus()
    view.keys("n", "r")
    view.keys("x")
    for to, (name, read) in READERS.items():
        view.page.locator(f"[data-to={to}]").click()
        view.page.locator("#export-dialog code", has_text=name).wait_for()
        read_back = sorted((mark.start, mark.end, mark.label) for mark in read(view.output / name).marks)
        for (start, end, label), (s, e, expected) in zip(read_back, view.rows(), strict=True):
            assert (label, start, end) == (expected, pytest.approx(s, abs=0.0006), pytest.approx(e, abs=0.0006))
        with view.page.expect_download() as download:
            view.page.locator("#download").click()
        assert Path(download.value.path()).read_bytes() == (view.output / name).read_bytes()


def test_two_windows_do_not_write_over_each_other(view: View) -> None:
    other = view.page.context.new_page()
    other.goto(view.page.url)
    other.locator("#start button").first.wait_for()
    view.begin()
    view.saved()
    other.locator("#start button", has_text="anna").click()
    other.locator("#fault", has_text="with 1 edit of yours done again on it").wait_for()
    view._replace(page=other).saved()
    assert view.rows() == sorted([*EXPECTED, (0.4, 1.6, "nodding")])
    view._replace(page=other).until("document.querySelectorAll('#lanes .bar.corrections').length === 4")
    other.locator("#lanes").focus()
    other.keyboard.press("n")
    other.keyboard.press("Delete")
    view.until("document.querySelectorAll('#lanes .bar.corrections').length === 3")


def test_what_waited_is_done_again_on_what_another_window_has_done(view: View) -> None:
    """One window is cut off and does five things; of the segments in another one, one is moved and one deleted."""
    view.begin()
    view.saved()
    cut = view._replace(page=view.page.context.new_page())
    cut.page.goto(view.page.url)
    cut.until("document.querySelectorAll('#lanes .bar.corrections').length === 3")
    cut.page.route("**/edit/*", lambda route: route.abort())
    cut.page.locator("#lanes").focus()
    cut.keys("n", "r", "n", "r", "n", "Delete", "Control+z", "Home", "a")
    cut.page.keyboard.type("touching nose")
    cut.keys("Enter")
    cut.page.locator("#gone", has_text="5 edits wait").wait_for()
    view.page.locator("#lanes").focus()
    view.keys("n", "q", "n", "Delete", "End", "a")
    view.page.keyboard.type("waving")
    view.keys("Enter")
    view.saved()
    cut.page.unroute("**/edit/*")
    told = cut.page.locator("#fault", has_text="Another window has edited this clip")
    told.wait_for()
    assert "with 4 of 5 edits of yours done again on it" in told.inner_text()
    assert "1 edit could not be" in told.inner_text()
    rows = cut.rows()
    assert [label for _, _, label in rows] == ["touching nose", "nodding", "nodding", "waving"]
    assert rows[1][:2] == (0.5, pytest.approx(1.5 + 1 / FPS))  # the same segment: the later edit
    assert rows[2] == EXPECTED[2]
    cut.until("document.querySelectorAll('#lanes .bar.corrections').length === 4")
    cut.keys("Control+z")
    assert [label for _, _, label in cut.rows()] == ["nodding", "nodding", "waving"]
    assert not told.is_visible()


def test_an_edit_that_is_refused_is_set_aside_and_stops_no_other(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = saving._checked

    def choosy(operation: Any) -> Any:
        if any(each["label"] == "waving" for each in operation.get("put", ())):
            raise MmadError("nobody waves here")
        return checked(operation)

    monkeypatch.setattr(saving, "_checked", choosy)
    view.page.route("**/edit/*", lambda route: route.abort())
    for label in ("nodding", "waving", "shaking head"):
        view.keys("a")
        view.page.keyboard.type(label)
        view.keys("Enter")
    view.page.select_option("#clip", label="two")
    view.page.locator("#gone", has_text="3 edits wait").wait_for()
    view.page.unroute("**/edit/*")
    view.page.locator("#fault", has_text="one: An edit was refused and is left out: nobody waves here").wait_for()
    view.until("location.hash === '#two'")
    view.keys("a")
    view.page.keyboard.type("nodding")
    view.keys("Enter")
    assert [label for _, _, label in view.rows("two")] == ["nodding"]
    assert sorted(label for _, _, label in view.rows()) == ["nodding", "shaking head"]


def test_a_full_disk_sets_nothing_aside(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise saving.Unwritten("the disk is full; make room")

    with monkeypatch.context() as patch:
        patch.setattr(saving, "_append", full)
        view.begin()
        view.page.locator("#gone", has_text="the disk is full; make room. 1 edit wait here").wait_for()
        view.page.wait_for_timeout(1600)
    assert view.rows() == EXPECTED


def test_a_server_that_is_gone_is_told_and_gets_the_edits_when_it_is_back(
    tmp_path: Path, films: dict[str, Path], open_page: Callable[..., Any]
) -> None:
    with served(project(films), tmp_path) as (address, corrections):
        view = View(open_page(address.start), corrections, tmp_path)
        view.begin()
        view.saved()
    view.page.locator("#lanes").focus()
    view.keys("n", "r", "r", "Delete")
    view.page.locator("#gone", has_text="3 edits wait here").wait_for()
    view.page.on("dialog", lambda dialog: dialog.dismiss())
    with served(project(films), tmp_path) as (again, later):
        assert again == address
        view = view._replace(corrections=later)
        assert view.rows() == EXPECTED[1:]
        assert not view.page.locator("#gone").is_visible()


def test_edits_that_wait_outlive_a_reload(
    tmp_path: Path, films: dict[str, Path], open_page: Callable[..., Any]
) -> None:
    with served(project(films), tmp_path) as (address, corrections):
        view = View(open_page(address.start), corrections, tmp_path)
        view.page.route("**/edit/*", lambda route: route.abort())
        view.begin()
        view.page.locator("#gone", has_text="1 edit wait").wait_for()
        view.page.on("dialog", lambda dialog: dialog.accept())
        view.page.reload()
        view.page.locator("#gone", has_text="1 edit wait").wait_for()
        assert not corrections.journal.exists()
        view.page.unroute("**/edit/*")
        view.page.locator("#lanes .bar.corrections").first.wait_for()
        assert view.rows() == EXPECTED


# Who else is there ----------------------------------------------------------------------------------------------------


def test_a_server_on_another_port_never_gets_the_token(view: View) -> None:
    got: list[tuple[str, str]] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append((self.path, self.headers.get("Cookie", "")))
            self.send_response(200)
            self.send_header("Set-Cookie", "other=1; Path=/")
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = view.page.context.new_page()
        for path in ("", "project", "clip/0", "static/app.js", "x/project"):
            tab.goto(f"http://127.0.0.1:{server.server_port}/{path}")
        tab.goto(f"http://127.0.0.1:{server.server_port}/again")
        server.shutdown()
    assert ("/again", "other=1") in got  # so cookies would have come
    assert not any("mmad" in cookie for _, cookie in got)
    view.page.reload()
    view.page.locator("#start button").first.wait_for()
    view.begin()
    assert view.rows() == EXPECTED


def test_clips_whose_ids_are_paths(tmp_path: Path, films: dict[str, Path], open_page: Callable[..., Any]) -> None:
    names = {"a/x": films["one"], "b/x": films["uneven"]}
    marks = {clip: [Mark(clip, 0.5, 1.5, "nodding")] for clip in names}
    shown = Project("paths", MMA52, list(names), names, [Layer("found", "annotation", marks)])
    with served(shown, tmp_path) as (address, corrections):
        view = View(open_page(address.start), corrections, tmp_path)
        view.page.select_option("#clip", label="b/x")
        view.until("location.hash === '#b%2Fx'")
        view.begin("found")
        assert view.rows("b/x") == [(0.5, 1.5, "nodding")]
        view.page.reload()
        view.page.locator("#lanes .bar.corrections").wait_for()
        view.keys("x")
        view.page.locator("[data-to=csv]").click()
        view.page.locator("#export-dialog code", has_text="b_x.csv").wait_for()
        assert (tmp_path / "b_x.csv").is_file()


# The unusual ----------------------------------------------------------------------------------------------------------


def test_names_from_files_are_only_text(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    marks = {HOSTILE: [Mark(HOSTILE, 0.0, 1.0, HOSTILE)]}
    shown = Project(HOSTILE, MMA52, [HOSTILE], {}, [Layer(HOSTILE, "annotation", marks)]).knowing([HOSTILE])
    with served(shown, tmp_path) as (address, corrections):
        view = View(open_page(address.start), corrections, tmp_path)
        view.page.locator("#start button").first.click()
        view.keys("n")
        view.page.locator("#details h2", has_text="onerror").wait_for()
        view.keys("x")
        view.page.locator("[data-to=csv]").click()
        view.page.locator("#export-dialog [role=status] p").first.wait_for()
        assert "owned" not in view.page.title() or view.page.title().startswith("<img")
        assert view.page.locator("img[src=x]").count() == 0


def test_an_hour_of_thousands_stays_quick(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    labels = ("nodding", "waving", "touching nose", "shaking legs")
    marks = [Mark("long", n * 0.6, n * 0.6 + 0.5 + n % 3, labels[n % 4], score=(n % 10) / 10) for n in range(6000)]
    shown = Project(
        "long", MMA52, ["long"], {}, [Layer("found", "prediction", {"long": marks})], durations={"long": 3600.0}
    )
    with served(shown, tmp_path) as (address, corrections):
        view = View(open_page(address.start), corrections, tmp_path)
        view.keys("t", "Home")
        view.begin("found")
        view.saved()
        assert len(view.rows("long")) == 6000
        assert view.page.locator("[data-id]").count() < 12000
        view.page.locator("#lanes").focus()
        spent = (
            "(() => { const begun = performance.now(); document.querySelector('#zoom-in').click(); "
            "return performance.now() - begun; })()"
        )
        assert view.page.evaluate(spent) < 1500
        for _ in range(6):
            view.page.evaluate(spent)
        assert view.page.locator("[data-id]").count() < 300
        view.keys("n", "r")
        assert len(view.rows("long")) == 6000


@pytest.mark.parametrize("size", [(1440, 900), (820, 1180)])
def test_the_page_fits_its_window(
    tmp_path: Path, films: dict[str, Path], open_page: Callable[..., Any], size: tuple[int, int]
) -> None:
    with served(project(films), tmp_path) as (address, corrections):
        view = View(open_page(address.start, size=size), corrections, tmp_path)
        view.begin()
        view.page.locator("#lanes").focus()
        view.keys("n")
        assert view.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert view.page.evaluate("document.documentElement.scrollHeight <= innerHeight + 1")
        for name in ("#lanes", "#details", "#screen", "#export", "#delete"):
            place = box(view.page.locator(name))
            assert place["x"] >= 0
            assert place["x"] + place["width"] <= size[0]
            assert place["y"] + place["height"] <= size[1]


def test_journal_is_plain_json(view: View) -> None:
    view.begin()
    view.saved()
    (line,) = view.corrections.journal.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["clip"], entry["do"], len(entry["put"])) == ("one", "edit", 3)
