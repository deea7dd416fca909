"""Features in files as a source of annotated clips, without any video."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from mmad.annotations import Clip
from mmad.data.feature_set import FEATURES, FeatureSet, difference, feature_files
from mmad.data.features import SUFFIXES, read_header, shape_of
from mmad.data.grid import Grid
from mmad.data.header import MOV, Header
from mmad.data.manifest import Manifest, Video
from mmad.data.sources.folders import read_json
from mmad.data.sources.lengths import annotated_length, check_steps
from mmad.data.sources.marked import MarkedSource, on_frames
from mmad.data.sources.source import SPLIT_TABLE, no_such_split
from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.activitynet import entries_of
from mmad.formats.annotated import Annotations
from mmad.formats.json_marks import read_json_marks
from mmad.formats.marks import truths_of
from mmad.taxonomy import Taxonomy


class FeatureSource:
    """Features of clips with a JSON file in ActivityNet's layout.

    A folder that `mmad-extract` has written says all of its features itself. Features of other projects are arrays
    (T, C) that bear the names of their clips and lie anywhere in the folder; how long a clip is, its annotation says:
    `duration`, and `fps` or `frame`. Where the last steps of such a clip have no feature, since only whole snippets
    were taken, its last feature stands for them.

    Args:
        root: the folder.
        channels: C.
        stride: raw frames from one feature to the next.
        offset: raw frame for which the first feature stands.
        identity: see `FeatureSet`; None for features of other projects.
        fps: raw frames per second of other projects' features, where stride and offset count others than the
            annotation's.
        suffix: what follows the id in the names of other projects' files, before their ending.
        on_fault: told of what cannot be right.
        leave_out: whether clips of `exclude.csv` are left out.

    Raises:
        MmadError: the root is not a folder, or its features are not such.

    Source: the layouts of OpenTAD and of actionformer_release.
    """

    def __init__(
        self,
        root: Path,
        *,
        channels: int,
        stride: int,
        offset: int,
        identity: str | None,
        fps: float | None,
        suffix: str,
        on_fault: OnFault = refuse,
        leave_out: bool = True,
    ) -> None:
        self._marked = MarkedSource(root, read=self._read, fps=None, on_fault=on_fault, leave_out=leave_out)
        self.root, self.on_fault = root, self._marked.on_fault
        self.excluded, self.left_out = self._marked.excluded, self._marked.left_out
        self.channels, self.stride, self.offset, self.fps, self.suffix = channels, stride, offset, fps, suffix
        for name, value, least in (("channels", channels, 1), ("stride", stride, 1), ("offset", offset, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise MmadError(f"data.source.{name}={value}: give a whole number from {least} on", kind="data")
        self._lengths: dict[str, tuple[int, float]] = {}  # raw frames and their rate, of each clip in `found`
        self.own = FeatureSet.read(root)
        self._check_set(identity)

    def _check_set(self, identity: str | None) -> None:
        """Refuses a folder whose features are others than those that were asked for."""
        if self.own is None:
            if identity is not None:
                raise MmadError(
                    f"{self.root} has no {FEATURES}, but features of mmad-extract are expected; give a folder that it "
                    f"has written",
                    kind="data",
                )
            return
        if identity != self.own.identity:
            raise MmadError(
                f"{self.root} holds features of {self.own.backbone} that were made otherwise than those that are "
                f"expected: another backbone, other weights or other settings; extract them as those were",
                kind="data",
            )
        asked = {"channels": self.channels, "stride": self.stride, "offset": self.offset, "fps": self.fps}
        there = {"channels": self.own.channels, "stride": self.own.stride, "offset": self.own.offset, "fps": None}
        if told := difference(asked, there, prefix="data.source."):
            raise MmadError(f"{told}: that of {self.root / FEATURES} counts; leave the setting out", kind="data")

    def check_grid(self, grid: Grid) -> None:
        """Raises MmadError unless each step of a grid is one feature."""
        if (grid.feature_stride, grid.frames_per_step, grid.offset) != (self.stride, 1, self.offset):
            raise MmadError(
                f"grid.feature_stride={grid.feature_stride}, grid.frames_per_step={grid.frames_per_step} and "
                f"grid.offset={grid.offset} are not the features' {self.stride}, 1 and {self.offset}; use grid=features"
            )

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self._marked.taxonomy

    @property
    def annotations(self) -> Annotations:
        """All marks, and what is known of their clips."""
        return self._marked.annotations

    @property
    def dealt(self) -> Mapping[str, str]:
        """The split of each clip that has one."""
        return self._marked.dealt

    @property
    def split_of(self) -> Mapping[str, str]:
        """The split of each clip.

        Raises:
            MmadError: some clip has none.
        """
        without = [clip for clip in self.annotations.clips if clip not in self.dealt]
        if without:
            raise MmadError(
                f"{len(without)} of {len(self.annotations.clips)} clips of {self.root} have no split, the first is "
                f"{without[0]!r}; name it in {self.root / SPLIT_TABLE} (columns clip and split)",
                kind="no_split",
            )
        return self.dealt

    @cached_property
    def found(self) -> Mapping[str, Path]:
        """The feature file of each clip that has one, which is its own and as long as the clip."""
        by_path: dict[str, list[Path]] = {}
        by_name: dict[str, list[Path]] = {}
        for path in feature_files(self.root):
            if self.own is not None and path.suffix != SUFFIXES[0]:
                continue
            name = path.relative_to(self.root).as_posix().removesuffix(path.suffix)
            if name.endswith(self.suffix):
                name = name[: len(name) - len(self.suffix)]
                by_path.setdefault(name, []).append(path)
                by_name.setdefault(name.rpartition("/")[2], []).append(path)
        found = {}
        for clip in self.annotations.clips:
            paths = by_path.get(clip) or by_name.get(clip, [])
            try:
                if len(paths) != 1:
                    raise self._missing(clip, paths)
                self._check_file(clip, paths[0])
            except MmadError as fault:
                fault.kind, fault.clip = "missing_video", clip
                self.on_fault(fault)
                continue
            found[clip] = paths[0]
        return found

    @property
    def videos(self) -> Mapping[str, Path]:
        """The feature file of each clip.

        Raises:
            MmadError: a clip has none.
        """
        absent = [clip for clip in self.annotations.clips if clip not in self.found]
        if absent:
            raise self._missing(absent[0], [])
        return self.found

    @cached_property
    def manifest(self) -> Manifest:
        """Length and rate of the clips in the place of their videos', so that no check opens a file as a video."""
        videos = {}
        for clip, path in self.found.items():
            frames, fps = self._lengths[clip]
            header = Header(MOV, "h264", frames, fps, 1, 1, 0, 0.0, frames / fps, False, False, True)
            stat = path.stat()
            sha256 = "" if self.own is None else self.own.clips[clip]
            videos[path] = Video(stat.st_size, stat.st_mtime_ns, sha256, frames, header)
        return Manifest.of(self.root, videos)

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split, in the order of the annotations; their paths are those of the feature files."""
        annotated = set(self.annotations.clips)
        chosen = [clip for clip, part in self.split_of.items() if part == split and clip in annotated]
        if not chosen:
            raise no_such_split(self.root, split, ", ".join(sorted(set(self.split_of.values()))))
        inside, videos = set(chosen), self.videos
        marks = [mark for mark in self.annotations.marks if mark.clip in inside]
        clips = []
        for truth in truths_of(marks, taxonomy=self.taxonomy, clips=chosen):
            frames, fps = self._lengths[truth.id]
            subject = truth.subject or self.annotations.subjects.get(truth.id)
            instances = truth.instances
            if self.own is None:
                instances = tuple(on_frames(instance, fps) for instance in instances)
            clips.append(Clip(truth.id, videos[truth.id], subject, fps, frames, instances))
        return clips

    def _read(
        self, root: Path, taxonomy: Taxonomy | None, fps: float | None, on_fault: OnFault = refuse
    ) -> Annotations:
        if self.own is not None:
            return read_json_marks(root / "annotations.json", on_fault=on_fault)
        return read_json(root, taxonomy, fps, on_fault)

    def _missing(self, clip: str, paths: list[Path]) -> MmadError:
        if paths:
            message = f"clip {clip!r} could have the features {paths[0]} or {paths[1]}; remove or rename the wrong ones"
        else:
            fix = f"put {clip}{self.suffix}.npy there, or correct data.source.suffix"
            fix = fix if self.own is None else "run mmad-extract again"
            message = f"{self.root} holds no features of clip {clip!r}; {fix}, or leave the clip out by exclude.csv"
        return MmadError(message, kind="missing_video", clip=clip)

    def _check_file(self, clip: str, path: Path) -> None:
        """Raises MmadError unless a file holds the features of a clip, as long as it is; keeps its length."""
        if self.own is None:
            where = f"{self.root}, clip {clip!r}"
            self._lengths[clip] = annotated_length(self._entries[clip], fps=self.fps, where=where)
            self._check_shape(path, *shape_of(path), frames=self._lengths[clip][0])
            return
        header = read_header(path)
        if header.clip != clip:
            raise MmadError(
                f"{path} holds the features of clip {header.clip!r}, not of {clip!r}; give it its name back"
            )
        if told := difference(header.settings, self.own.settings):
            raise MmadError(
                f"{path} was made otherwise than {self.root / FEATURES} says ({told}), and features of two kinds are "
                f"never mixed; extract all of them into an empty folder"
            )
        if header.sha256 != self.own.clips.get(clip):
            raise MmadError(
                f"{path} was made from another video of clip {clip!r} than {self.root / FEATURES} says; extract all "
                f"of them into an empty folder"
            )
        self._lengths[clip] = header.frames, header.fps
        self._check_shape(path, header.steps, header.channels, frames=header.frames)

    def _check_shape(self, path: Path, steps: int, channels: int, *, frames: int) -> None:
        if channels != self.channels:
            raise MmadError(
                f"{path} holds features of {channels} channels, others have {self.channels}; features of two kinds are "
                f"never mixed (arrays are of shape (steps, channels))"
            )
        check_steps(path, steps, frames=frames, stride=self.stride, offset=self.offset)

    @cached_property
    def _entries(self) -> Mapping[str, Mapping]:
        """What the annotation file says of each clip."""
        for path in sorted(self.root.glob("*.json")):
            try:
                return entries_of(path, subset=None)
            except MmadError:
                continue  # results may lie beside the annotations
        return {}
