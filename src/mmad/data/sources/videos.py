"""A folder of videos that nobody has annotated, for pre-training."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from mmad.annotations import Clip
from mmad.data.manifest import Manifest
from mmad.data.sources.source import but_for, exclusions, headers, no_such_split, nothing_left
from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.annotated import Annotations
from mmad.formats.videos import SUFFIXES, all_folders
from mmad.taxonomy import Taxonomy


class VideosSource:
    """All videos in a folder and the folders in it, without labels.

    A clip's id is the name of its video, or the path in the folder where several have that name; `exclude.csv` leaves
    out all of a name. A share of the videos is of split `val`: those whose paths have the smallest hashes, so that a
    video stays where it is when others are added, and at least one.

    Args:
        root: the folder.
        val_share: of the videos.
        on_fault: told of what cannot be right.
        leave_out: whether videos that `exclude.csv` names are left out.

    Raises:
        MmadError: the root is not a folder, or `val_share` no share.
    """

    taxonomy = Taxonomy((), (), (), ())

    def __init__(self, root: Path, *, val_share: float, on_fault: OnFault = refuse, leave_out: bool = True) -> None:
        if not root.is_dir():
            raise MmadError(f"{root} is not a folder; give the one that holds the videos")
        if not 0 < val_share < 1:
            raise MmadError(f"data.source.val_share={val_share:g}: choose a share between 0 and 1, such as 0.02")
        self.root, self.val_share, self.manifest = root, val_share, Manifest.read(root, on_fault=on_fault)
        self.excluded = exclusions(root)
        self.left_out = self.excluded if leave_out else {}
        self.on_fault = but_for(self.left_out, on_fault)

    @cached_property
    def found(self) -> Mapping[str, Path]:
        """The videos."""
        there = [
            path
            for folder in all_folders(self.root)
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in SUFFIXES and path.is_file()
        ]
        names = Counter(path.stem for path in there)
        found = {
            path.stem if names[path.stem] == 1 else self._name(path): path
            for path in there
            if path.stem not in self.left_out
        }
        if there and not found:
            raise nothing_left(self.root)
        if len(found) < 2:
            raise MmadError(
                f"{self.root} and the folders in it hold {len(found)} videos ({', '.join(SUFFIXES)}), expected one to "
                f"train on and one to validate on; correct data.root, or cut a long video into two"
            )
        return found

    @property
    def videos(self) -> Mapping[str, Path]:
        """The videos."""
        return self.found

    @cached_property
    def annotations(self) -> Annotations:
        """No marks."""
        return Annotations([], list(self.found), dict(self.dealt))

    @cached_property
    def dealt(self) -> Mapping[str, str]:
        """The split of each clip."""
        places = {clip: _place(self._name(path)) for clip, path in self.found.items()}
        val = {clip for clip, place in places.items() if place < self.val_share} or {
            min(places, key=places.__getitem__)
        }
        if len(val) == len(places):
            val.remove(max(places, key=places.__getitem__))
        return {clip: "val" if clip in val else "train" for clip in self.found}

    @property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip."""
        return self.dealt

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split; every video is opened for its rate and length."""
        chosen = {clip: path for clip, path in self.found.items() if self.dealt[clip] == split}
        if not chosen:
            raise no_such_split(self.root, split, "train, val")
        known = headers(self.manifest, list(chosen.values()))
        return [Clip(clip, path, None, known[path].fps, known[path].frames) for clip, path in chosen.items()]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _place(name: str) -> float:
    """Where the hash of a name lies between the smallest, 0, and the largest, 1."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
