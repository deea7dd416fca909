import inspect
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from mmad.heads.anchor_free import PointPredictions
from mmad.heads.tridet import OPENTAD_KEYS, TriDet, trident_offsets
from mmad.segments import Segments
from opentad import check_file_fills


def small(**options) -> TriDet:
    torch.manual_seed(0)
    sizes = {"in_channels": 6, "classes": 3, "channels": 32, "convs": 1, "stem": 1, "levels": 3, "bins": 4, **options}
    return TriDet(mlp_channels=16, **sizes)


def randomised(head: TriDet) -> TriDet:
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return head.eval()


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]),
        "labels": torch.tensor([label for *_, label in instances]),
    }


def test_parameters_of_the_published_size() -> None:
    with torch.device("meta"):
        head = TriDet(in_channels=1408, classes=52)
    assert sum(parameter.numel() for parameter in head.parameters()) == 15_154_116


def test_initial_values() -> None:
    head = small()
    torch.testing.assert_close(head.dense.cls_head.conv.bias, torch.full((3,), -4.5951), rtol=0, atol=1e-4)
    assert head.dense.reg_head.conv.bias.tolist() == [0.0] * 10
    assert head.start_head.conv.bias.tolist() == head.end_head.conv.bias.tolist() == [0.0] * 3
    assert head.pyramid.branch[0].sgp_scale.gamma.tolist() == [pytest.approx(1e-4)] * 32
    assert head.pyramid.stem[0].psi.weight.std().item() == pytest.approx(0.1, rel=0.3)


def naive_offsets(start: Tensor, end: Tensor, bins: Tensor) -> Tensor:
    """(T, K, 2) of one clip and level, one softmax after the other."""
    steps, classes = start.shape
    reach = bins.shape[1] // 2 - 1
    found = torch.zeros(steps, classes, 2, dtype=start.dtype)
    for t in range(steps):
        for k in range(classes):
            for side, response, own in ((0, start, bins[t, : reach + 1]), (1, end, bins[t, reach + 1 :])):
                weights, distances = [], []
                for n in range(reach + 1):
                    place = t - reach + n if side == 0 else t + n
                    said = response[place, k].item() if 0 <= place < steps else 0.0
                    weights.append(math.exp(said + own[n].item()))
                    distances.append(abs(place - t))
                found[t, k, side] = sum(w * d for w, d in zip(weights, distances, strict=True)) / sum(weights)
    return found


@pytest.mark.parametrize(("steps", "reach"), [(6, 2), (3, 5), (1, 1)])
def test_offsets_equal_plain_loops(steps: int, reach: int) -> None:
    torch.manual_seed(0)
    start, end = 2 * torch.randn(2, 2, steps, 3, dtype=torch.float64)
    bins = 2 * torch.randn(2, steps, 2 * (reach + 1), dtype=torch.float64)
    found = trident_offsets(start, end, bins)
    for clip in range(2):
        torch.testing.assert_close(found[clip], naive_offsets(start[clip], end[clip], bins[clip]))
    assert ((found >= 0) & (found <= reach)).all()


def test_a_sure_start_and_a_sure_end_are_found_by_their_class() -> None:
    start, end, bins = torch.zeros(1, 8, 2), torch.zeros(1, 8, 2), torch.zeros(1, 8, 10)
    start[0, 2, 0] = end[0, 6, 0] = 100.0
    start[0, 4, 1] = end[0, 5, 1] = 100.0
    found = trident_offsets(start, end, bins)
    torch.testing.assert_close(found[0, 4], torch.tensor([[2.0, 2.0], [0.0, 1.0]]))


def responses(head: TriDet, pyramid: list[Tensor], masks: list[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Starts, ends and bins of every level, each level by itself."""
    found = []
    for level, (x, mask) in enumerate(zip(pyramid, masks, strict=True)):
        start = end = reg = x
        for start_conv, end_conv, reg_conv in zip(head.start_convs, head.end_convs, head.dense.reg_convs, strict=True):
            start, end, reg = start_conv(start, mask), end_conv(end, mask), reg_conv(reg, mask)
        bins = F.relu(head.dense.scale_L[level] * head.dense.reg_head(reg, mask))
        told = torch.ones_like(mask) if head.published else mask
        found.append((head.start_head(start, told), head.end_head(end, told), bins))
    return found


@pytest.mark.parametrize("published", [False, True])
@torch.no_grad()
def test_levels_do_not_see_each_other(published: bool) -> None:
    head = randomised(small(published=published))
    feats, mask = torch.randn(2, 6, 16), prefix_mask(16, 9, steps=16)
    masks = [mask[:, :: 2**level] for level in range(3)]
    outputs = head(feats * mask[:, None], mask)
    offsets = []
    for start, end, bins in responses(head, head.pyramid(feats, mask), masks):
        offsets.append(torch.stack([naive_offsets(*clip) for clip in zip(start, end, bins, strict=True)]))
    valid = outputs.mask_BP[..., None, None]
    torch.testing.assert_close(outputs.offsets_BPG2 * valid, torch.cat(offsets, dim=1) * valid)
    assert torch.equal(outputs.mask_BP, torch.cat(masks, dim=1))
    assert outputs.offsets_BPG2.dtype == torch.float32


def test_start_and_end_towers_do_not_shape_the_pyramid() -> None:
    head = randomised(small())
    # What is left of the boundaries' way to the pyramid are the start and end towers.
    torch.nn.init.zeros_(head.dense.reg_head.conv.weight)
    head(torch.randn(1, 6, 8), prefix_mask(8, steps=8)).offsets_BPG2.square().sum().backward()
    assert head.start_convs[0].conv.weight.grad.any()
    assert head.end_convs[0].conv.weight.grad.any()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in head.pyramid.parameters())


def predictions(head: TriDet, offsets: dict[tuple[int, int], tuple[float, float]]) -> PointPredictions:
    """Of 8 steps, with the given (point, class) offsets and 1 for all others."""
    with torch.no_grad():
        outputs = head(torch.zeros(1, 6, 8), prefix_mask(8, steps=8))
    told = torch.ones_like(outputs.offsets_BPG2)
    for (point, label), value in offsets.items():
        told[0, point, label] = torch.tensor(value)
    torch.manual_seed(1)
    logits = torch.randn(outputs.logits_BPK.shape)
    return PointPredictions(logits.requires_grad_(), told.requires_grad_(), outputs.mask_BP, outputs.points)


@pytest.mark.parametrize("power", [0.2, 1.0])
def test_positives_weigh_by_the_tiou_of_their_own_class(power: float) -> None:
    """Two classes have the same segment; one prediction for one of them is empty, and has tIoU 0."""
    head = small(iou_power=power, filter_similar=False).eval()
    # Level 0 serves lengths below 4: its points 3, 4 and 5 lie in the segment, and no other point does.
    told = {(3, 0): (0.25, 1.0), (4, 0): (0.0, 0.0), (5, 2): (3.0, 0.25), (4, 2): (1.5, 1.5)}
    outputs = predictions(head, told)
    losses = head.loss(outputs, [truth((2.5, 5.5, 0), (2.5, 5.5, 2))])
    cls = reg = 0.0
    positives = {(point, label) for point in (3, 4, 5) for label in (0, 2)}
    tious = []
    for point in range(14):
        for label in range(3):
            logit = outputs.logits_BPK[0, point, label].item()
            p = 1 / (1 + math.exp(-logit))
            if (point, label) not in positives:
                cls += 0.75 * p**2 * -math.log(1 - p)
                continue
            left, right = told.get((point, label), (1.0, 1.0))
            start, end = point - left, point + right
            overlap = max(min(end, 5.5) - max(start, 2.5), 0.0)
            union = (end - start) + 3.0 - overlap
            tious.append(overlap / union)
            weight = max(overlap / union, 1e-6) ** power
            cls += weight * 0.25 * (1 - p) ** 2 * -math.log(p)
            shift = (start + end - 8.0) / 2
            reg += 1 - overlap / union + (shift / (max(end, 5.5) - min(start, 2.5))) ** 2
    assert 0.0 in tious
    assert len(set(tious)) > 3
    # Each point counts once in what the sums are divided by, whatever the number of its classes.
    assert losses["cls"].item() == pytest.approx(cls / 3, rel=1e-5)
    assert losses["reg"].item() == pytest.approx(reg / 3, rel=1e-5)
    losses["cls"].backward()
    assert outputs.logits_BPK.grad.isfinite().all()
    assert outputs.offsets_BPG2.grad.isfinite().all()
    # The weight has a gradient: a better boundary costs more classification loss.
    assert outputs.offsets_BPG2.grad[0, 3, 0].any()


def test_decoding_takes_the_boundaries_of_the_class() -> None:
    head = small(score_threshold=0.5)
    outputs = predictions(head, {(3, 0): (1.0, 2.0), (3, 1): (0.5, 3.0), (9, 2): (1.5, 0.25)})
    logits = torch.full_like(outputs.logits_BPK, -5.0)
    logits[0, 3, 0], logits[0, 3, 1], logits[0, 9, 2] = 3.0, 2.0, 1.0
    (found,) = head.decode(PointPredictions(logits, outputs.offsets_BPG2, outputs.mask_BP, outputs.points))
    assert found["labels"].tolist() == [0, 1, 2]
    # Point 9 is the second of level 1, at step 2 and with strides of 2 steps.
    assert found["segments"].tolist() == [[2.0, 5.0], [2.5, 6.0], [-1.0, 2.5]]


@torch.no_grad()
def test_published_behaviour_is_another_one_only_with_padding() -> None:
    feats, mask = torch.randn(1, 6, 16), prefix_mask(16, steps=16)
    default, published = (randomised(small(published=value)) for value in (False, True))
    whole = [head(feats, mask) for head in (default, published)]
    torch.testing.assert_close(whole[0].logits_BPK, whole[1].logits_BPK, rtol=0, atol=0)
    torch.testing.assert_close(whole[0].offsets_BPG2, whole[1].offsets_BPG2, rtol=0, atol=0)
    for head, least, most in ((default, 0.0, 1e-5), (published, 1e-2, 1.0)):
        padded = head(F.pad(feats, (0, 16)), F.pad(mask, (0, 16)))
        kept = padded.mask_BP[0]
        alone = head(feats, mask)
        for one, other in ((alone.logits_BPK, padded.logits_BPK), (alone.offsets_BPG2, padded.offsets_BPG2)):
            change = (one[0] - other[0, kept]).norm() / one[0].norm()
            assert least <= change <= most


def opentad_keys(convs: int, stem: int, branch: int, tower: int) -> list[str]:
    weights, weight = ("weight", "bias"), ("weight",)
    keys = []

    def add(name: str, ends: tuple[str, ...] = weights) -> None:
        keys.extend(f"{name}.{end}" for end in ends)

    for index in range(convs):
        add(f"projection.embed.{index}.conv", weight)
        add(f"projection.embed.{index}.norm")
    blocks = [f"stem.{index}" for index in range(stem)] + [f"branch.{index}" for index in range(branch)]
    for block in (f"projection.{block}" for block in blocks):
        for part in ("ln", "gn", "psi", "fc", "convw", "convkw", "global_fc", "mlp.0", "mlp.2"):
            add(f"{block}.{part}")
        if "branch" in block:
            keys.extend(f"{block}.drop_path_{part}.scale" for part in ("out", "mlp"))
    for level in range(branch + 1):
        add(f"neck.fpn_norms.{level}")
        keys.append(f"rpn_head.scale.{level}.scale")
    for part in ("cls", "reg", "cls_start", "cls_end"):
        for index in range(tower):
            add(f"rpn_head.{part}_convs.{index}.conv", weight)
            add(f"rpn_head.{part}_convs.{index}.norm")
        add(f"rpn_head.{part}_head")
    return [*keys, "rpn_head.loss_normalizer"]


def test_a_file_of_opentad_fills_it(tmp_path: Path) -> None:
    keys = opentad_keys(convs=2, stem=1, branch=2, tower=2)
    check_file_fills(small(convs=2, stem=1), keys, OPENTAD_KEYS, classes=3, path=tmp_path / "file.pth")


def test_config_lists_every_argument_with_its_default() -> None:
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/head/tridet.yaml")
    owned = {"in_channels": "${backbone.embed_dim}", "levels": "${grid.levels}"}
    found = OmegaConf.to_container(config, resolve=False)
    assert found.pop("_target_") == f"{TriDet.__module__}.{TriDet.__qualname__}"
    assert {key: found.pop(key) for key in owned} == owned
    # The number of classes comes from the taxonomy when the head is built.
    parameters = inspect.signature(TriDet).parameters.items()
    assert found == {key: parameter.default for key, parameter in parameters if key not in {*owned, "classes"}}
