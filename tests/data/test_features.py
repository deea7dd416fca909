"""Files of features: ours come back and are the same bytes each time; others' arrays are read; the rest is refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmad.annotations import Clip, Instance
from mmad.data.feature_set import FEATURES, FeatureSet, difference, told_of, write_set
from mmad.data.features import (
    FeatureFrames,
    FeatureHeader,
    feature_path,
    fitted,
    read_features,
    read_header,
    shape_of,
    write_features,
)
from mmad.data.grid import Grid
from mmad.data.sources import FeatureSource
from mmad.errors import MmadError
from mmad.taxonomy import Taxonomy

HEADER = FeatureHeader(
    clip="P1/a",
    sha256="12ab",
    fps=29.97,
    frames=30,
    stride=4,
    offset=2,
    settings={"snippet": {"stride": 4, "align": "centred"}, "resolution": [64, 48]},
    backbone="vmae_tiny",
    versions={"mmad": "0", "torch": "0", "decord": "0", "python": "3"},
    steps=8,
    channels=3,
)
FEATS = torch.arange(24.0).view(8, 3) / 7


def test_a_file_comes_back_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    paths = [feature_path(tmp_path / name, "P1/a") for name in ("one", "other")]
    for path in paths:
        write_features(path, FEATS, HEADER)
    assert paths[0] == tmp_path / "one" / "P1" / "a.safetensors"
    assert read_header(paths[0]) == HEADER
    assert torch.equal(read_features(paths[0]), FEATS)
    assert shape_of(paths[0]) == (8, 3)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("clip", ["/etc/a", "../a", "a/../../b"])
def test_an_id_does_not_lead_out_of_the_folder(tmp_path: Path, clip: str) -> None:
    with pytest.raises(MmadError, match="leads out of the folder"):
        feature_path(tmp_path, clip)


def test_a_file_that_is_cut_short_or_of_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_features(path, FEATS, HEADER)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(MmadError, match=r"a\.safetensors is no feature file of this version"):
        read_header(path)
    save_file({"feats": FEATS}, path)
    with pytest.raises(MmadError, match=r"delete it and run mmad-extract again"):
        read_header(path)


def test_others_arrays_are_read(tmp_path: Path) -> None:
    array = FEATS.numpy()
    np.save(tmp_path / "single.npy", array)
    np.save(tmp_path / "half.npy", array.astype(np.float16))
    np.save(tmp_path / "columns.npy", np.asfortranarray(array.astype(np.float64)))
    np.savez(tmp_path / "named.npz", feats=array, other=np.zeros(3))
    torch.save(FEATS, tmp_path / "tensor.pt")
    save_file({"feats": FEATS}, tmp_path / "safe.safetensors")
    for path in sorted(tmp_path.iterdir()):
        found = read_features(path)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, FEATS, rtol=1e-3, atol=0, msg=path.name)
        assert shape_of(path) == (8, 3)


class Evil:
    def __reduce__(self) -> tuple:
        return (Path("ran").touch, ())


def test_what_holds_no_features_is_refused_and_no_code_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("flat.npy", np.zeros(4, dtype=np.float32))
    np.save("whole.npy", np.zeros((4, 3), dtype=np.int64))
    np.save("empty.npy", np.zeros((0, 3), dtype=np.float32))
    np.savez("unnamed.npz", np.zeros((4, 3)))
    np.save("objects.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    torch.save({"feats": FEATS}, "dictionary.pt")
    torch.save(torch.full((4, 3), torch.nan), "nan.pt")
    for name in ("evil.pt", "evil.npy"):
        Path(name).write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("text.npy", "text.npz", "text.pt", "text.safetensors", "none.npy"):
        Path(name).write_text("" if name.startswith("none") else "text")
    paths = sorted(Path().iterdir())
    assert len(paths) == 14
    for path in paths:
        with pytest.raises(MmadError, match=path.name):
            read_features(path)
        with pytest.raises(MmadError, match=path.name):
            shape_of(path) if path.name != "whole.npy" else read_features(path)
    assert not Path("ran").exists()


def test_the_last_feature_stands_for_missing_ones() -> None:
    assert torch.equal(fitted(FEATS, 8), FEATS)
    assert fitted(FEATS, 10)[:, 0].tolist() == [*FEATS[:, 0].tolist(), *[FEATS[-1, 0].item()] * 2]
    assert torch.equal(fitted(FEATS, 7), FEATS[:7])


@pytest.mark.parametrize("kept", [True, False])
def test_a_piece_of_a_clip_has_the_features_of_its_steps(tmp_path: Path, kept: bool) -> None:
    write_features(tmp_path / "a.safetensors", FEATS[:7], HEADER)
    clip = Clip("a", tmp_path / "a.safetensors", None, 30.0, 30)
    frames = FeatureFrames(Grid(16, 4, 1, 1), kept=[clip] if kept else ())
    if kept:
        clip.path.unlink()
    assert torch.equal(frames(clip, first=5, frames=3), FEATS[[5, 6, 6]])


def test_the_first_difference_is_named() -> None:
    one = {"a": 1, "b": {"c": [2, 3], "d": None}}
    assert difference(one, one) is None
    assert difference(one, {"a": 1, "b": {"c": [2, 4], "d": 0}}) == "b.c is [2, 3], not [2, 4]"
    assert difference(one, {"a": 1, "b": {"c": [2, 3]}, "e": 5}) == "e is None, not 5"


CLASSES = Taxonomy.from_rows((("A1", "waving", "hand"), ("B1", "nodding", "head"), ("B2", "never", "head")))


def test_a_folder_of_features_is_a_data_set_of_its_own(tmp_path: Path) -> None:
    """The clips come back with their splits, subjects, times and classes, and their paths are the files."""
    clips = {
        "train": [
            Clip("P1/a", tmp_path, "7", 29.97, 30, (Instance(5 / 29.97, 20 / 29.97, 1), Instance(0.123456, 0.5, 0))),
            Clip("quiet", tmp_path, "8", 25.0, 31),
        ],
        "test": [Clip("c", tmp_path, None, 30.0, 30, (Instance(0.1, 0.9, 0),))],
    }
    for part in clips.values():
        for clip in part:
            header = FeatureHeader(**{**vars(HEADER), "clip": clip.id, "fps": clip.fps, "frames": clip.frames})
            write_features(feature_path(tmp_path, clip.id), FEATS, header)
    written = write_set(tmp_path, clips, taxonomy=CLASSES, data="demo", evaluate_split="test")
    assert [path.name for path in written] == ["annotations.json", "labels.csv", FEATURES]
    made = FeatureSet.read(tmp_path)
    assert made is not None
    told = {name: told_of(str(tmp_path), name) for name in ("channels", "stride", "offset", "identity")}
    assert told == {"channels": 3, "stride": 4, "offset": 2, "identity": made.identity}
    source = FeatureSource(tmp_path, **told, fps=None, suffix="")
    assert source.taxonomy == CLASSES
    for split, part in clips.items():
        expected = [Clip(c.id, feature_path(tmp_path, c.id), c.subject, c.fps, c.frames, c.instances) for c in part]
        assert source.clips(split) == expected


def test_an_unfinished_or_foreign_folder_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(MmadError, match="holds no feature file"):
        told_of(str(tmp_path), "channels")
    np.save(tmp_path / "a.npy", FEATS.numpy())
    assert (told_of(str(tmp_path), "channels"), told_of(str(tmp_path), "identity")) == (3, None)
    with pytest.raises(MmadError, match=r"mmad-extract writes at its end.*data\.source\.stride=\.\.\."):
        told_of(str(tmp_path), "stride")
    with pytest.raises(MmadError, match="is not a folder"):
        told_of(str(tmp_path / "none"), "stride")
    for text in ("{}", "[]", "no", json.dumps({"version": 1, "channels": 3})):
        (tmp_path / FEATURES).write_text(text)
        with pytest.raises(MmadError, match=r"features\.json is none of this version"):
            told_of(str(tmp_path), "stride")
