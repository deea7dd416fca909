"""Folders of features as sources of clips: what belongs together, what other projects' folders say, what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmad.annotations import Clip, Instance
from mmad.checks.examine import examine
from mmad.data.clips import cut
from mmad.data.feature_set import told_of, write_set
from mmad.data.features import FeatureHeader, feature_path, read_header, write_features
from mmad.data.grid import Grid
from mmad.data.sources import FeatureSource
from mmad.errors import MmadError
from mmad.lit.datamodule import ClipDataModule
from mmad.taxonomy import Taxonomy

CLASSES = Taxonomy.from_rows((("A1", "waving", "hand"), ("B1", "nodding", "head")))
SETTINGS = {"snippet": {"frames": 16, "stride": 4, "align": "centred"}, "backbone": {"fingerprint": "12ab"}}


def write_own(root: Path, *, splits: tuple[str, ...] = ("train", "val", "test"), **changes: Any) -> Path:
    """A folder as mmad-extract writes it: three clips a split, of 1 s and 30 frames, 8 features of 3 channels."""
    clips: dict[str, list[Clip]] = {split: [] for split in splits}
    for number in range(3 * len(splits)):
        clip = Clip(f"p{number}", root, f"person {number}", 30.0, 30, (Instance(0.2, 0.8, number % 2),))
        clips[splits[number % len(splits)]].append(clip)
        header = FeatureHeader(
            clip=clip.id,
            sha256=f"hash {number}",
            fps=30.0,
            frames=30,
            stride=4,
            offset=2,
            settings=SETTINGS,
            backbone="vmae_tiny",
            versions={},
            steps=8,
            channels=3,
        )
        torch.manual_seed(number)
        write_features(feature_path(root, clip.id), torch.randn(8, 3), replace(header, **changes))
    write_set(root, clips, taxonomy=CLASSES, data="demo", evaluate_split="test")
    return root


def own(root: Path, **changes: Any) -> FeatureSource:
    told = {name: told_of(str(root), name) for name in ("channels", "stride", "offset", "identity")}
    return FeatureSource(root, **{**told, "fps": None, "suffix": "", **changes})


def rewrite(path: Path, *, steps: int = 8, channels: int = 3, **changes: Any) -> None:
    write_features(path, torch.ones(steps, channels), replace(read_header(path), **changes))


def other_settings(path: Path) -> None:
    rewrite(path, settings={**SETTINGS, "backbone": {"fingerprint": "34cd"}})


def other_clip(path: Path) -> None:
    shutil.copyfile(path.with_name("p4.safetensors"), path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_settings, r"backbone\.fingerprint is 34cd, not 12ab\), and features of two kinds are never mixed"),
        (other_clip, r"holds the features of clip 'p4', not of 'p1'"),
        (partial(rewrite, sha256="another"), r"was made from another video of clip 'p1'"),
        (partial(rewrite, channels=4), r"holds features of 4 channels, others have 3"),
        (partial(rewrite, steps=3), r"holds 3 features, but 30 frames at stride 4 give 8; there is one for 10"),
        (Path.unlink, r"holds no features of clip 'p1'; run mmad-extract again, or leave the clip out"),
        (lambda path: path.write_bytes(b"none"), r"is no feature file of this version"),
    ],
)
def test_files_that_do_not_belong_to_their_clip_are_refused(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    write_own(tmp_path)
    spoil(feature_path(tmp_path, "p1"))
    with pytest.raises(MmadError, match=message):
        own(tmp_path).clips("train")
    # The check before a training goes on to the other clips.
    found = examine(partial(own, tmp_path), grid=Grid(32, 4, 1, 2, offset=2), progress=False)
    assert [(fault.kind, fault.clip) for fault in found.errors] == [("missing_video", "p1")]
    (tmp_path / "exclude.csv").write_text("clip\np1\n")
    assert len(own(tmp_path).clips("val")) == 2


def test_nothing_is_wrong_with_a_folder_of_features(tmp_path: Path) -> None:
    found = examine(partial(own, write_own(tmp_path)), grid=Grid(32, 4, 1, 2, offset=2), inspect=True, progress=False)
    assert (found.clips, found.instances, found.faults) == (9, 9, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 8}, r"data\.source\.stride is 8, not 4: that of .*features\.json counts"),
        ({"offset": 8}, r"data\.source\.offset is 8, not 2"),
        ({"channels": 384}, r"data\.source\.channels is 384, not 3"),
        ({"fps": 25.0}, r"data\.source\.fps is 25\.0, not None"),
        ({"identity": "of the checkpoint"}, r"another backbone, other weights or other settings"),
        ({"identity": None}, r"another backbone, other weights or other settings"),
        ({"stride": 0}, r"data\.source\.stride=0: give a whole number from 1 on"),
    ],
)
def test_what_features_json_says_counts(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        own(write_own(tmp_path), **changes)


def test_features_that_are_expected_to_be_our_own_are_not_taken_from_others(tmp_path: Path) -> None:
    with pytest.raises(MmadError, match=r"has no features\.json, but features of mmad-extract are expected"):
        FeatureSource(tmp_path, channels=3, stride=4, offset=2, identity="12ab", fps=None, suffix="")


def module(root: Path, **changes: Any) -> ClipDataModule:
    settings: dict[str, Any] = {
        "source": lambda root, **more: own(root, **more),
        "make": None,
        "grid": Grid(32, 4, 1, 2, offset=2),
        "augment": None,
        "resolution": None,
        "batch_size": 2,
        "workers": 0,
        "cache": "memory",
        "evaluate_split": "test",
        "seed": 0,
    }
    return ClipDataModule(str(root), **{**settings, **changes})


def test_batches_hold_features_zero_beyond_the_clip(tmp_path: Path) -> None:
    data = module(write_own(tmp_path))
    assert data.check_training() == []
    batches = list(data.test_dataloader())
    assert [batch["inputs"].shape for batch in batches] == [(2, 3, 16), (1, 3, 16)]
    torch.manual_seed(2)  # the first clip of split test
    expected = torch.randn(8, 3)
    assert torch.equal(batches[0]["inputs"][0, :, :8], expected.T)
    assert not batches[0]["inputs"][..., 8:].any()
    assert batches[0]["mask_BT"].sum(1).tolist() == [8, 8]
    # 0.2 s is frame 6, which lies one step after frame 2.
    assert batches[0]["targets"][0]["segments"].tolist() == [[pytest.approx(1.0), pytest.approx(5.5)]]
    assert data.fingerprint("train")["manifest"] is not None


def test_shuffled_labels_are_a_control_and_still_pictures_are_none(tmp_path: Path) -> None:
    root = write_own(tmp_path)
    clips = module(root, control="shuffled", seed=3).taught
    assert [len(clip.instances) for clip in clips] == [1, 1, 1]
    with pytest.raises(MmadError, match=r"data\.control=still"):
        module(root, control="still")
    with pytest.raises(MmadError, match=r"data\.cache=somewhere: features are kept in memory"):
        module(root, cache="somewhere")


@pytest.mark.parametrize(
    "grid", [Grid(32, 4, 2, 2, offset=2), Grid(32, 8, 1, 2, offset=2), Grid(32, 4, 1, 2)], ids=["two", "eight", "zero"]
)
def test_a_grid_that_is_not_the_features_is_refused(tmp_path: Path, grid: Grid) -> None:
    with pytest.raises(MmadError, match="use grid=features"):
        module(write_own(tmp_path), grid=grid).check("train")


def write_others(
    root: Path, entries: dict[str, dict[str, Any]], *, steps: int, suffix: str = "", folder: str = "features"
) -> Path:
    """A folder of another project: arrays and a JSON file of each clip's subset and length."""
    database = {
        clip: {"annotations": [{"label": "waving", "segment": [1.0, 2.0]}], **entry} for clip, entry in entries.items()
    }
    (root / "thumos.json").write_text(json.dumps({"version": "1", "database": database}))
    (root / folder).mkdir(parents=True, exist_ok=True)
    for clip in entries:
        np.save(root / folder / f"{clip}{suffix}.npy", np.ones((steps, 3), dtype=np.float32))
    return root


def others(root: Path, **changes: Any) -> FeatureSource:
    given = {"channels": 3, "stride": 4, "offset": 8, "identity": None, "fps": None, "suffix": ""}
    return FeatureSource(root, **{**given, **changes})


@pytest.mark.parametrize(
    ("entry", "fps", "length"),
    [
        ({"duration": 10.0, "frame": 300}, None, (300, 30.0)),  # OpenTAD
        ({"duration": 10.0, "fps": 30.0}, None, (300, 30.0)),  # actionformer_release
        ({"duration": 10.01, "frame": 300, "fps": 29.97}, None, (300, 29.97)),
        ({"duration": 10.0, "frame": 250}, 30.0, (300, 30.0)),  # extracted at another rate than annotated
        ({"duration": 10.0}, 30.0, (300, 30.0)),
        ({"frame": 300, "fps": 30.0}, None, (300, 30.0)),
    ],
)
@pytest.mark.parametrize("suffix", ["", "_spatial_feature"])
def test_a_clip_of_another_project_is_as_long_as_its_annotation_says(
    tmp_path: Path, entry: dict[str, Any], fps: float | None, length: tuple[int, float], suffix: str
) -> None:
    write_others(tmp_path, {"v_1": {"subset": "training", **entry}}, steps=72, suffix=suffix)
    (clip,) = others(tmp_path, fps=fps, suffix=suffix).clips("train")
    assert (clip.frames, clip.fps) == length
    assert clip.path == tmp_path / "features" / f"v_1{suffix}.npy"
    assert clip.instances[0].label == 0


@pytest.mark.parametrize("steps", [71, 75, 76])
def test_missing_steps_at_the_end_of_a_clip_are_filled(tmp_path: Path, steps: int) -> None:
    """300 frames give 72 whole snippets at stride 4, 75 centred ones; a length may be rounded by a step."""
    write_others(tmp_path, {"v_1": {"subset": "training", "duration": 10.0, "fps": 30.0}}, steps=steps)
    data = module(tmp_path, source=partial(others), grid=Grid(128, 4, 1, 6, offset=8))
    batch = next(iter(data._evaluation("train")))
    assert batch["mask_BT"].sum().item() == 75
    assert batch["inputs"][0, :, :75].eq(1).all()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (70, r"holds 70 features, but 300 frames at stride 4 give 75; they are of another video, or"),
        (77, r"holds 77 features, but 300 frames"),
        (37, r"data\.source\.stride=8 would fit"),
        (100, r"there is one for 3\.0 frames: they were resized"),
    ],
)
def test_features_of_another_length_than_the_clip_are_refused(tmp_path: Path, steps: int, message: str) -> None:
    write_others(tmp_path, {"v_1": {"subset": "training", "duration": 10.0, "fps": 30.0}}, steps=steps)
    with pytest.raises(MmadError, match=message):
        others(tmp_path).clips("train")


def test_a_clip_without_a_length_is_refused(tmp_path: Path) -> None:
    write_others(tmp_path, {"v_1": {"subset": "training", "duration": 10.0}}, steps=72)
    with pytest.raises(MmadError, match=r"clip 'v_1': how long it is cannot be told .*data\.source\.fps=\.\.\."):
        others(tmp_path).clips("train")


def test_two_files_of_one_clip_are_refused(tmp_path: Path) -> None:
    entries = {"v_1": {"subset": "training", "duration": 10.0, "fps": 30.0}}
    write_others(tmp_path, entries, steps=72)
    write_others(tmp_path, entries, steps=72, folder="flow")
    with pytest.raises(MmadError, match=r"clip 'v_1' could have the features .*features.* or .*flow"):
        others(tmp_path).clips("train")


def test_a_split_table_names_the_splits_of_another_project(tmp_path: Path) -> None:
    """THUMOS14 trains on what it calls validation."""
    entry = {"duration": 10.0, "fps": 30.0}
    entries = {"a": {"subset": "Validation", **entry}, "b": {"subset": "Test", **entry}}
    write_others(tmp_path, entries, steps=72)
    assert [clip.id for clip in others(tmp_path).clips("val")] == ["a"]
    (tmp_path / "splits.csv").write_text("clip,split\na,train\nb,val\n")
    assert [clip.id for clip in others(tmp_path).clips("train")] == ["a"]
    (tmp_path / "splits.csv").write_text("clip,split\na,train\n")
    with pytest.raises(MmadError, match=r"1 of 2 clips of .* have no split, the first is 'b'"):
        others(tmp_path).clips("train")


@pytest.mark.parametrize(("offset", "stride"), [(2, 4), (8, 4), (16, 8), (0, 4)])
def test_seconds_come_back_through_the_steps_of_features(offset: int, stride: int) -> None:
    """In whatever window, up to the ends of a clip, the first of which lies before step 0."""
    grid = Grid(32, stride, 1, 2, offset=offset)
    instances = (Instance(0.0, 1.0, 0), Instance(0.5, 2.25, 1), Instance(9.0, 10.0, 0))
    clip = Clip("a", Path("none"), None, 30.0, 300, instances)
    seen = []
    for window in grid.sliding(0, raw_frames=300, fps=30.0):
        found = cut(clip.segments(), window, keep=1.0)
        for step in (0, 7):
            frame = (window.first + step) * stride + offset
            assert window.timebase.seconds(float(step)) == pytest.approx(frame / 30)
        seen += window.timebase.seconds(found["segments"].double()).tolist()
    for instance in instances:
        assert [instance.start, instance.end] in [[pytest.approx(time, abs=1e-6) for time in pair] for pair in seen]
