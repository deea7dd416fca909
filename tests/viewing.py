"""A small project for the viewer, and a server for it in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmad.formats.marks import Mark
from mmad.taxonomy import MMA52
from mmad.viewer.project import Layer, Project
from mmad.viewer.saving import Corrections
from mmad.viewer.server import Address, Server, listen, make_app

TRUTH = [
    Mark("one", 0.5, 1.5, "nodding"),
    Mark("one", 1.0, 2.5, "waving"),
    Mark("one", 3.0, 3.8, "nodding"),
]
ANNA = [Mark("one", 0.4, 1.6, "nodding", annotator="anna"), Mark("two", 0.2, 0.9, "waving", annotator="anna")]
SAID = [
    Mark("one", 0.48, 1.43, "nodding", score=0.9),
    Mark("one", 1.2, 2.2, "waving", score=0.6),
    Mark("one", 2.6, 2.9, "touching nose", score=0.2),
]


def project(videos: dict[str, Path]) -> Project:
    """Two clips or more with ground truth, an annotator, and three predictions; only nodding has a threshold."""

    def by_clip(marks: list[Mark]) -> dict[str, list[Mark]]:
        return {clip: [mark for mark in marks if mark.clip == clip] for clip in {mark.clip for mark in marks}}

    return Project(
        title="small",
        taxonomy=MMA52,
        clips=list(dict.fromkeys(["one", "two", *videos])),
        videos=videos,
        layers=[
            Layer("ground truth", "truth", by_clip(TRUTH)),
            Layer("anna", "annotation", by_clip(ANNA)),
            Layer("predictions", "prediction", by_clip(SAID)),
        ],
        thresholds={"nodding": 0.5},
        durations={"two": 2.0},
    )


def box(locator: Any) -> dict[str, float]:
    """Where an element is once it stays there: the timeline is drawn anew whenever its size changes."""
    before = None
    for _ in range(100):
        now: dict[str, float] | None = locator.bounding_box()
        if now is not None and now == before:
            return now
        before = now
        locator.page.wait_for_timeout(20)
    raise AssertionError(f"never at rest: {locator}")


@contextmanager
def served(shown: Project, output: Path, *, port: int = 0) -> Iterator[tuple[Address, Corrections]]:
    """Serves a project while the block runs."""
    output.mkdir(exist_ok=True)
    corrections = Corrections(output, subjects=shown.subjects)
    opened, address = listen(output, port=port)
    ready = threading.Event()
    server = Server(make_app(shown, corrections, address=address), ready=ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield address, corrections
    finally:
        server.should_exit = True
        thread.join(20)
        opened.close()
        corrections.close()
