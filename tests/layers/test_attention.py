import pytest
import torch
import torch.nn.functional as F

from mmad.errors import MmadError
from mmad.layers.attention import MaskedConvAttention


def built(**options) -> MaskedConvAttention:
    torch.manual_seed(0)
    attention = MaskedConvAttention(8, 2, **options)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return attention.double()


def prefix_mask(*lengths: int, steps: int) -> torch.Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [-1, 3])
def test_equals_plain_loops(stride, window):
    attention = built(stride=stride, window=window)
    mask = prefix_mask(12, 7, steps=12)
    x = torch.randn(2, 12, 8, dtype=torch.float64) * mask[..., None]
    found = attention(x, mask)
    query = attention.query(attention.query_conv(x, mask))
    key = attention.key(attention.key_conv(x, mask))
    value = attention.value(attention.value_conv(x, mask))
    kept = mask[:, ::stride]
    for clip in range(2):
        for step in range(12 // stride):
            if not kept[clip, step]:
                assert not found[clip, step].any()
                continue
            seen = [
                other
                for other in range(12 // stride)
                if kept[clip, other] and (window == -1 or abs(other - step) <= window // 2)
            ]
            heads = []
            for part in (slice(0, 4), slice(4, 8)):
                logits = torch.stack([query[clip, step, part] @ key[clip, other, part] / 2 for other in seen])
                heads.append(logits.softmax(0) @ value[clip, seen, part])
            torch.testing.assert_close(found[clip, step], attention.proj(torch.cat(heads)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("window", [-1, 5])
def test_longer_padding_changes_nothing(stride, window):
    attention = built(stride=stride, window=window)
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    alone = attention(x, prefix_mask(6, steps=6))
    padded = attention(F.pad(x, (0, 0, 0, 10)), prefix_mask(6, steps=16))
    torch.testing.assert_close(padded[:, : 6 // stride], alone)


def test_a_window_as_wide_as_the_clip_is_global():
    x, mask = torch.randn(1, 6, 8, dtype=torch.float64), prefix_mask(6, steps=6)
    torch.testing.assert_close(built(window=11)(x, mask), built()(x, mask))


@pytest.mark.parametrize("window", [-1, 3])
def test_clip_without_any_valid_step_is_finite(window):
    x, mask = torch.zeros(1, 4, 8, dtype=torch.float64), prefix_mask(0, steps=4)
    assert built(window=window)(x, mask).tolist() == torch.zeros(1, 4, 8).tolist()


def test_channels_that_do_not_split_name_the_fix():
    with pytest.raises(MmadError, match=r"channels=10 cannot be split among heads=4: choose a multiple of 4\."):
        MaskedConvAttention(10, 4)


def test_even_window_names_the_fix():
    with pytest.raises(MmadError, match=r"attention_window=4 must be odd.*choose 5, or -1"):
        MaskedConvAttention(8, 2, window=4)
