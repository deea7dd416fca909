"""Time and memory of a training step under each adapter setting, as ratios to the frozen backbone.

    python benchmarks/speed_adapters.py [OVERRIDE ...]

With `recipe=paper data.resolution=160` and the like, other models. Settings take turns, so that what else the machine
does hits all of them; times are medians, on a CPU of one thread. Memory is what the allocator holds at most beyond
batch, weights and optimiser state: activations, gradients and scratch, on a GPU as well as on a CPU.
"""

import itertools
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from mmad.cli.build import build_detector
from mmad.cli.entry import conf_dir, prepare_environment
from mmad.data.clips import Batch
from mmad.data.grid import Window
from mmad.detector import Detector
from mmad.taxonomy import MMA52

SETTINGS = {
    "frozen": ["adapter=frozen"],
    "full": ["adapter=full"],
    "standard": ["adapter=standard"],
    "TIA": ["adapter=tia"],
    "DSTA": ["adapter=dsta"],
    "DSTA, 3x3 spatial kernel": ["adapter=dsta", "adapter.layer.spatial_kernel=3"],
    "DSTA without beta": ["adapter=dsta", "adapter.layer.beta=removed"],
    "DSTA without gamma": ["adapter=dsta", "adapter.layer.gamma=removed"],
    "DSTA without both scalars": ["adapter=dsta", "adapter.layer.beta=one", "adapter.layer.gamma=one"],
}
ROUNDS = 7


@dataclass
class Steps:
    """Steps of one setting: trained parameters of backbone and detector, seconds each, bytes at the peak."""

    detector: Detector
    optimizer: torch.optim.Optimizer
    batch: Batch
    backbone: int
    whole: int
    seconds: list[float] = field(default_factory=list)
    memory: int = 0

    @property
    def time(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)

    def step(self) -> None:
        """One training step."""
        outputs = self.detector(self.batch["inputs"], self.batch["mask_BT"])
        torch.stack(list(self.detector.loss(outputs, self.batch["targets"]).values())).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.batch["inputs"].is_cuda:
            torch.cuda.synchronize()


def measured_steps(settings: Mapping[str, Sequence[str]], overrides: Sequence[str] = ()) -> dict[str, Steps]:
    """Time and memory of training steps in each setting, on one batch of the recipe's size."""
    prepare_environment()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)  # several wait for each other when the machine does something else too
    made = {name: _made([*overrides, *extra], device) for name, extra in settings.items()}
    for name, steps in tqdm(made.items(), desc="memory", leave=False):
        steps.step()  # fills the optimiser's state
        steps.memory = _peak(steps, device)
        assert steps.memory > 0, f"no memory was seen for {name}"
    for _ in tqdm(range(ROUNDS), desc="time", leave=False):
        for steps in made.values():
            start = time.perf_counter()
            steps.step()
            steps.seconds.append(time.perf_counter() - start)
    return made


def _made(overrides: Sequence[str], device: torch.device) -> Steps:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=list(overrides))
    if not str(cfg.backbone.weights).startswith("builtin:"):
        cfg.backbone.weights = None
    torch.manual_seed(0)
    detector = build_detector(cfg, taxonomy=MMA52).to(device)
    data = instantiate(cfg.data, _convert_="all")
    grid, (height, width), size = data.grid, data.resolution, data.batch_size
    frames = grid.window * grid.frames_per_step
    window = grid.piece(0, raw_frames=frames * grid.frame_step, fps=30.0, first=0, frames=frames)
    batch: Batch = {
        "inputs": torch.randint(0, 256, (size, 3, frames, height, width), dtype=torch.uint8, device=device),
        "mask_BT": torch.ones(size, grid.window, dtype=torch.bool, device=device),
        "targets": [
            {"segments": torch.tensor([[4.0, 20.0], [10.0, 40.0]], device=device), "labels": torch.tensor([5, 9])}
        ]
        * size,
        "windows": [Window(*window)] * size,
    }
    optimizer = instantiate(cfg.optimizer)(detector.backbone, detector.head)
    backbone, whole = (
        sum(p.numel() for p in part.parameters() if p.requires_grad) for part in (detector.backbone, detector)
    )
    return Steps(detector.train(), optimizer, batch, backbone, whole)


def _peak(steps: Steps, device: torch.device) -> int:
    """Bytes that a step allocates at most at one time."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        steps.step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        steps.step()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return max(itertools.accumulate(change for _, change in changes))


def main() -> None:
    steps = measured_steps(SETTINGS, sys.argv[1:])
    frozen = steps["frozen"]
    print(f"{'setting':<27}{'backbone':>11}{'detector':>11}{'step':>9}{'ratio':>7}{'peak':>10}{'ratio':>7}")
    for name, step in steps.items():
        print(
            f"{name:<27}{step.backbone:>11,}{step.whole:>11,}{step.time * 1000:>6.0f} ms{step.time / frozen.time:>7.2f}"
            f"{step.memory / 2**20:>6.0f} MiB{step.memory / frozen.memory:>7.2f}"
        )


if __name__ == "__main__":
    main()
