import inspect
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf

from mmad.errors import MmadError
from mmad.heads.actionformer import OPENTAD_KEYS, ActionFormer
from mmad.heads.anchor_free import AnchorFreeHead, PointPredictions
from mmad.layers.pyramid import sinusoid
from mmad.losses import class_balanced_weights, diou_loss, focal_loss
from mmad.segments import Segments, empty_segments
from opentad import check_file_fills


def small(**options) -> ActionFormer:
    torch.manual_seed(0)
    sizes = {"in_channels": 6, "classes": 3, "channels": 8, "heads": 2, "convs": 1, "levels": 3, **options}
    return ActionFormer(**sizes)


def dense(**options) -> AnchorFreeHead:
    torch.manual_seed(0)
    return AnchorFreeHead(3, 8, levels=3, **options)


def every(clips: int, steps: int) -> torch.Tensor:
    return torch.ones(clips, steps, dtype=torch.bool)


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]),
        "labels": torch.tensor([label for *_, label in instances]),
    }


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("convs", "stem", "expected"), [(3, 0, 21_210_172), (2, 2, 26_744_892)])
def test_parameters_of_the_published_sizes(convs, stem, expected):
    with torch.device("meta"):
        head = ActionFormer(in_channels=384, classes=52, convs=convs, stem=stem)
    assert count(head) == expected


def test_initial_values():
    head = small(reg_bias=1.0, layer_scale=0.25)
    torch.testing.assert_close(head.dense.cls_head.conv.bias, torch.full((3,), -4.5951), rtol=0, atol=1e-4)
    assert head.dense.reg_head.conv.bias.tolist() == [1, 1]
    assert head.dense.scale_L.tolist() == [1, 1, 1]
    assert head.branch[0].attention_scale.gamma.tolist() == [0.25] * 8
    assert not head.branch[0].mlp[0].bias.any()


def test_length_that_does_not_halve_names_the_fix():
    with pytest.raises(MmadError, match=r"50 feature steps cannot be halved 2 times: pad it to a multiple of 4 steps"):
        small()(torch.zeros(1, 6, 50), every(1, 50))


def test_single_level():
    outputs = small(levels=1)(torch.randn(2, 6, 1), every(2, 1))
    assert outputs.logits_BPK.shape == (2, 1, 3)


def test_levels_do_not_see_each_other_in_the_towers():
    head = dense()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    mask = torch.arange(8) < torch.tensor([8, 5])[:, None]
    masks = [mask[:, :: 2**level] for level in range(3)]
    pyramid = [torch.randn(2, 8 >> level, 8) * masks[level][..., None] for level in range(3)]
    outputs = head(pyramid, mask)
    logits, offsets = [], []
    for level, (x, level_mask) in enumerate(zip(pyramid, masks, strict=True)):
        cls = reg = x
        for conv in head.cls_convs:
            cls = conv(cls, level_mask)
        for conv in head.reg_convs:
            reg = conv(reg, level_mask)
        logits.append(head.cls_head(cls, level_mask))
        offsets.append(F.relu(head.scale_L[level] * head.reg_head(reg, level_mask)))
    torch.testing.assert_close(outputs.logits_BPK, torch.cat(logits, dim=1))
    torch.testing.assert_close(outputs.offsets_BPG2[:, :, 0], torch.cat(offsets, dim=1))
    assert torch.equal(outputs.mask_BP, torch.cat(masks, dim=1))


def predictions(head: AnchorFreeHead, clips: int = 1, steps: int = 16) -> PointPredictions:
    torch.manual_seed(1)
    return head([torch.randn(clips, steps >> level, 8) for level in range(3)], every(clips, steps))


def test_loss_is_that_of_its_parts():
    head = dense(label_smoothing=0.2, reg_weight=2.0, reg_bias=1.0).eval()
    outputs = predictions(head)
    losses = head.loss(outputs, [truth((5.5, 8.5, 1))])
    # Level 0 ranges up to 4 steps: its points 6, 7 and 8 see both boundaries of the only segment.
    targets = torch.full((1, 28, 3), 0.2 / 4)
    targets[0, [6, 7, 8], 1] += 0.8
    cls = focal_loss(outputs.logits_BPK, targets, outputs.mask_BP) / 3
    reg = diou_loss(outputs.segments_BPG2[0, [6, 7, 8], 0], torch.tensor([[5.5, 8.5]] * 3)).sum() / 3
    assert losses["cls"].item() == pytest.approx(cls.item(), rel=1e-5)
    assert losses["reg"].item() == pytest.approx(2 * reg.item(), rel=1e-4)


def test_class_balance_weighs_the_positives_of_the_class_loss_alone():
    """The loss is the one of equal weights, and what the positive points of each class have too little of."""
    counts, target = torch.tensor([100, 0, 7]), [truth((5.5, 8.5, 2), (0.5, 3.5, 0))]
    plain, balanced = dense(reg_bias=1.0).eval(), dense(reg_bias=1.0, class_balance=0.9).eval()
    balanced.balance(counts)
    outputs = predictions(plain)
    found, expected = balanced.loss(outputs, target), plain.loss(outputs, target)
    assert found["reg"].item() == expected["reg"].item()
    weights = class_balanced_weights(counts, beta=0.9).tolist()
    assert weights[2] > weights[1] == 1 > weights[0]
    # On level 0, the points 6 to 8 lie in the one segment and 1 to 3 in the other.
    more = 0.0
    for points, label in (([6, 7, 8], 2), ([1, 2, 3], 0)):
        for logit in outputs.logits_BPK[0, points, label].tolist():
            p = 1 / (1 + math.exp(-logit))
            more += (weights[label] - 1) * -0.25 * (1 - p) ** 2 * math.log(p)
    assert found["cls"].item() == pytest.approx(expected["cls"].item() + more / 6, rel=1e-5)


def test_class_balance_without_counts_names_the_fix():
    head = dense(class_balance=0.9)
    with pytest.raises(MmadError, match=r"class_balance=0.9: .*call the head's balance\(counts\) first"):
        head.loss(predictions(head), [empty_segments()])


def test_switches_of_imbalance_leave_no_trace_when_off():
    """The same bits from counts that nobody asked to use, and the same keys in a checkpoint."""
    head, told = dense().train(), dense(label_smoothing=0.0, class_balance=None).train()
    told.balance(torch.tensor([5, 1, 1000]))
    target = [truth((5.5, 8.5, 1), (2.0, 2.5, 0))]
    outputs = predictions(head)
    found, expected = told.loss(outputs, target), head.loss(outputs, target)
    assert {name: loss.item() for name, loss in found.items()} == {name: loss.item() for name, loss in expected.items()}
    balanced = dense(class_balance=0.99)
    balanced.balance(torch.tensor([5, 1, 1000]))
    assert balanced.state_dict().keys() == head.state_dict().keys()
    head.load_state_dict(balanced.state_dict())


@pytest.mark.parametrize(
    "options",
    [
        *({"label_smoothing": value} for value in (1.0, -0.1, "abc", None, True)),
        *({"class_balance": value} for value in (1.0, -0.5, "abc", math.nan, True, False)),
    ],
)
def test_switches_out_of_range_are_refused(options):
    (name,) = options
    with pytest.raises(MmadError, match=rf"head.{name}=.*\[0, 1\)"):
        small(**options)


def test_normalizer_follows_the_positives_in_training_only():
    head = dense()
    outputs = predictions(head)
    target = [truth((5.5, 8.5, 1), (2.0, 2.5, 0), (12.75, 13.5, 0))]
    head.eval().loss(outputs, target)
    assert head.loss_normalizer.item() == 100
    evaluated = head.loss(outputs, target)["cls"]
    trained = head.train().loss(outputs, target)["cls"]
    # Four positives: 0.9 * 100 + 0.1 * 4, used at once.
    assert head.loss_normalizer.item() == pytest.approx(90.4)
    assert (evaluated / trained).item() == pytest.approx(90.4 / 4, rel=1e-5)
    assert head.state_dict()["loss_normalizer"].dtype == torch.float32


def test_two_losses_before_one_backward():
    """The running normaliser moves between the two, and neither graph may break."""
    head = dense()
    outputs = predictions(head)
    losses = [head.loss(outputs, [truth((5.5, 8.5, 1))])["reg"] for _ in range(2)]
    sum(losses).backward()
    assert losses[1] > losses[0] > 0


def test_no_ground_truth_trains_the_classes_alone():
    head = small()
    outputs = head(torch.randn(1, 6, 16), every(1, 16))
    losses = head.loss(outputs, [empty_segments()])
    assert losses["reg"].item() == 0
    losses["reg"].backward(retain_graph=True)
    assert not head.dense.reg_head.conv.weight.grad.any()
    losses["cls"].backward()
    assert head.dense.cls_head.conv.weight.grad.any()
    assert head.dense.loss_normalizer.item() == pytest.approx(0.9 * 100 + 0.1)


def test_padding_carries_no_loss():
    head = dense().eval()
    outputs = predictions(head)
    masked = PointPredictions(
        outputs.logits_BPK, outputs.offsets_BPG2, outputs.points.position_P[None] < 6, outputs.points
    )
    cls = head.loss(masked, [truth((9.5, 12.5, 1))])["cls"]
    expected = focal_loss(outputs.logits_BPK[:, masked.mask_BP[0]], torch.zeros(1, 11, 3), every(1, 11))
    assert cls.item() == pytest.approx(expected.item(), rel=1e-5)


def test_decoding_equals_plain_loops():
    head = dense(score_threshold=0.3, max_proposals=20)
    outputs = predictions(head)
    torch.manual_seed(2)
    outputs = PointPredictions(
        2 * torch.randn(1, 28, 3),
        3 * torch.rand(1, 28, 1, 2),
        outputs.points.position_P[None] < 10,
        outputs.points,
    )
    expected = []
    grid = [(t, 2**level) for level in range(3) for t in range(0, 16, 2**level)]
    for index, (t, stride) in enumerate(grid):
        for label in range(3):
            score = 1 / (1 + math.exp(-outputs.logits_BPK[0, index, label].item()))
            if t < 10 and score > 0.3:
                left, right = outputs.offsets_BPG2[0, index, 0].tolist()
                expected.append((score, t - left * stride, t + right * stride, label))
    assert len(expected) > 20
    (found,) = head.decode(outputs)
    table = torch.cat([found["scores"][:, None], found["segments"], found["labels"][:, None]], dim=1)
    torch.testing.assert_close(table, torch.tensor(sorted(expected, reverse=True)[:20]))


def test_input_drop_zeroes_whole_channels_in_training():
    head = small(input_drop=0.5)
    seen = []
    head.embed[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    head.train()(torch.ones(1, 6, 8), every(1, 8))
    head.eval()(torch.ones(1, 6, 8), every(1, 8))
    assert set(map(tuple, seen[0][0].T.tolist())) == {(0.0,) * 8, (2.0,) * 8}
    assert (seen[1] == 1).all()


def test_positions_are_added_to_valid_steps():
    seen = []
    for absolute_position in (False, True):
        head = small(absolute_position=absolute_position)
        head.branch[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
        head(torch.ones(1, 6, 8), torch.arange(8)[None] < 5)
    table = F.pad(sinusoid(5, 8), (0, 0, 0, 3)) / 8**0.5
    torch.testing.assert_close(seen[1] - seen[0], table[None])


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
        for part in ("query", "key", "value"):
            add(f"{block}.attn.{part}_conv.conv", weight)
            add(f"{block}.attn.{part}_norm")
            add(f"{block}.attn.{part}")
        for part in ("ln1", "ln2", "attn.proj", "mlp.0", "mlp.3"):
            add(f"{block}.{part}")
        keys.extend(f"{block}.drop_path_{part}.scale" for part in ("attn", "mlp"))
    for level in range(branch + 1):
        add(f"neck.fpn_norms.{level}")
        keys.append(f"rpn_head.scale.{level}.scale")
    for part in ("cls", "reg"):
        for index in range(tower):
            add(f"rpn_head.{part}_convs.{index}.conv", weight)
            add(f"rpn_head.{part}_convs.{index}.norm")
        add(f"rpn_head.{part}_head")
    return [*keys, "rpn_head.loss_normalizer"]


def test_a_file_of_opentad_fills_it(tmp_path: Path) -> None:
    keys = opentad_keys(convs=2, stem=1, branch=2, tower=2)
    check_file_fills(small(convs=2, stem=1), keys, OPENTAD_KEYS, classes=3, path=tmp_path / "file.pth")


def test_config_lists_every_argument_with_its_default():
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/head/actionformer.yaml")
    owned = {"in_channels": "${backbone.embed_dim}", "levels": "${grid.levels}"}
    found = OmegaConf.to_container(config, resolve=False)
    assert found.pop("_target_") == f"{ActionFormer.__module__}.{ActionFormer.__qualname__}"
    assert {key: found.pop(key) for key in owned} == owned
    # The number of classes comes from the taxonomy when the head is built.
    parameters = inspect.signature(ActionFormer).parameters.items()
    assert found == {key: parameter.default for key, parameter in parameters if key not in {*owned, "classes"}}
