import pytest
import torch

from mmad.layers.masked_conv import MaskedConv1d


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def prefix_mask(*lengths: int, steps: int) -> torch.Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("depthwise", [False, True])
def test_equals_plain_loops(stride, depthwise):
    conv = randomised(MaskedConv1d(4, 4, stride=stride, groups=4 if depthwise else 1))
    mask = prefix_mask(8, 5, steps=8)
    x = torch.randn(2, 8, 4) * mask[..., None]
    found = conv(x, mask)
    assert found.shape == (2, 8 // stride, 4)
    for clip in range(2):
        for step in range(8 // stride):
            center = step * stride
            if not mask[clip, center]:
                assert not found[clip, step].any()
                continue
            y = torch.zeros(4)
            for tap in (-1, 0, 1):
                if 0 <= center + tap < 8:
                    weight, value = conv.conv.weight[:, :, tap + 1], x[clip, center + tap]
                    y += weight[:, 0] * value if depthwise else weight @ value
            y = (y - y.mean()) / (y.var(unbiased=False) + 1e-5).sqrt()
            y = (y * conv.norm.weight + conv.norm.bias).clamp(min=0)
            torch.testing.assert_close(found[clip, step], y, atol=1e-5, rtol=1e-5)


def test_bias_only_on_request_and_zero_at_padding():
    assert MaskedConv1d(2, 3).conv.bias is None
    conv = MaskedConv1d(2, 3, bias=-4.5, norm=False, relu=False)
    found = conv(torch.zeros(1, 4, 2), prefix_mask(3, steps=4))
    assert conv.conv.bias.requires_grad
    assert found[0].tolist() == [[-4.5] * 3] * 3 + [[0.0] * 3]


def test_norm_bias_does_not_leak_from_padding():
    first, second = randomised(MaskedConv1d(3, 3)), randomised(MaskedConv1d(3, 3))
    x = torch.randn(1, 5, 3)
    short, long = prefix_mask(5, steps=5), prefix_mask(5, steps=9)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 4))
    alone = second(first(x, short), short)
    torch.testing.assert_close(second(first(padded, long), long)[:, :5], alone)
