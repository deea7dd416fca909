"""Model cards: every number and every claim in them follows from what they are told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import sample
from mmad.annotations import Clip, Truth
from mmad.card import write_card
from mmad.matching import Rows
from mmad.report import Evaluation, Reporting, evaluate
from mmad.taxonomy import MMA52
from mmad.timebase import Timebase

FPS = 30.0


def clips_of(truths: tuple[Truth, ...], *, subject: Callable[[int], str | None], fps: float = FPS) -> list[Clip]:
    return [
        Clip(
            truth.id,
            Path("videos") / f"{truth.id}.mp4",
            subject(n),
            fps,
            int((truth.duration or 0) * fps),
            truth.instances,
        )
        for n, truth in enumerate(truths)
    ]


def evaluation(draws: int = 50) -> Evaluation:
    import torch

    rows: Rows = sample.predictions()
    found = {}
    for number, clip in enumerate(sample.clips()):
        mine = rows.take(rows.clip == number)
        segments, labels, scores = map(torch.from_numpy, (mine.segment, mine.label, mine.score))
        found[clip.id] = {"segments": segments, "labels": labels, "scores": scores}
    return evaluate(found, sample.clips(), taxonomy=MMA52, reporting=Reporting(draws=draws))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def judged() -> Evaluation:
    return evaluation()


def told(data: str = "demo", *, drawn: bool = True, source: str | None = "builtin:vmae_tiny") -> dict[str, Any]:
    """What a run has at hand when its best checkpoint is evaluated."""
    parts = ("actions", "codes", "bodies", "body_of")
    weights = None if source is None else {"source": source, "sha256": "a1" * 32}
    choices = {"data": data, "backbone": "vmae_tiny", "adapter": "dsta", "head": "tridet"}
    return {
        "recipe": {
            "config": {
                "backbone": {"embed_dim": 96},
                "data": {
                    "make": {"seed": 0} if drawn else None,
                    "resolution": [64, 48],
                    "grid": {"window": 64, "feature_stride": 4},
                },
            },
            "taxonomy": {part: list(getattr(MMA52, part)) for part in parts},
            "identity": None if source is None else "hash",
            "thresholds": [n / 100 for n in range(52)],
        },
        "environment": {
            "choices": choices,
            "seed": 3,
            "weights": weights,
            "head_weights": None,
            "data": {"annotations": "b2" * 32, "manifest": None},
            "mmad": "9.8",
            "torch": "7.6",
        },
        "parameters": {"total": 1234567, "trained": 76543, "trained_in_backbone": 321},
        "clips": {
            "train": clips_of(sample.clips(), subject=lambda n: f"t{n % 5}"),
            "val": clips_of(sample.clips()[:3], subject=lambda n: f"v{n}"),
            "test": clips_of(sample.clips()[:7], subject=lambda n: f"e{n}", fps=25.0),
        },
        "evaluated": "test",
    }


def card(tmp_path: Path, judged: Evaluation | None, facts: dict[str, Any]) -> str:
    path = tmp_path / "my run" / "checkpoints" / "best.md"
    write_card(path, **facts, evaluation=judged)
    return path.read_text()


def table(text: str, *columns: str) -> list[dict[str, str]]:
    """The rows of the table that has these columns."""
    for block in text.split("\n\n"):
        header, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        if set(columns) <= set(header):
            return [dict(zip(header, row, strict=True)) for row in rows[1:]]
    raise AssertionError(columns)


def front(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def test_the_front_matter_holds_the_numbers(tmp_path: Path, judged: Evaluation) -> None:
    known = front(card(tmp_path, judged, told()))
    assert known["license"] == "mit"
    assert {"mmad", "tridet", "dsta", "vmae_tiny"} <= set(known["tags"])
    (result,) = known["model-index"][0]["results"]
    assert known["model-index"][0]["name"] == "my run"
    assert result["dataset"] == {"name": "demo", "type": "demo", "split": "test"}
    numbers = judged.numbers
    expected = [numbers["action"]["avg"], numbers["body"]["avg"], numbers["avg"]]
    assert [metric["value"] for metric in result["metrics"]] == pytest.approx(expected, abs=0.005)


def test_results_have_intervals_and_name_the_extremes(tmp_path: Path, judged: Evaluation) -> None:
    text = card(tmp_path, judged, told())
    for level, row in zip(("action", "body"), table(text, "level", "Avg (%)"), strict=False):
        low, high = judged.numbers[level]["intervals"]["avg"]  # type: ignore[literal-required]
        assert row["Avg (%)"] == f"{judged.numbers[level]['avg']:.2f} [{low:.2f}, {high:.2f}]"  # type: ignore[literal-required]
    rows = table(text, "class", "evaluated")
    per_class = judged.numbers["action"]["per_class"]
    in_order = sorted(per_class, key=lambda name: -per_class[name])
    values = [float(row["AP (%)"].split(" ")[0]) for row in rows]
    assert len(rows) == 10
    assert values == pytest.approx([per_class[n] for n in [*in_order[:5], *in_order[-5:]]], abs=0.005)
    for row in rows:
        label = MMA52.actions.index(row["class"])
        here = sum(i.label == label for clip in sample.clips() for i in clip.instances)
        assert int(row["evaluated"]) == int(row["instances in training"]) == here
    error = judged.diagnosis["action"]["calibration"]["error"]
    assert f"calibration error of all scores: {error:.3f}" in text
    assert "flatter" not in text


def test_without_ground_truth_there_are_no_results(tmp_path: Path) -> None:
    text = card(tmp_path, None, told())
    assert "split `test` has no ground truth" in text
    assert "model-index" not in front(text)
    assert "AP (%)" not in text


def test_numbers_on_the_clips_that_chose_the_epoch_say_so(tmp_path: Path, judged: Evaluation) -> None:
    text = card(tmp_path, judged, {**told(), "evaluated": "val"})
    assert "chosen on these clips, so that the numbers flatter" in text


def test_splits_are_counted(tmp_path: Path, judged: Evaluation) -> None:
    facts = told()
    rows = {row["split"]: row for row in table(card(tmp_path, judged, facts), "split", "hours")}
    for split, clips in facts["clips"].items():
        row = rows[split]
        assert int(row["clips"]) == len(clips)
        assert int(row["instances"]) == sum(len(clip.instances) for clip in clips)
        assert int(row["subjects"]) == len({clip.subject for clip in clips})
        assert float(row["hours"]) == pytest.approx(sum(c.frames / c.fps for c in clips) / 3600, abs=0.005)
        assert row["frames per second"] == f"{clips[0].fps:g}"
    assert "b2" * 32 in card(tmp_path, judged, facts)


def test_classes_stand_by_body_group_with_instances_and_thresholds(tmp_path: Path) -> None:
    text = card(tmp_path, None, told())
    rows = table(text, "body group", "threshold (0-1)")
    assert len(rows) == 52
    assert [MMA52.bodies.index(row["body group"]) for row in rows] == sorted(MMA52.body_of)
    for row in rows:
        label = MMA52.actions.index(row["class"])
        count = sum(i.label == label for clip in sample.clips() for i in clip.instances)
        assert (row["code"], int(row["instances in training"])) == (MMA52.codes[label], count)
        assert float(row["threshold (0-1)"]) == pytest.approx(label / 100)
    seen = {i.label for clip in sample.clips() for i in clip.instances}
    assert f"{52 - len(seen)} of 52 classes have no instance in training" in text
    facts = told()
    del facts["recipe"]["thresholds"]
    assert "threshold (0-1)" not in card(tmp_path, None, facts)


def test_what_the_model_is(tmp_path: Path) -> None:
    text = card(tmp_path, None, told())
    for words in ("1,234,567", "76,543", "321 of them", "head `tridet`", "adapter `dsta`", "64 x 48", "mmad 9.8"):
        assert words in text
    assert "control" not in text
    facts = told()
    facts["recipe"]["config"]["data"]["control"] = "shuffled"
    assert "**This is a control (`data.control=shuffled`)" in card(tmp_path, None, facts)


def test_limits_follow_from_the_data(tmp_path: Path, judged: Evaluation) -> None:
    facts = told()
    text = card(tmp_path, judged, facts)
    lengths = sorted(i.end - i.start for clip in sample.clips() for i in clip.instances)
    middle = (lengths[(len(lengths) - 1) // 2] + lengths[len(lengths) // 2]) / 2
    step = Timebase(FPS, 4).seconds(1.0)
    shifted = (middle - step) / (middle + step)
    assert (
        f"one feature step ({step:.2f} s) takes the median instance of {middle:.2f} s to a tIoU of {shifted:.2f}"
        in text
    )
    counts = [sum(i.label == k for clip in sample.clips() for i in clip.instances) for k in range(52)]
    few = sum(0 < count < 10 for count in counts)
    assert f"{few} of the {sum(c > 0 for c in counts)} classes evaluated have fewer than 10" in text
    low, high = (pick(c.frames / FPS for c in facts["clips"]["train"]) for pick in (min, max))
    assert f"Trained on clips of {low:.1f} to {high:.1f} s at 30 frames per second, evaluated on" in text
    assert "The 7 people of the evaluation were not seen in training" in text


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        (lambda n: f"t{n}", "5 of the 7 people of the evaluation were seen"),
        (lambda n: None, "Who is shown is not known"),
    ],
)
def test_who_was_seen_in_training(tmp_path: Path, subject: Callable[[int], str | None], words: str) -> None:
    facts = told()
    facts["clips"]["test"] = clips_of(sample.clips()[:7], subject=subject)
    text = card(tmp_path, None, facts)
    assert words in text
    (row,) = [row for row in table(text, "split", "hours") if row["split"] == "test"]
    assert row["subjects"] == ("-" if subject(0) is None else "7")


@pytest.mark.parametrize(
    ("facts", "license_", "words"),
    [
        (told(), "mit", ["no person was filmed", "started from `builtin:vmae_tiny`"]),
        (told(source=None), "mit", ["no person was filmed", "started from random weights"]),
        (told(source="/home/me/vit_b.pth"), "other", ["file `vit_b.pth` (sha256 `a1a1", "*state it here*"]),
        (told("mma52", drawn=False), "other", ["on request, for research", "ask before handing them on"]),
        (told("folder", drawn=False), "other", ["*State here*", "`data=folder`"]),
    ],
)
def test_licences(tmp_path: Path, facts: dict[str, Any], license_: str, words: list[str]) -> None:
    text = card(tmp_path, None, facts)
    known = front(text)
    assert known["license"] == license_
    assert ("license_name" in known) == (license_ == "other")
    for each in words:
        assert each in text.partition("## Licences")[2]
    assert "/home/me" not in text
    assert ("weights=vit_b.pth" in text) == ("vit_b.pth" in str(facts["environment"]["weights"]))


def test_a_detector_of_features_is_used_with_features(tmp_path: Path) -> None:
    facts = told("features", drawn=False, source=None)
    facts["recipe"]["config"]["data"]["resolution"] = None
    text = card(tmp_path, None, facts)
    assert "mmad-eval checkpoint=best.ckpt root=FEATURES" in text
    assert "load_detector" not in text
    assert "features of 96 channels" in text
    assert "videos whose terms hold too" in text


def test_people_come_before_licences_in_every_card(tmp_path: Path) -> None:
    text = card(tmp_path, None, told())
    people = text.partition("## People")[2].partition("## Licences")[0]
    for words in (
        "consent",
        "not emotions, lies, intentions or diagnoses",
        "covert",
        "GDPR",
        "between groups of people",
    ):
        assert words in people
