import inspect
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mmad.assignment import assign, pyramid_points
from mmad.errors import MmadError
from mmad.heads.anchor_free import PointPredictions
from mmad.heads.temporalmaxer import OPENTAD_KEYS, TemporalMaxer, assign_cheapest
from mmad.segments import Segments, empty_segments
from opentad import check_file_fills

STEPS, LEVELS, K = 16, 3, 3


def small(**options) -> TemporalMaxer:
    torch.manual_seed(0)
    return TemporalMaxer(**{"in_channels": 6, "classes": K, "channels": 8, "convs": 1, "levels": LEVELS, **options})


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]),
        "labels": torch.tensor([label for *_, label in instances]),
    }


def predictions(clips: int = 1, *, seed: int = 0) -> PointPredictions:
    generator = torch.Generator().manual_seed(seed)
    points = pyramid_points(STEPS, LEVELS)
    count = len(points.level_P)
    return PointPredictions(
        2 * torch.randn(clips, count, K, generator=generator),
        3 * torch.rand(clips, count, 1, 2, generator=generator),
        torch.ones(clips, count, dtype=torch.bool),
        points,
    )


@pytest.mark.parametrize(("convs", "expected"), [(2, 6_190_140), (3, 6_977_596)])
def test_parameters_of_the_published_sizes(convs, expected):
    with torch.device("meta"):
        head = TemporalMaxer(in_channels=1408, classes=52, convs=convs)
    assert sum(parameter.numel() for parameter in head.parameters()) == expected


def test_every_level_is_the_maximum_of_the_one_below():
    head = small()
    seen = []
    for norm in head.neck:
        norm.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0][0]))
    head(torch.randn(1, 6, STEPS), torch.arange(STEPS)[None] < 11)
    assert seen[0][:11].any(dim=1).all()
    for (below, above), valid in zip(pairwise(seen), (6, 3), strict=True):
        for step in range(len(above)):
            around = below[max(2 * step - 1, 0) : 2 * step + 2].amax(dim=0)
            assert torch.equal(above[step], around if step < valid else torch.zeros(8))


def focal(logit: float, target: bool) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -0.25 * (1 - p) ** 2 * math.log(p) if target else -0.75 * p**2 * math.log(1 - p)


def cost(logits: list[float], offsets: list[float], left: float, right: float, label: int) -> float:
    """Of one point, which predicts logits and offsets, and one instance."""
    cls = sum(focal(logit, k == label) for k, logit in enumerate(logits))
    shared = min(offsets[0], left) + min(offsets[1], right)
    tiou = shared / (sum(offsets) + left + right - shared)
    shift = (offsets[1] - offsets[0] - right + left) / 2
    return cls + 2 * (1 - tiou + (shift / (max(offsets[0], left) + max(offsets[1], right))) ** 2)


# On a grid of quarters, points lie on boundaries and instances have the same length, exactly.
instances = st.builds(
    lambda start, length, label: (start / 4, (start + length) / 4, label),
    st.integers(-4, 4 * STEPS - 4),
    st.integers(1, 4 * STEPS),
    st.integers(0, K - 1),
)


@given(
    clip=st.lists(instances, max_size=6),
    other=st.lists(instances, max_size=2),
    filter_similar=st.booleans(),
    matched_only=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_assignment_equals_plain_loops(clip, other, filter_similar, matched_only, seed):
    outputs = predictions(2, seed=seed)
    targets = [truth(*clip) if clip else empty_segments() for clip in (clip, other)]
    found = assign_cheapest(outputs, targets, filter_similar=filter_similar, matched_only=matched_only)
    grid = [(t, 2**level, level) for level in range(LEVELS) for t in range(0, STEPS, 2**level)]
    for index, known in enumerate((clip, other)):
        for point, (t, stride, level) in enumerate(grid):
            lowest, highest = (0 if level == 0 else 2 * stride), (math.inf if level == LEVELS - 1 else 4 * stride)
            served = [
                (start, end, label)
                for start, end, label in known
                if start < t < end
                and abs(t - (start + end) / 2) < 1.5 * stride
                and lowest <= max(t - start, end - t) <= highest
            ]
            if filter_similar and served:
                shortest = min(end - start for start, end, _ in served)
                served = [(start, end, label) for start, end, label in served if end - start <= shortest + 1e-3]
            classes = {label for *_, label in served}
            assert found.classes_BPK[index, point].tolist() == [float(k in classes) for k in range(K)]
            assert found.positive_BP[index, point].item() == bool(served)
            if served:
                nearby = served if matched_only else [i for i in known if i[0] <= t <= i[1]]
                logits, offsets = outputs.logits_BPK[index, point], outputs.offsets_BPG2[index, point, 0]
                # Of instances with the same boundaries it does not matter which is the cheapest.
                costs: dict[tuple[float, float], float] = {}
                for start, end, label in nearby:
                    price = cost(logits.tolist(), offsets.tolist(), (t - start) / stride, (end - t) / stride, label)
                    costs[start, end] = min(price, costs.get((start, end), math.inf))
                left, right = found.offsets_BP2[index, point].tolist()
                chosen = (t - left * stride, t + right * stride)
                assert costs[chosen] <= min(costs.values()) + 1e-5


@pytest.mark.parametrize("matched_only", [True, False])
@pytest.mark.parametrize("filter_similar", [True, False])
def test_classes_are_those_of_centre_sampling(matched_only, filter_similar):
    targets = [truth((1.0, 4.0, 0), (2.5, 9.0, 2), (0.0, 16.0, 1)), empty_segments()]
    outputs = predictions(2)
    found = assign_cheapest(outputs, targets, filter_similar=filter_similar, matched_only=matched_only)
    expected = assign(outputs.points, targets, classes=K, filter_similar=filter_similar)
    assert found.positive_BP.any()
    assert torch.equal(found.classes_BPK, expected.classes_BPK)
    assert torch.equal(found.positive_BP, expected.positive_BP)


def test_nested_instances_show_what_the_published_assignment_does():
    """A point in the middle of both has the inner one's class, but may be sent to the outer one's boundaries."""
    target = [truth((6.0, 9.0, 0), (4.5, 11.5, 1))]
    outputs = predictions()
    # Point 8 of the finest level answers with the outer instance.
    outputs.logits_BPK[0, 8] = torch.tensor([-3.0, 3.0, -3.0])
    outputs.offsets_BPG2[0, 8, 0] = torch.tensor([3.5, 3.5])
    matched, loose = (assign_cheapest(outputs, target, matched_only=only) for only in (True, False))
    for found in (matched, loose):
        assert found.classes_BPK[0, 8].tolist() == [1, 0, 0]
    assert matched.offsets_BP2[0, 8].tolist() == [2, 1]
    assert loose.offsets_BP2[0, 8].tolist() == [3.5, 3.5]


def test_the_loss_asks_for_the_instance_that_a_point_already_sees():
    inner, outer = (6.5, 9.5, 0), (4.5, 11.5, 1)
    outputs = predictions()
    outputs.logits_BPK[..., 1] = 4.0
    in_outer_P = assign(outputs.points, [truth(outer)], classes=K).positive_BP[0]
    in_inner_P = assign(outputs.points, [truth(inner)], classes=K).positive_BP[0]
    assert (in_outer_P & in_inner_P).any()
    assert (in_inner_P & ~in_outer_P).any()

    def boundary_loss(regression: str, answers_outer_P: torch.Tensor) -> float:
        position_P1, stride_P1 = outputs.points.position_P[:, None], outputs.points.stride_P[:, None]
        segment_P2 = torch.where(answers_outer_P[:, None], torch.tensor(outer[:2]), torch.tensor(inner[:2]))
        sides = torch.tensor([-1.0, 1.0])
        outputs.offsets_BPG2[0, :, 0] = ((segment_P2 - position_P1) * sides / stride_P1).clamp(min=0)
        head = small(filter_similar=False, regression=regression).eval()
        return head.loss(outputs, [truth(inner, outer)])["reg"].item()

    # Points in both may answer with the longer one. Others in the inner one may do so as published only.
    assert boundary_loss("matched", in_outer_P) == pytest.approx(0, abs=1e-6)
    assert boundary_loss("matched", torch.ones_like(in_outer_P)) > 0.1
    assert boundary_loss("any", torch.ones_like(in_outer_P)) == pytest.approx(0, abs=1e-6)


def test_instances_that_are_not_there_are_no_choice():
    """A clip with fewer instances than others is padded, and its first point may lie where padding does."""
    outputs = predictions(2)
    # Point 0 is as sure of class 0 as of having no length.
    outputs.logits_BPK[:, 0] = torch.tensor([5.0, -5.0, -5.0])
    outputs.offsets_BPG2[:, 0] = 0
    targets = [truth((-1.0, 3.0, 1)), truth((-1.0, 3.0, 1), (8.0, 9.0, 0), (10.0, 12.0, 0))]
    found = assign_cheapest(outputs, targets, matched_only=False)
    assert found.positive_BP[:, 0].all()
    assert found.offsets_BP2[:, 0].tolist() == [[1, 3]] * 2


@pytest.mark.parametrize("matched_only", [True, False])
def test_no_gradient_passes_the_assignment(matched_only):
    outputs = predictions()
    outputs.logits_BPK.requires_grad_()
    outputs.offsets_BPG2.requires_grad_()
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape), lambda x: x):
        found = assign_cheapest(outputs, [truth((1.0, 4.0, 0))], matched_only=matched_only)
    assert not any(part.requires_grad for part in found)
    assert kept == []


def test_unknown_regression_names_the_choices():
    with pytest.raises(MmadError, match=r"head.regression=all: choose matched, or any"):
        small(regression="all")


def test_input_drop_zeroes_whole_channels_in_training():
    head = small(input_drop=0.5)
    seen = []
    head.embed[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    head.train()(torch.ones(1, 6, 8), torch.ones(1, 8, dtype=torch.bool))
    head.eval()(torch.ones(1, 6, 8), torch.ones(1, 8, dtype=torch.bool))
    assert set(map(tuple, seen[0][0].T.tolist())) == {(0.0,) * 8, (2.0,) * 8}
    assert (seen[1] == 1).all()


def opentad_keys(convs: int, levels: int, tower: int) -> list[str]:
    keys = ["rpn_head.loss_normalizer"]
    convolutions = [f"projection.embed.{index}" for index in range(convs)]
    convolutions += [f"rpn_head.{part}_convs.{index}" for part in ("cls", "reg") for index in range(tower)]
    for name in convolutions:
        keys += [f"{name}.conv.weight", f"{name}.norm.weight", f"{name}.norm.bias"]
    for name in ("cls_head", "reg_head"):
        keys += [f"rpn_head.{name}.weight", f"rpn_head.{name}.bias"]
    for level in range(levels):
        keys += [f"neck.fpn_norms.{level}.weight", f"neck.fpn_norms.{level}.bias", f"rpn_head.scale.{level}.scale"]
    return keys


def test_a_file_of_opentad_fills_it(tmp_path: Path) -> None:
    keys = opentad_keys(convs=2, levels=LEVELS, tower=2)
    check_file_fills(small(convs=2), keys, OPENTAD_KEYS, classes=K, path=tmp_path / "file.pth")


def test_config_lists_every_argument_with_its_default():
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/head/temporalmaxer.yaml")
    owned = {"in_channels": "${backbone.embed_dim}", "levels": "${grid.levels}"}
    found = OmegaConf.to_container(config, resolve=False)
    assert found.pop("_target_") == f"{TemporalMaxer.__module__}.{TemporalMaxer.__qualname__}"
    assert {key: found.pop(key) for key in owned} == owned
    # The number of classes comes from the taxonomy when the head is built.
    parameters = inspect.signature(TemporalMaxer).parameters.items()
    assert found == {key: parameter.default for key, parameter in parameters if key not in {*owned, "classes"}}
