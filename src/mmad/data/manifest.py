"""The manifest of a data set: what a check found each video to be, so that nobody has to open it again."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmad.data.header import Header, header
from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.table import read_text
from mmad.formats.whole_file import write_whole

MANIFEST = "manifest.json"
"""Name of the manifest in the folder of a data set."""

_VERSION = 1


@dataclass(frozen=True)
class Video:
    """What was found of a video file.

    Args:
        bytes: size of the file.
        changed: when it was changed last, in nanoseconds since 1970.
        sha256: of its content, in hexadecimal digits.
        decoded: number of frames that could be decoded; None if that was not tried.
        header: what the container says.
    """

    bytes: int
    changed: int
    sha256: str
    decoded: int | None
    header: Header


def inspect(path: Path) -> Video:
    """Reads the header of a video and the hash of its content.

    Raises:
        MmadError: it is absent or unreadable; see `mmad.data.header.header`.
    """
    found = header(path)
    stat = path.stat()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Video(stat.st_size, stat.st_mtime_ns, digest, None, found)


class Manifest:
    """The videos of a data set, by their path within its folder.

    Args:
        root: folder of the data set.
        videos: what was found of each.
    """

    def __init__(self, root: Path, videos: dict[str, Video]) -> None:
        self.root, self.videos = root, videos

    def header(self, path: Path) -> Header:
        """The header of a video: from the manifest while the file has its size and date, otherwise from the file.

        Raises:
            MmadError: see `mmad.data.header.header`.
        """
        known = self.get(path)
        return known.header if known is not None else header(path)

    def get(self, path: Path) -> Video | None:
        """What is known of a video, None if nothing is, or if the file has changed since."""
        known = self.videos.get(self._name(path))
        if known is None:
            return None
        try:
            stat = path.stat()
        except OSError:
            return None
        return known if (stat.st_size, stat.st_mtime_ns) == (known.bytes, known.changed) else None

    def write(self, path: Path) -> None:
        """Writes the manifest.

        Args:
            path: the JSON file; its folder is made.
        """
        videos = {name: asdict(video) for name, video in sorted(self.videos.items())}
        text = json.dumps({"version": _VERSION, "videos": videos}, indent=1)
        write_whole(path, f"{text}\n".encode())

    @classmethod
    def of(cls, root: Path, videos: dict[Path, Video]) -> "Manifest":
        """The manifest of a folder.

        Args:
            root: the folder.
            videos: what was found of each path.
        """
        manifest = cls(root, {})
        manifest.videos = {manifest._name(path): video for path, video in videos.items()}
        return manifest

    @classmethod
    def read(cls, root: Path, *, on_fault: OnFault = refuse) -> "Manifest":
        """The manifest in the folder of a data set; an empty one if there is none.

        Args:
            root: the folder.
            on_fault: told of a file that is not a manifest, which is then as good as none.
        """
        path = root / MANIFEST
        if not path.is_file():
            return cls(root, {})
        try:
            document = json.loads(read_text(path))
            if document["version"] != _VERSION:
                raise ValueError("another version")
            return cls(root, {name: _video(entry) for name, entry in document["videos"].items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            fault = MmadError(
                f"{path} is no manifest of this version of mmad; delete it, or write it anew with mmad-data task=check",
                kind="manifest",
            )
            fault.__cause__ = error
            on_fault(fault)
            return cls(root, {})

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()


def _video(entry: dict[str, Any]) -> Video:
    """A record of a manifest; raises TypeError, KeyError or ValueError if it is none."""
    found = Header(**entry["header"])
    for name in ("frames", "fps", "height", "width", "duration"):
        if not getattr(found, name) > 0:
            raise ValueError(f"{name} is {getattr(found, name)!r}")
    return Video(int(entry["bytes"]), int(entry["changed"]), str(entry["sha256"]), entry["decoded"], found)
