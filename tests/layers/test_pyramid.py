import math

import pytest
import torch
import torch.nn.functional as F

from mmad.layers.pyramid import PyramidBlock, sinusoid


def prefix_mask(*lengths: int, steps: int) -> torch.Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def built(**options) -> PyramidBlock:
    torch.manual_seed(0)
    block = PyramidBlock(8, 2, **options)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return block.eval()


def test_without_branches_a_block_passes_or_pools():
    mask = prefix_mask(8, 5, steps=8)
    x = torch.randn(2, 8, 8) * mask[..., None]
    assert torch.equal(PyramidBlock(8, 2, layer_scale=0.0)(x, mask), x)
    pooled = PyramidBlock(8, 2, stride=2, layer_scale=0.0)(x, mask)
    for step in range(4):
        expected = x[:, max(2 * step - 1, 0) : 2 * step + 2].amax(dim=1) * mask[:, 2 * step, None]
        assert torch.equal(pooled[:, step], expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_two_residual_branches(stride):
    block = built(stride=stride)
    mask = prefix_mask(8, 5, steps=8)
    kept = mask[:, ::stride, None]
    x = torch.randn(2, 8, 8) * mask[..., None]
    short = x if stride == 1 else F.max_pool1d(x.mT, 3, 2, 1).mT * kept
    attended = block.attention(block.attention_norm(x) * mask[..., None], mask)
    z = short + block.attention_scale.gamma * attended
    expected = z + block.mlp_scale.gamma * block.mlp(block.mlp_norm(z)) * kept
    torch.testing.assert_close(block(x, mask), expected)


@pytest.mark.parametrize("valid", [1, 5, 6])
def test_longer_padding_changes_nothing(valid):
    block = built(stride=2)
    mask, longer = prefix_mask(valid, steps=6), prefix_mask(valid, steps=16)
    x = torch.randn(1, 6, 8) * mask[..., None]
    found = block(F.pad(x, (0, 0, 0, 10)), longer)
    torch.testing.assert_close(found[:, :3], block(x, mask))
    assert not found[:, 3:].any()


def test_path_drop_leaves_out_whole_clips_in_training_only():
    block = built(path_drop=0.5)
    x, mask = torch.randn(1, 4, 8).expand(64, 4, 8), torch.ones(64, 4, dtype=torch.bool)
    assert torch.equal(block(x, mask)[0], block(x, mask)[1])
    outcomes = block.train()(x, mask)
    assert len({tuple(clip.flatten().tolist()) for clip in outcomes.round(decimals=3)}) == 4


def test_sinusoid_equals_plain_formula():
    table = sinusoid(5, 6)
    for step in range(5):
        for channel in range(6):
            angle = step / 10000 ** (2 * (channel // 2) / 6)
            expected = math.cos(angle) if channel % 2 else math.sin(angle)
            assert table[step, channel].item() == pytest.approx(expected, abs=1e-6)
