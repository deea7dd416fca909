import pytest
import torch

from mmad.backbones.features import Features
from mmad.errors import MmadError


def test_features_pass_and_padding_is_zero() -> None:
    feats_BCT = torch.randn(2, 5, 8)
    mask_BT = torch.arange(8) < torch.tensor([[8], [3]])
    passed = Features(embed_dim=5)(feats_BCT, mask_BT)
    assert torch.equal(passed[0], feats_BCT[0])
    assert torch.equal(passed[1, :, :3], feats_BCT[1, :, :3])
    assert not passed[1, :, 3:].any()
    assert torch.equal(Features(embed_dim=5)(feats_BCT), feats_BCT)
    assert not list(Features(embed_dim=5).parameters())


@pytest.mark.parametrize("shape", [(2, 4, 8), (2, 3, 16, 8, 8)])
def test_another_width_or_a_video_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(MmadError, match=r"features of 5 channels but got an input of shape"):
        Features(embed_dim=5)(torch.zeros(shape))


def test_there_is_no_backbone_to_adapt_or_to_load() -> None:
    with pytest.raises(MmadError, match=r"use adapter=frozen"):
        Features(embed_dim=5, adapter=torch.nn.Identity)
    with pytest.raises(MmadError, match=r"leave the setting out"):
        Features(embed_dim=5, weights="a.pth")
