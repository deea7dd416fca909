"""Rewired networks: the couplings of the paper, weights of the ordinary networks, randomness, several processes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmad.backbones.slowfast import Bottleneck
from small_backbones import re2tal_slowfast, re2tal_swin, scattered, slowfast, swin, video

REWIRED = pytest.mark.parametrize("build", [re2tal_slowfast, re2tal_swin])
MASK = torch.arange(16) < torch.tensor([[16], [5], [16]])


@REWIRED
def test_gradients_are_those_of_plain_autograd_with_drop_path(build) -> None:
    found = []
    drops = {"drop_path": 0.5} if build is re2tal_swin else {}
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = scattered(build(checkpointing=checkpointing, **drops)).double().train()
        torch.manual_seed(1)
        feats = model(video(3, 32, side=16), MASK)
        assert feats.dtype == torch.float64
        trained = [p for p in model.parameters() if p.requires_grad]
        found.append((feats.detach(), *torch.autograd.grad(feats.square().mean(), trained)))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[1][1:], found[0][1:], rtol=1e-9, atol=1e-9)


def test_a_swin_stage_is_the_additive_coupling() -> None:
    model = scattered(re2tal_swin()).double().eval()
    stage = model.features[0]
    x = torch.randn(1, 8, 8, 8, 16, dtype=torch.float64)
    x1 = x2 = x
    for block in stage:
        y1 = x1 + block.attn(block.norm1(x2))
        y2 = x2 + block.mlp(block.norm2(y1))
        # Back again
        back2 = y2 - block.mlp(block.norm2(y1))
        back1 = y1 - block.attn(block.norm1(back2))
        torch.testing.assert_close((back1, back2), (x1, x2), rtol=0, atol=1e-13)
        x1, x2 = y1, y2
    clip = torch.randint(0, 256, (1, 3, 16, 32, 32)).double()
    seen: list[Tensor] = []
    model.features[1].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.patch_embed.register_forward_hook(lambda module, args, out: x)
    with torch.no_grad():
        model(clip)
    torch.testing.assert_close(seen[0], (x1 + x2) / 2, rtol=0, atol=1e-12)


def test_a_slowfast_stage_swaps_its_streams_and_moves_the_activation() -> None:
    model = scattered(re2tal_slowfast(depths=(3, 1, 1, 1))).double().eval()
    first, second, third = model.fast_path.blocks("layer1")
    x = torch.randn(1, 1, 16, 8, 8, dtype=torch.float64)

    def activated(block: Bottleneck, x: Tensor) -> Tensor:
        x = block.conv1.bn(block.conv1.conv(x)).clamp(min=0)
        x = block.conv2.bn(block.conv2.conv(x)).clamp(min=0)
        return block.conv3.bn(block.conv3.conv(x)).clamp(min=0)

    a = b = activated(first, x) + first.downsample.bn(first.downsample.conv(x))
    assert (a < 0).any()
    a, b = b + activated(second, a), a
    a, b = b + activated(third, a), a
    with torch.no_grad():
        torch.testing.assert_close(model._stage([first, second, third], x), (a + b) / 2, rtol=0, atol=1e-12)
        ordinary = slowfast(depths=(3, 1, 1, 1)).double().eval()
        ordinary.load_state_dict(model.state_dict())
        assert (ordinary._stage(ordinary.fast_path.blocks("layer1"), x) >= 0).all()


@pytest.mark.parametrize(("ordinary", "build"), [(slowfast, re2tal_slowfast), (swin, re2tal_swin)])
def test_weights_of_the_ordinary_network_load_and_mean_another_function(ordinary, build, tmp_path: Path) -> None:
    source = scattered(ordinary()).eval()
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "plain.pth")
    if ordinary is swin:  # as torchvision names it
        torch.save(source.state_dict(), tmp_path / "plain.pth")
    model = build(weights=str(tmp_path / "plain.pth")).eval()
    assert model.load_report.missing == model.load_report.dropped == ()
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    with torch.no_grad():
        assert (model(video(1, 16)) - source(video(1, 16))).abs().max() > 1e-2


def test_what_is_dropped_changes_and_nothing_else_is_seeded() -> None:
    """The published code seeds all of torch with a constant in each block, so that masks and all later draws repeat."""
    model = re2tal_swin(drop_path=0.5).train()
    torch.manual_seed(0)
    outputs, after = [], []
    with torch.no_grad():
        for _ in range(6):
            outputs.append(model(video(1, 16)))
            after.append(torch.rand(()).item())
    assert len({out.sum().item() for out in outputs}) > 1
    assert len(set(after)) == 6


@REWIRED
def test_the_backward_pass_draws_nothing(build) -> None:
    model = build(**({"drop_path": 0.5} if build is re2tal_swin else {})).train()
    loss = model(video(1, 16)).sum()
    before = torch.get_rng_state()
    loss.backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_draw_for_a_clip_does_not_depend_on_the_lengths_of_others() -> None:
    model = swin(drop_path=0.9).train()
    clips = video(4, 32)
    outputs = []
    for lengths in ([16, 16, 16, 16], [3, 8, 16, 5]):
        torch.manual_seed(2)
        with torch.no_grad():
            outputs.append(model(clips, torch.arange(16) < torch.tensor(lengths)[:, None])[2])
    torch.testing.assert_close(outputs[0], outputs[1])


@REWIRED
def test_it_trains_under_ddp(build, tmp_path: Path) -> None:
    """Clips of two lengths use each parameter twice in one step; no static graph is asked for."""
    torch.manual_seed(0)
    model = build().train()
    model(video(3, 32, side=16), MASK).square().mean().backward()
    expected = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    model.zero_grad()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(model)
        wrapped(video(3, 32, side=16), MASK).square().mean().backward()
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close([p.grad for p in model.parameters() if p.requires_grad], expected)


@REWIRED
def test_less_is_kept_than_by_the_same_network_unreversed(build) -> None:
    def kept(model: nn.Module) -> int:
        seen: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            if not isinstance(tensor, nn.Parameter):
                seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        held = []  # else storage that is freed is given out again
        with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t) or note(t), lambda t: t):
            model(video(1, 16))
        return sum(seen.values())

    deep = {"depths": (1, 1, 12, 1)} if build is re2tal_slowfast else {"depths": (2, 8)}
    torch.manual_seed(0)
    assert kept(build(**deep).train()) * 2 < kept(build(checkpointing=False, **deep).train())
