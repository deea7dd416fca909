"""Times reading a data set's frames, decoded and cached: `python benchmarks/speed_reading.py`.

Clips of 10 s, 640 x 360 at 30 fps, H.264 with a key frame every 250 frames; every second frame is read at a short side
of 182, as the paper's recipe does, through a DataLoader of 0, 1 and 2 workers. An epoch reads every clip once; the time
is that of the best of several epochs, workers running already. Ratios are of one run: to decord with as many workers.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from mmad.annotations import Clip
from mmad.data import decord_reader, pyav_reader
from mmad.data.cache import DiskFrames, FileFrames, Frames, MemoryFrames
from mmad.data.grid import Grid
from mmad.data.header import header
from mmad.data.video import scaled_size

CLIPS, FRAMES, HEIGHT, WIDTH, SHORT_SIDE = 4, 300, 360, 640, 182
WORKERS, EPOCHS, LIMIT_RATIO = (0, 1, 2), 3, 10.0


def pictures(seed: int) -> Iterator[np.ndarray]:
    """A picture whose contrast falls with spatial frequency, as that of nature does, moving, with noise of a camera."""
    rng = np.random.default_rng(seed)
    rows, columns = HEIGHT + FRAMES // 2, WIDTH + FRAMES
    distance = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns))
    distance[0, 0] = np.inf
    image = np.fft.ifft2(np.fft.fft2(rng.normal(size=(3, rows, columns))) / distance**1.2).real.transpose(1, 2, 0)
    image = 16 + 224 * (image - image.min()) / np.ptp(image)
    noise = rng.normal(0, 4, (8, HEIGHT, WIDTH, 3))
    for i in range(FRAMES):
        shown = image[i // 2 : i // 2 + HEIGHT, i : i + WIDTH] + noise[rng.integers(8)]
        yield np.ascontiguousarray(shown.astype(np.uint8))


def write(path: Path, *, seed: int) -> Clip:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "20", "g": "250"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for picture in pictures(seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return Clip(path.stem, path, None, 30.0, FRAMES, ())


class Whole(Dataset[Tensor]):
    """All decoded frames of each clip, (F, 3, H, W) uint8."""

    def __init__(self, clips: list[Clip], read: Callable[[Clip], Tensor]) -> None:
        self.clips, self.read = clips, read

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Tensor:
        return self.read(self.clips[index])


def decoded(clip: Clip, *, reader: ModuleType, step: int) -> Tensor:
    height, width = scaled_size(header(clip.path), SHORT_SIDE)
    frames = reader.read(clip.path, np.arange(0, FRAMES, step), height=height, width=width)
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


def cached(clip: Clip, *, frames: Frames, length: int) -> Tensor:
    return frames(clip, first=0, frames=length)


def seconds_per_epoch(dataset: Whole, *, workers: int) -> tuple[float, int]:
    """Time of the best epoch, and the sum of all pixels."""
    loader = DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    times, total = [], 0
    # The first epoch starts the workers and fills the disk's own cache.
    for _ in range(EPOCHS + 1):
        start = time.perf_counter()
        batches = [batch[:, :, 0, 0].long().sum() for batch in loader]
        times.append(time.perf_counter() - start)
        total = int(sum(batches))
    return min(times[1:]), total


def main() -> None:
    grid = Grid(window=64, feature_stride=4, frames_per_step=2, levels=3)
    length = grid.decoded(FRAMES)
    source = FileFrames(grid, short_side=SHORT_SIDE)
    with tempfile.TemporaryDirectory() as folder:
        clips = [write(Path(folder, f"{i}.mp4"), seed=i) for i in tqdm(range(CLIPS), desc="write", leave=False)]
        start = time.perf_counter()
        disk = DiskFrames(source, clips, Path(folder, "cache"), threads=2)
        disk.fill()
        filling = time.perf_counter() - start
        ways: dict[str, Callable[[Clip], Tensor]] = {
            "decord": partial(decoded, reader=decord_reader, step=grid.frame_step),
            "PyAV": partial(decoded, reader=pyav_reader, step=grid.frame_step),
            "cache on disk": partial(cached, frames=disk, length=length),
            "cache in memory": partial(cached, frames=MemoryFrames(source, clips, threads=2), length=length),
        }
        found = {
            (way, workers): seconds_per_epoch(Whole(clips, read), workers=workers)
            for way, read in tqdm(ways.items(), desc="read", leave=False)
            for workers in WORKERS
        }
        sizes = [sum(path.stat().st_size for path in Path(folder).glob(pattern)) for pattern in ("*.mp4", "cache/*")]
    if len({total for _, total in found.values()}) != 1:
        raise SystemExit("not all ways give the same pixels")
    print(
        f"{CLIPS} clips of {FRAMES} frames, {sizes[0] / 1e6:.0f} MB; cached {sizes[1] / 1e6:.0f} MB in {filling:.1f} s"
    )
    print("\n| frames per second (times decord's) | " + " | ".join(f"{w} workers" for w in WORKERS) + " |")
    print("|---" * (len(WORKERS) + 1) + "|")
    for way in ways:
        times = [(found["decord", workers][0], found[way, workers][0]) for workers in WORKERS]
        cells = [f"{CLIPS * FRAMES / mine:,.0f} ({decord / mine:.1f})" for decord, mine in times]
        print(f"| {way} | " + " | ".join(cells) + " |")
    slowest = min(found["decord", 0][0] / found[way, 0][0] for way in ways if way.startswith("cache"))
    if slowest < LIMIT_RATIO:
        raise SystemExit(f"a cache is only {slowest:.1f} times as fast as decoding, expected {LIMIT_RATIO:g}")


if __name__ == "__main__":
    main()
