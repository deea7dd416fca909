"""Memory and time of a training step of a rewired backbone: reversible, as it stands, and beside the ordinary network.

    python benchmarks/speed_reversible.py [BACKBONE] [FRAMES] [PIXELS]

By default `re2tal_swin_t` on a clip of 16 frames of 112 x 112 pixels. "kept" is what the graph holds after the forward
pass, "peak" the most that the allocator holds at one time, gradients of the weights included, both beyond weights and
video. Ratios are to the rewired network that keeps its activations. Settings take turns, so that what else the machine
does hits all of them; times are medians, on a CPU of one thread.
"""

import itertools
import statistics
import sys
import time

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from mmad.cli.entry import conf_dir, prepare_environment

SETTINGS = {
    "rewired": ["backbone.rewired=true", "backbone.checkpointing=false"],
    "rewired, reversible": ["backbone.rewired=true", "backbone.checkpointing=true"],
    "ordinary": ["backbone.rewired=false", "backbone.checkpointing=false"],
    "ordinary, checkpointing": ["backbone.rewired=false", "backbone.checkpointing=true"],
}
ROUNDS = 5


def built(backbone: str, overrides: list[str], device: torch.device) -> nn.Module:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"backbone={backbone}", "adapter=full", "recipe=paper", *overrides])
    torch.manual_seed(0)
    return instantiate(cfg.backbone, _convert_="all").to(device).train()


def step(model: nn.Module, video: Tensor) -> None:
    model(video).square().mean().backward()
    model.zero_grad()
    if video.is_cuda:
        torch.cuda.synchronize()


def memory(model: nn.Module, video: Tensor) -> tuple[int, int]:
    """Bytes kept after the forward pass, and bytes at the peak of a step."""
    if video.is_cuda:
        before = torch.cuda.memory_allocated()
        out = model(video)
        kept = torch.cuda.memory_allocated() - before
        del out
        torch.cuda.reset_peak_memory_stats()
        step(model, video)
        return kept, torch.cuda.max_memory_allocated() - before
    found = []
    for whole in (False, True):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            if whole:
                step(model, video)
            else:
                out = model(video)
        events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]
        changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
        levels = list(itertools.accumulate(change for _, change in changes))
        found.append(max(levels) if whole else levels[-1])
    return found[0], found[1]


def main() -> None:
    prepare_environment()
    backbone, frames, pixels = [*sys.argv[1:], *["re2tal_swin_t", "16", "112"][len(sys.argv) - 1 :]]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)  # several wait for each other when the machine does something else too
    video = torch.randint(0, 256, (1, 3, int(frames), int(pixels), int(pixels)), dtype=torch.uint8, device=device)
    models = {name: built(backbone, overrides, device) for name, overrides in SETTINGS.items()}
    held = {name: memory(model, video) for name, model in tqdm(models.items(), desc="memory", leave=False)}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in tqdm(range(ROUNDS), desc="time", leave=False):
        for name, model in models.items():
            start = time.perf_counter()
            step(model, video)
            seconds[name].append(time.perf_counter() - start)
    kept, peak = held["rewired"]
    base = statistics.median(seconds["rewired"])
    print(f"{backbone}, {frames} frames of {pixels} x {pixels} pixels, {device.type}")
    print(f"{'setting':<25}{'kept':>13}{'ratio':>7}{'peak':>13}{'ratio':>7}{'step':>12}{'ratio':>7}")
    for name, (own, most) in held.items():
        took = statistics.median(seconds[name])
        print(
            f"{name:<25}{own / 2**20:>9.1f} MiB{own / kept:>7.3f}{most / 2**20:>9.1f} MiB{most / peak:>7.2f}"
            f"{took * 1000:>9.0f} ms{took / base:>7.2f}"
        )


if __name__ == "__main__":
    main()
