"""The report page: what its file holds, and what a reader can do with it in a browser."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sample
from arrays import found
from mmad.annotations import Instance, Truth
from mmad.diagnosis.records import ShownClip
from mmad.diagnosis.shown import shown_clips
from mmad.errors import MmadError
from mmad.page.build import write_page
from mmad.page.packing import PREDICTION_FIELDS, TRUTH_FIELDS
from mmad.taxonomy import MMA52, Taxonomy

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
ENDING = "</script><script>document.title='owned'</script><!--"
ABOUT = {"command": "mmad-eval", "<b>version</b>": ENDING}


def write(path: Path, **changes: Any) -> Path:
    """The page of the sample, with other records where they are given."""
    records = {"numbers": sample.numbers(), "diagnosis": sample.diagnosis(), "comparison": sample.comparison()}
    records |= {"title": "Report", "clips": sample.shown(), "taxonomy": MMA52, "about": ABOUT}
    return write_page(path, **(records | changes))


def data_of(page: Path) -> dict[str, Any]:
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert held is not None
    return json.loads(held[1])


def with_hostile_names() -> Taxonomy:
    bodies = [MMA52.bodies[body] for body in MMA52.body_of]
    rows = list(zip(MMA52.codes, MMA52.actions, bodies, strict=True))
    rows[0] = ("A1", HOSTILE, "body")
    rows[2] = ("A4", ENDING, "body")
    return Taxonomy.from_rows(tuple(rows))


def filmed_clip(taxonomy: Taxonomy = MMA52) -> ShownClip:
    """A found and a missed instance; a true positive, an extra label and a weak background prediction."""
    rows = sample.diagnosis(taxonomy=taxonomy)["action"]["classes"]
    first, second, *_ = (taxonomy.index_of[row["name"]] for row in rows if row["best_score"])
    clip = Truth("filmed", (Instance(1.0, 1.4, first), Instance(2.5, 3.5, second)), 4.0, "filmed")
    said = found((0, first, 1.0, 1.5, 0.99), (0, second, 0.9, 1.4, 0.98), (0, first, 3.6, 3.9, 0.01))
    return shown_clips(said, [clip], taxonomy=taxonomy, videos=["filmed.mp4"])[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, numbered_video: Callable[..., Path]) -> Path:
    """The page that the browser opens, beside its one video; another clip's video is not there."""
    folder, taxonomy = tmp_path_factory.mktemp("page"), with_hostile_names()
    shutil.copy(numbered_video(frames=120, fps=30), folder / "filmed.mp4")
    clips = sample.shown([None, "absent.mp4"] + [None] * (sample.CLIPS - 2), taxonomy=taxonomy)
    clips[0]["id"] = HOSTILE
    return write(
        folder / "index.html",
        title=ENDING,
        numbers=sample.numbers(taxonomy=taxonomy),
        diagnosis=sample.diagnosis(taxonomy=taxonomy),
        comparison=sample.comparison(taxonomy=taxonomy),
        clips=[*clips, filmed_clip(taxonomy)],
        taxonomy=taxonomy,
    )


# The file -------------------------------------------------------------------------------------------------------------


def test_the_file_loads_nothing_from_elsewhere(built: Path) -> None:
    text = built.read_text()
    assert [path.name for path in built.parent.iterdir() if path.suffix != ".mp4"] == ["index.html"]
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<link|@import|<(script|img|iframe)[^>]+src=|fetch\(|XMLHttpRequest|innerHTML", text)
    assert "default-src 'none'" in text
    assert "unsafe-inline" not in text


def test_no_string_of_the_data_can_end_its_element(built: Path) -> None:
    assert data_of(built)["about"]["<b>version</b>"] == ENDING
    assert built.read_text().count("<script") == 2


def test_data_come_back_as_they_were(tmp_path: Path) -> None:
    clips = sample.shown(["a.mp4", "b.mp4"] * (sample.CLIPS // 2))
    read = data_of(write(tmp_path / "new" / "index.html", clips=clips))
    records = {"numbers": sample.numbers(), "diagnosis": sample.diagnosis(), "comparison": sample.comparison()}
    plain = json.loads(json.dumps(records))
    assert {key: read[key] for key in plain} == plain
    reasons = read["shown"]["reasons"]
    for clip, packed in zip(clips, read["shown"]["clips"], strict=True):
        assert packed[:5] == [clip["id"], clip["subject"], round(clip["duration"], 3), clip["video"], clip["hidden"]]
        for rows, flat, fields in (
            (clip["truth"], packed[5], TRUTH_FIELDS),
            (clip["predictions"], packed[6], PREDICTION_FIELDS),
        ):
            assert len(flat) == len(rows) * len(fields)
            for row, values in zip(rows, np.reshape(flat, (-1, len(fields))), strict=True):
                for field, value in zip(fields, values, strict=True):
                    if field == "kept":
                        continue
                    expected = row[field]
                    if expected is None:
                        assert value == -1
                    elif field == "missed":
                        assert reasons[int(value)] == expected
                    elif field in ("start", "end", "tiou", "other"):
                        assert value / 1000 == pytest.approx(expected, abs=0.00051)
                    else:
                        assert value == pytest.approx(expected, rel=1e-3)


def test_a_rounded_score_does_not_change_sides(tmp_path: Path) -> None:
    """Both scores print as 0.4321; only one reaches the best score of its class."""
    diagnosis = sample.diagnosis()
    row = next(row for row in diagnosis["action"]["classes"] if row["best_score"])
    row["best_score"] = 0.43212
    label = MMA52.index_of[row["name"]]
    rows = found((0, label, 1.0, 1.5, 0.43212), (0, label, 1.0, 1.5, 0.43211))
    clips = shown_clips(rows, [Truth("a", (Instance(1.0, 1.4, label),))], taxonomy=MMA52)
    path = write(tmp_path / "index.html", diagnosis=diagnosis, clips=clips)
    packed = np.reshape(data_of(path)["shown"]["clips"][0][6], (-1, len(PREDICTION_FIELDS)))
    assert packed[:, PREDICTION_FIELDS.index("score")].tolist() == [0.4321, 0.4321]
    assert packed[:, PREDICTION_FIELDS.index("kept")].tolist() == [1, 0]


def test_a_whole_validation_split_stays_below_five_megabytes(tmp_path: Path) -> None:
    number = np.arange(1500 * 50)
    start, length, score = np.random.default_rng(0).random((3, len(number)))
    rows = found(*zip(number // 50, number % 52, 10 * start, 10 * start + 5 * length, score, strict=True))
    some = [clip.instances for clip in sample.clips()]
    truth = [Truth(f"{n:03}_01_{n:04}_A", some[n % len(some)], 10.0, f"{n:03}") for n in range(1500)]
    clips = shown_clips(rows, truth, taxonomy=MMA52)
    assert {len(clip["predictions"]) for clip in clips} == {50}
    path = write(tmp_path / "index.html", clips=clips)
    assert path.stat().st_size < 5e6


def test_a_number_that_is_not_finite_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    numbers = sample.numbers()
    numbers["avg"] = float("nan")
    with pytest.raises(MmadError, match="not finite"):
        write(tmp_path / "index.html", numbers=numbers)
    assert list(tmp_path.iterdir()) == []


# In the browser -------------------------------------------------------------------------------------------------------


@pytest.fixture
def view(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; fails afterwards if it wrote an error or asked for anything but itself and its videos."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_page(path: Path, *, address: str = "", width: int = 1280, absent: bool = False) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
        context.set_default_timeout(5000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text)
                if said.type in ("error", "warning") and not (absent and "ERR_FILE_NOT_FOUND" in said.text)
                else None
            ),
        )
        page.on(
            "request",
            lambda asked: (
                complaints.append(asked.url)
                if Path(asked.url.split("#")[0]).name not in (path.name, "filmed.mp4", "absent.mp4")
                else None
            ),
        )
        page.goto(path.as_uri() + address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def texts(page: Any, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def column(page: Any, number: int) -> list[float]:
    cells = texts(page, f"#class-table tbody td:nth-child({number})")
    return [float(cell.split()[0]) for cell in cells if cell.strip() != "\u2013"]


def hash_of(page: Any) -> str:
    return page.evaluate("decodeURIComponent(location.hash)")


def video(page: Any, what: str) -> Any:
    return page.evaluate(f"document.querySelector('video').{what}")


def until(page: Any, condition: str) -> None:
    """Waits for JavaScript to be true; `wait_for_function` needs eval, which the page's policy forbids."""
    for _ in range(250):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never true: {condition}")


def wait_for_video(page: Any) -> None:
    until(page, "Boolean(document.querySelector('video')) && document.querySelector('video').readyState >= 2")


def test_shows_the_numbers_and_where_it_fails(view: Any, built: Path) -> None:
    page, numbers = view(built), sample.numbers(taxonomy=with_hostile_names())
    assert f"{numbers['avg']:.2f}" in page.locator("#score").inner_text()
    assert f"{numbers['action']['map']['0.5']:.2f}" in page.locator("#score").inner_text()
    assert numbers["notes"] == texts(page, "#notes li")
    assert 3 <= page.locator("#findings li").count() <= 6
    page.locator("#findings a").last.click()
    top = page.locator("#boundaries").bounding_box()["y"]
    assert 0 <= top < 120


def test_a_heading_sorts_by_click_and_by_key(view: Any, built: Path) -> None:
    page = view(built)
    head = page.locator("#class-table th").nth(3)
    assert head.get_attribute("aria-sort") == "ascending"
    ascending = column(page, 4)
    assert ascending == sorted(ascending)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, 4) == ascending[::-1]
    instances = page.locator("#class-table th").nth(2)
    instances.locator("button").focus()
    page.keyboard.press("Enter")
    assert (head.get_attribute("aria-sort"), instances.get_attribute("aria-sort")) == ("none", "descending")
    assert column(page, 3) == sorted(column(page, 3), reverse=True)


def test_values_that_do_not_exist_come_last_both_ways(view: Any, built: Path) -> None:
    """One class is predicted but has no ground truth, so no AP."""
    page = view(built)
    button = page.locator("#class-table th button").nth(3)
    for _ in range(2):
        assert texts(page, "#class-table tbody tr:last-child td:nth-child(4)") == ["\u2013"]
        button.click()


def test_the_switch_changes_the_level_of_charts_and_tables(view: Any, built: Path) -> None:
    page = view(built)
    actions = page.locator("#class-table tbody tr").count()
    page.get_by_role("button", name="Body groups").click()
    assert page.locator("#class-table tbody tr").count() == len(MMA52.bodies) < actions
    assert set(texts(page, ".level")) == {"body groups"}
    assert "level=body" in hash_of(page)


def test_a_kind_in_the_chart_filters_the_clips(view: Any, built: Path) -> None:
    page = view(built)
    everything = page.locator(".clip").count()
    page.locator('#fp-profile [data-kind="extra label"]').nth(1).click()
    assert page.locator('[name="kind"]').input_value() == "extra label"
    assert 0 < page.locator(".clip").count() < everything
    lit = page.locator(".segment.prediction:not(.dim)")
    assert lit.count() > 0
    assert all("extra label" in lit.nth(i).get_attribute("aria-label") for i in range(lit.count()))
    page.locator("#reset").click()
    assert page.locator(".clip").count() == everything


def test_misses_are_filtered_by_reason(view: Any, built: Path) -> None:
    page = view(built)
    page.locator('#reasons [data-reason="nothing"]').click()
    assert page.locator('.clip[data-clip="filmed"]').count() == 1
    page.locator('.clip[data-clip="filmed"]').click()
    lit = page.locator(".segment:not(.dim)")
    assert lit.count() == 1
    assert "missed (nothing)" in lit.get_attribute("aria-label")


def test_a_class_and_a_pair_filter_the_clips(view: Any, built: Path) -> None:
    page = view(built)
    link = page.locator("#class-table .link").first
    name = link.inner_text()
    link.click()
    assert page.locator('[name="label"] option:checked').inner_text().endswith(name)
    lit = page.locator(".segment:not(.dim)")
    assert lit.count() > 0
    assert all(name in lit.nth(i).get_attribute("aria-label").split(":")[0] for i in range(lit.count()))
    was, said = texts(page, "#confused tbody tr:first-child td")[:2]
    page.locator("#confused .link").first.click()
    assert page.locator(".chip").inner_text().startswith(f"{was}, taken for {said}")


def test_the_clips_behind_a_cell_of_the_matrix_add_up_to_it(view: Any, tmp_path: Path) -> None:
    few = {"numbers": sample.numbers(6), "diagnosis": sample.diagnosis(classes=6), "clips": sample.shown(classes=6)}
    page = view(write(tmp_path / "index.html", **few))
    cells = page.evaluate(
        """() => [...document.querySelectorAll("#matrix [data-true]")].map((cell) => {
            const place = [Number(cell.dataset.true), Number(cell.dataset.predicted)];
            document.querySelector(`#matrix [data-true="${place[0]}"][data-predicted="${place[1]}"]`)
                .dispatchEvent(new Event("click"));
            const words = [...document.querySelectorAll(".clip small")].map((each) => each.textContent);
            return [...place, words.reduce((sum, each) => sum + Number(each.match(/(\\d+) fit/)[1]), 0)];
        })"""
    )
    matrix = np.array(few["diagnosis"]["action"]["confusion"]["matrix"])
    assert len(cells) == (matrix > 0).sum()
    assert ((matrix > 0).sum(axis=0) > 3).any(), "some class was taken for several others"
    # A found instance fits together with the prediction that matches it.
    assert cells == [[row, column, matrix[row, column] * (2 if row == column else 1)] for row, column, _ in cells]


def test_search_finds_a_clip_while_typing(view: Any, built: Path) -> None:
    page = view(built)
    page.locator('[name="query"]').press_sequentially("FILM")
    assert page.locator('[name="query"]').input_value() == "FILM"
    assert texts(page, ".clip b") == ["filmed"]


def test_the_slider_replaces_the_thresholds_of_the_classes(view: Any, built: Path) -> None:
    page = view(built, address="#clip=filmed")
    assert page.locator("#own").is_checked()
    assert page.locator(".segment.prediction").count() == 2
    page.locator("#least").fill("0")
    assert not page.locator("#own").is_checked()
    assert page.locator(".segment.prediction").count() == 3
    assert page.locator(".segment.truth.missed").count() == 1
    page.locator("#least").fill("1")
    assert page.locator(".segment.prediction").count() == 0
    assert page.locator(".segment.truth.missed").count() == 2
    page.locator("#own").check()
    assert page.locator(".segment.prediction").count() == 2


def test_a_click_on_a_segment_plays_exactly_it(view: Any, built: Path) -> None:
    page = view(built, address="#clip=filmed")
    wait_for_video(page)
    page.evaluate(
        "seen = []; document.querySelector('video').addEventListener('seeking', e => seen.push(e.target.currentTime))"
    )
    page.locator('[data-segment="t0"]').click()
    until(page, "!document.querySelector('video').paused")
    until(page, "document.querySelector('video').paused")
    assert page.evaluate("seen[0]") == pytest.approx(1.0, abs=0.01)
    assert video(page, "currentTime") == pytest.approx(1.4, abs=0.01)
    assert "segment=t0" in hash_of(page)
    assert "1.00 to 1.40 s" in page.locator("#facts").inner_text()
    width = page.locator("#timeline svg").bounding_box()["width"]
    moved = page.locator(".playhead").evaluate("node => node.transform.baseVal[0].matrix.e")
    assert moved == pytest.approx(178 + (width - 188) * 1.4 / 4, abs=4)


def test_loop_plays_a_segment_again(view: Any, built: Path) -> None:
    page = view(built, address="#clip=filmed")
    wait_for_video(page)
    page.locator("#loop").check()
    page.evaluate("again = 0; document.querySelector('video').addEventListener('seeked', () => { again += 1; })")
    page.locator('[data-segment="t0"]').click()
    until(page, "again >= 3")
    assert not video(page, "paused")
    assert 0.95 <= video(page, "currentTime") <= 1.5


def test_counts_of_body_groups_do_not_lead_to_clips(view: Any, built: Path) -> None:
    page = view(built, address="#level=body")
    until(page, "document.querySelector('[data-level=body]').getAttribute('aria-pressed') === 'true'")
    assert page.locator("#fp-legend button").count() > 0
    assert page.locator("#fp-legend button:not([disabled]), #reasons button:not([disabled])").count() == 0
    assert page.locator("#fp-profile [role=button], #gains [role=button]").count() == 0
    assert page.locator("#confused a, #confused button.link").count() == 0
    before = hash_of(page)
    page.locator("#matrix rect").nth(3).click(force=True)
    assert hash_of(page) == before


def test_keys_work_the_viewer(view: Any, built: Path) -> None:
    page = view(built, address="#clip=filmed", absent=True)
    wait_for_video(page)
    first = page.locator(".segment").first
    first.focus()
    page.keyboard.press("Enter")
    until(page, "!document.querySelector('video').paused")
    page.keyboard.press(" ")
    until(page, "document.querySelector('video').paused")
    # From a place of our own: where the video stood when it was paused is not told at once.
    page.evaluate("document.querySelector('video').currentTime = 1.5")
    until(page, "!document.querySelector('video').seeking")
    page.keyboard.press("ArrowRight")
    assert video(page, "currentTime") == pytest.approx(1.6, abs=0.01)
    page.keyboard.press("Shift+ArrowLeft")
    assert video(page, "currentTime") == pytest.approx(0.6, abs=0.01)
    errors = []
    for _ in range(3):
        page.keyboard.press("e")
        errors.append(re.search(r"segment=(\w+)", hash_of(page))[1])
    # The extra label at 0.9 s, the miss at 2.5 s, and round again.
    assert errors == ["p1", "t1", "p1"]
    assert video(page, "currentTime") == pytest.approx(0.9, abs=0.01)
    page.locator("#least").focus()
    page.keyboard.press("ArrowRight")
    assert video(page, "currentTime") == pytest.approx(0.9, abs=0.01), "an arrow in the slider is the slider's"
    page.locator("#own").check()
    page.locator("#stage").focus()
    order = texts(page, ".clip b")
    page.keyboard.press("n")
    assert page.locator("#clip-id").inner_text() == order[(order.index("filmed") + 1) % len(order)]
    page.keyboard.press("p")
    assert page.locator("#clip-id").inner_text() == "filmed"


def test_keys_typed_into_the_search_do_not_work_the_viewer(view: Any, built: Path) -> None:
    page = view(built, address="#clip=filmed")
    page.locator('[name="query"]').press_sequentially("film")
    page.keyboard.press("n")
    assert page.locator('[name="query"]').input_value() == "filmn"
    assert page.locator(".clip").count() == 0
    assert "No clip fits" in page.locator("#clip-list").inner_text()


def test_an_address_brings_back_the_view(view: Any, built: Path) -> None:
    page = view(built)
    page.locator('[name="kind"]').select_option("extra label")
    page.locator('.clip[data-clip="filmed"]').click()
    page.locator('[data-segment="p1"]').click()
    address = page.locator("#link").get_attribute("href")
    again = view(built, address=address)
    assert again.locator("#clip-id").inner_text() == "filmed"
    assert again.locator('[name="kind"]').input_value() == "extra label"
    assert again.locator(".segment.chosen").get_attribute("data-segment") == "p1"
    assert again.locator("#stage").bounding_box()["y"] < 900


@pytest.mark.parametrize(
    "address", ["#clip=unknown&class=99&group=x&pair=action.1", "#pair=..&kind=nonsense", "#misses", "#score=x"]
)
def test_an_address_that_fits_nothing_does_no_harm(view: Any, built: Path, address: str) -> None:
    page = view(built, address=address)
    assert page.locator("#score .big").count() == 1


def test_says_where_the_video_should_have_been(view: Any, built: Path) -> None:
    page = view(built, address=f"#clip={sample.clips()[1].id}", absent=True)
    message = page.locator(".absent")
    message.wait_for()
    assert "not found at absent.mp4" in message.inner_text()
    page.locator(".segment").first.click()
    assert page.locator(".segment.chosen").count() == 1


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_makes_the_page_wider_than_the_screen(view: Any, built: Path, width: int) -> None:
    page = view(built, width=width, address="#clip=filmed")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.locator(".segment").first.focus()
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator('[data-level="body"]').click()


def test_names_stay_text(view: Any, built: Path) -> None:
    page = view(built)
    assert page.title() == ENDING
    assert page.locator("#title").inner_text() == ENDING
    assert page.locator("img").count() == 0
    assert HOSTILE in texts(page, "#class-table .link")
    assert HOSTILE in texts(page, ".clip b")
    page.locator("#class-table .link", has_text=HOSTILE).click()
    page.locator(".segment:not(.dim)").first.hover()
    assert HOSTILE in page.locator("#tip").inner_text()
    assert (page.title(), page.locator("img").count()) == (ENDING, 0)


@pytest.mark.parametrize("mode", ["class_first", "detad"])
def test_scarce_records_leave_no_gap(view: Any, tmp_path: Path, mode: str) -> None:
    """No bootstrap, subjects, comparison, video, clips' durations or predictions; in DETAD mode, other kinds."""
    numbers, diagnosis = sample.barren(mode)
    assert (numbers["interval"], numbers["per_subject"], numbers["notes"]) == (None, [], [])
    bare = shown_clips(found(), [Truth("bare", (Instance(0.0, 1.0, 3),)), Truth("empty", ())], taxonomy=MMA52)
    for clips in (bare, []):
        scarce = {"numbers": numbers, "diagnosis": diagnosis, "comparison": None, "clips": clips, "about": {}}
        page = view(write(tmp_path / "index.html", **scarce))
        assert not page.locator("#comparison").is_visible()
        assert not page.locator("#subjects").is_visible()
        assert "NaN" not in page.locator("body").inner_text()
        assert "undefined" not in page.locator("body").inner_text()
        page.get_by_role("button", name="Body groups").click()
        assert "NaN" not in page.locator("body").inner_text()


def test_lists_that_are_empty_leave_no_gap(view: Any, tmp_path: Path) -> None:
    numbers, diagnosis = sample.barren()
    for name in ("action", "body"):
        numbers[name] |= {"intervals": {}, "per_class_intervals": {}, "average_recall": {}}
        part = diagnosis[name]
        part["boundaries"] |= {"by_length": [], "within": {}}
        part["confusion"]["matrix"] = np.zeros_like(part["confusion"]["matrix"]).tolist()
        part["false_negatives"]["characteristics"] = part["kept_misses"]["characteristics"] = []
    page = view(write(tmp_path / "index.html", numbers=numbers, diagnosis=diagnosis, comparison=None))
    assert not re.search("NaN|undefined|null", page.locator("body").inner_text())
