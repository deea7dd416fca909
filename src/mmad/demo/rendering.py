"""From a clip's plan to its frames, and from frames to a video file."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from mmad.demo.drawing import HEIGHT, WIDTH, Figure, Picture, draw_room, noise_crops, noise_tile
from mmad.demo.person import SIDES, Pose, Rgb, Subject
from mmad.demo.schedule import ClipPlan, stream


class Idle:
    """The small movements of someone who does nothing: breathing, swaying, looking about a little.

    Without them any movement at all would give an action away.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._hertz = rng.uniform(0.05, 0.25, size=9).tolist()
        self._phase = rng.uniform(0, 2 * math.pi, size=9).tolist()
        self._breath = float(rng.uniform(0.25, 0.33))

    def __call__(self, pose: Pose, time: float) -> None:
        """Adds them to a pose at a time in seconds."""
        w = [
            math.sin(2 * math.pi * hertz * time + phase) for hertz, phase in zip(self._hertz, self._phase, strict=True)
        ]
        pose.yaw += 0.06 * w[0]
        pose.pitch += 0.05 * w[1]
        pose.roll += 0.026 * w[2]
        pose.lean += 0.012 * w[3]
        pose.sway += 0.003 * w[4]
        pose.shrug += 0.003 * math.sin(2 * math.pi * self._breath * time)
        for side, (across, down) in zip(SIDES, ((5, 6), (7, 8)), strict=True):
            pose.hands[side].at += complex(0.004 * w[across], 0.004 * w[down])


def pose_at(plan: ClipPlan, subject: Subject, idle: Idle, time: float) -> Pose:
    """How the person of a clip holds the body at a time in seconds."""
    pose = Pose(subject, standing=plan.standing)
    idle(pose, time)
    last = (plan.frames - 1) / plan.fps
    for performance in sorted(
        (*plan.performances, *plan.decoys), key=lambda performance: performance.action.uses_hands
    ):
        beat = performance.beat(time, last=last)
        if beat is not None:
            own = replace(beat, size=beat.size * subject.amplitude, tempo=beat.tempo * subject.tempo)
            performance.action.move(pose, own)
    return pose


def draw_clip(plan: ClipPlan) -> Iterator[np.ndarray]:
    """Draws the frames of a clip one after the other, each (HEIGHT, WIDTH, 4) uint8 RGBA."""
    subject = Subject.random(stream(plan.seed, "subject", plan.subject))
    rng = stream(plan.seed, plan.split, plan.index, "look")
    light = _light(rng)
    zoom = float(rng.uniform(1.02, 1.12)) * (0.92 if plan.standing else 1.0)
    picture = Picture(
        zoom=zoom,
        shift=complex(rng.uniform(-0.03, 0.03), rng.uniform(-0.025, 0.0)) - (0.02j if plan.standing else 0j),
        angle=float(rng.uniform(-3, 3)),
    )
    draw_room(
        picture.canvas,
        rng,
        light,
        chair=not plan.standing,
        arm_rests=not plan.standing and subject.rest == "arm rests",
    )
    room = picture.pixels.copy()
    figure, idle = Figure(subject, light), Idle(rng)
    noise = noise_crops(rng, noise_tile(rng))
    for frame in range(plan.frames):
        picture.pixels[:] = room
        figure.draw(picture.canvas, pose_at(plan, subject, idle, frame / plan.fps))
        yield picture.pixels + next(noise)


def _light(rng: np.random.Generator) -> Rgb:
    brightness, warmth = rng.uniform(0.85, 1.08), rng.uniform(-0.10, 0.10)
    return (float(brightness * (1 + warmth)), float(brightness), float(brightness * (1 - warmth)))


def write_video(path: Path, frames: Iterable[np.ndarray], *, fps: int) -> None:
    """Encodes RGBA frames as H.264; one thread, so that the bytes are the same on every machine of a kind."""
    with av.open(str(path), "w") as container:
        stream_out = container.add_stream("libx264", rate=fps, options={"preset": "veryfast", "crf": "23"})
        stream_out.width, stream_out.height, stream_out.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream_out.codec_context.thread_count = 1
        for pixels in frames:
            container.mux(stream_out.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream_out.encode(None))
