"""MS-TCT against plain computations from tensors of its authors' names, and its losses against plain sums."""

import inspect
import itertools
import math
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from mmad.errors import MmadError
from mmad.heads.checkpoints import load_head_weights
from mmad.heads.ms_tct import MSTCT, FramePredictions, heat_loss, heat_map
from mmad.layers.framewise import frame_labels
from mmad.segments import Segments, empty_segments

IN, K, H, BLOCKS, MIX = 6, 3, 2, 2, 5
WIDTHS = (16, 24, 36, 54)
Named = dict[str, Tensor]


def small(**options) -> MSTCT:
    torch.manual_seed(0)
    sizes = {"in_channels": IN, "classes": K, "channels": 16, "blocks": BLOCKS, "heads": H, "mixer_channels": MIX}
    return MSTCT(**{**sizes, **options}).eval()


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]),
        "labels": torch.tensor([label for *_, label in instances]),
    }


@pytest.mark.parametrize(("classes", "count"), [(157, 87_503_930), (52, 87_396_200)])
def test_parameters_of_the_published_sizes(classes: int, count: int) -> None:
    with torch.device("meta"):
        head = MSTCT(in_channels=1024, classes=classes)
    unread = 512 * 512 + 512
    assert sum(parameter.numel() for parameter in head.parameters()) == count - unread
    encoder = sum(p.numel() for name, p in head.stages.named_parameters() if "project" not in name)
    assert encoder == 81_029_888


def test_initial_values() -> None:
    head = small(channels=64, blocks=1, heads=4)
    block = head.stages[0].blocks[0]
    assert block.attention.q.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.local.widen.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.local.conv.conv.weight.std().item() == pytest.approx((2 / 3) ** 0.5, rel=0.1)
    assert head.stages[1].merge.conv.weight.std().item() == pytest.approx((2 / (3 * 96)) ** 0.5, rel=0.1)
    for layer in (block.attention.q, block.local.narrow, block.local.conv.conv, head.stages[1].merge.conv):
        assert not layer.bias.any()
    assert head.stages[0].project.bias.any()


# The network from tensors by the authors' names.


def normal(*shape: int) -> Tensor:
    return torch.randn(shape) * 0.3


def published(*, classes: int = K) -> Named:
    torch.manual_seed(1)
    state: Named = {}

    def add(name: str, *shape: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = normal(*shape), normal(shape[0])

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = 1 + normal(width), normal(width)

    for n, width in enumerate(WIDTHS, start=1):
        merge = f"TemporalEncoder.Temporal_Merging_Block{n}"
        add(f"{merge}.proj", width, WIDTHS[n - 2] if n > 1 else IN, 3)
        norm(f"{merge}.norm", width)
        for index in range(BLOCKS):
            block = f"TemporalEncoder.block{n}.{index}"
            norm(f"{block}.norm1", width)
            norm(f"{block}.norm2", width)
            for part, out in (("q", width), ("kv", 2 * width), ("proj", width)):
                add(f"{block}.Global_Relational_Block.{part}", out, width)
            add(f"{block}.Local_Relational_Block.linear1", 8 * width, width)
            add(f"{block}.Local_Relational_Block.TC", 8 * width, 1, 3)
            add(f"{block}.Local_Relational_Block.linear2", width, 8 * width)
        norm(f"TemporalEncoder.norm{n}", width)
        add(f"Temporal_Mixer.linear_f{n}.proj", MIX, width)
        add(f"Temporal_Mixer.linear{n}", MIX, MIX, 1)
    add("Classfication_Module.linear_fuse", MIX, 4 * MIX, 1)
    add("Classfication_Module.linear_pred", classes, MIX, 1)
    add("Classfication_Module.hm.0", MIX, 4 * MIX, 3)
    add("Classfication_Module.hm.2", classes, MIX, 1)
    return state


def plain(state: Named, feats_TC: Tensor) -> tuple[Tensor, Tensor]:
    """(T, K) logits and (T, K) heat of one clip whose length is a multiple of 8, in float64."""
    w = {name: tensor.double() for name, tensor in state.items()}

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].flatten(1).T + w[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def conv(x: Tensor, name: str, *, stride: int = 1) -> Tensor:
        weight, steps = w[f"{name}.weight"], []
        for t in range(0, len(x), stride):
            taps = [(k, x[t + k - 1]) for k in range(3) if 0 <= t + k - 1 < len(x)]
            if weight.shape[1] == 1:
                steps.append(sum(weight[:, 0, k] * row for k, row in taps))
            else:
                steps.append(sum(weight[:, :, k] @ row for k, row in taps))
        return torch.stack(steps) + w[f"{name}.bias"]

    def resized(x: Tensor, steps: int) -> Tensor:
        rows = []
        for t in range(steps):
            place = max((t + 0.5) * len(x) / steps - 0.5, 0.0)
            below = int(place)
            rows.append((1 - place + below) * x[below] + (place - below) * x[min(below + 1, len(x) - 1)])
        return torch.stack(rows)

    x = feats_TC.double()
    scales = []
    for n, width in enumerate(WIDTHS, start=1):
        merge = f"TemporalEncoder.Temporal_Merging_Block{n}"
        x = norm(conv(x, f"{merge}.proj", stride=2 if n > 1 else 1), f"{merge}.norm")
        for index in range(BLOCKS):
            block = f"TemporalEncoder.block{n}.{index}"
            y = norm(x, f"{block}.norm1")
            query = linear(y, f"{block}.Global_Relational_Block.q")
            key, value = linear(y, f"{block}.Global_Relational_Block.kv").split(width, dim=1)
            told = []
            for head in range(H):
                q, k, v = (part.split(width // H, dim=1)[head] for part in (query, key, value))
                told.append((q @ k.T / (width // H) ** 0.5).softmax(1) @ v)
            x = x + linear(torch.cat(told, dim=1), f"{block}.Global_Relational_Block.proj")
            y = linear(norm(x, f"{block}.norm2"), f"{block}.Local_Relational_Block.linear1")
            y = conv(y, f"{block}.Local_Relational_Block.TC")
            x = x + linear(y * (1 + torch.erf(y / 2**0.5)) / 2, f"{block}.Local_Relational_Block.linear2")
        x = norm(x, f"TemporalEncoder.norm{n}")
        scales.append(resized(linear(x, f"Temporal_Mixer.linear_f{n}.proj"), len(feats_TC)))
    one, two, three, four = scales
    mixed = [four, *(linear(four, f"Temporal_Mixer.linear{n}") + s for n, s in ((1, three), (2, two), (3, one)))]
    fused = linear(torch.cat(mixed, dim=1), "Classfication_Module.linear_fuse")
    heat = conv(torch.cat([four, three, two, one], dim=1), "Classfication_Module.hm.0").clamp(min=0)
    return linear(fused, "Classfication_Module.linear_pred"), linear(heat, "Classfication_Module.hm.2")


@pytest.mark.parametrize("padding", [0, 13])
def test_a_published_file_gives_what_its_tensors_say(padding: int, tmp_path: Path) -> None:
    state = published()
    assert len(state) == 4 * (6 + 16 * BLOCKS + 4) + 8
    torch.save(state, tmp_path / "ms_tct.pth")
    head = small()
    report = load_head_weights(head, tmp_path / "ms_tct.pth", classes=K)
    assert (report.format, report.missing, report.loaded) == ("MS-TCT", (), len(list(head.parameters())))
    assert report.dropped == ("Temporal_Mixer.linear4.bias", "Temporal_Mixer.linear4.weight")
    feats_TC = torch.randn(16, IN)
    padded = torch.cat([feats_TC, torch.full((padding, IN), 9.0)])
    with torch.no_grad():
        outputs = head(padded.T[None], prefix_mask(16, steps=16 + padding))
    logits, heat = plain(state, feats_TC)
    assert logits.std() > 0.3
    torch.testing.assert_close(outputs.logits_BTK[0, :16].double(), logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs.heat_BTK[0, :16].double(), heat, rtol=0, atol=1e-4)


def test_other_classes_leave_the_layers_of_classes(tmp_path: Path) -> None:
    torch.save(published(classes=157), tmp_path / "charades.pth")
    report = load_head_weights(small(), tmp_path / "charades.pth", classes=K)
    assert report.missing == ("classify.weight", "classify.bias", "heat_classify.weight", "heat_classify.bias")
    assert "as the file tells 157 classes and not 3" in str(report)


# Losses.


def test_heat_maps_equal_plain_loops() -> None:
    mask = prefix_mask(12, 5, 12, steps=12)
    targets = [truth((1.0, 4.5, 0), (3.0, 9.2, 0), (7.6, 7.9, 2)), truth((2.0, 7.0, 1)), empty_segments()]
    found = heat_map(targets, mask, classes=K)
    for clip, target in enumerate(targets):
        length = int(mask[clip].sum())
        for step, label in itertools.product(range(12), range(K)):
            expected = 0.0
            for (start, end), own in zip(target["segments"].tolist(), target["labels"].tolist(), strict=True):
                radius = 2 * int(end - start)
                sigma = (2 * radius + 1) / 4
                distance = step - min(int((start + end) / 2), length - 1)
                if own == label and abs(distance) <= radius and step < length:
                    expected = max(expected, math.exp(-((distance / sigma) ** 2)))
            assert found[clip, step, label].item() == pytest.approx(expected, abs=1e-6)
    assert (found == 1).sum() == 4


def test_losses_equal_sums_over_valid_steps() -> None:
    torch.manual_seed(2)
    mask = prefix_mask(7, 4, steps=7)
    outputs = FramePredictions(3 * torch.randn(2, 7, K), 3 * torch.randn(2, 7, K), mask)
    targets = [truth((1.0, 3.2, 0), (2.0, 6.0, 2)), truth((0.2, 2.0, 1))]
    labels, centres = frame_labels(targets, mask, classes=K), heat_map(targets, mask, classes=K)
    cls = heat = 0.0
    for clip, step, label in itertools.product(range(2), range(7), range(K)):
        if not mask[clip, step]:
            continue
        logit = outputs.logits_BTK[clip, step, label].item()
        cls += math.log(1 + math.exp(-logit if labels[clip, step, label] else logit))
        p = min(max(1 / (1 + math.exp(-outputs.heat_BTK[clip, step, label].item())), 1e-4), 1 - 1e-4)
        g = centres[clip, step, label].item()
        heat += -((1 - p) ** 2) * math.log(p) if g == 1 else -((1 - g) ** 4) * p**2 * math.log(1 - p)
    losses = small(heat_weight=0.5).loss(outputs, targets)
    assert losses["cls"].item() == pytest.approx(cls / 11, rel=1e-5)
    assert losses["heat"].item() == pytest.approx(0.5 * heat / 3, rel=1e-5)


def test_a_clip_does_not_learn_from_the_centres_of_others() -> None:
    mask = prefix_mask(8, 8, steps=8)
    torch.manual_seed(3)
    logits, gradients = torch.randn(2, 8, K), []
    for other in (truth((1.0, 3.0, 0)), truth((4.0, 7.0, 2))):
        heat = logits.clone().requires_grad_()
        small().loss(FramePredictions(torch.zeros(2, 8, K), heat, mask), [truth((2.0, 5.0, 1)), other])[
            "heat"
        ].backward()
        gradients.append(heat.grad)
    torch.testing.assert_close(gradients[0][0], gradients[1][0], rtol=0, atol=0)
    assert not torch.equal(gradients[0][1], gradients[1][1])


def test_near_a_centre_little_is_asked() -> None:
    at, near, far = heat_loss(torch.zeros(1, 3, 1), torch.tensor([[[1.0], [0.9], [0.0]]])).flatten().tolist()
    assert at == pytest.approx(far)
    assert near == pytest.approx(1e-4 * far)


# Decoding.


@torch.no_grad()
def test_sure_steps_become_their_segments_and_padding_none() -> None:
    mask = prefix_mask(20, 12, steps=20)
    targets = [truth((2.0, 9.0, 0), (5.0, 18.0, 2)), truth((3.0, 10.0, 1))]
    logits = 20 * frame_labels(targets, torch.ones_like(mask), classes=K) - 10
    logits[1, 12:] = 10.0
    found = small().decode(FramePredictions(logits, logits, mask))
    for clip, target in zip(found, targets, strict=True):
        for (start, end), label in zip(target["segments"].tolist(), target["labels"].tolist(), strict=True):
            assert clip["segments"][clip["labels"] == label][0].tolist() == [start, end]
        assert set(clip["labels"].tolist()) == set(target["labels"].tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 24}, r"head\.channels=24 cannot grow .* among head\.heads=2: choose a multiple of 16\."),
        ({"smoothing": 4}, r"head\.smoothing=4: give an odd number of steps, such as 5; 1 for none\."),
        ({"smoothing": -1}, r"head\.smoothing=-1"),
        ({"thresholds": []}, r"head\.thresholds is empty"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        small(**options)  # type: ignore[arg-type]


def test_config_lists_every_argument_with_its_default() -> None:
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/head/ms_tct.yaml")
    found = OmegaConf.to_container(config, resolve=False)
    assert found.pop("_target_") == f"{MSTCT.__module__}.{MSTCT.__qualname__}"
    assert found.pop("in_channels") == "${backbone.embed_dim}"
    found["thresholds"] = tuple(found["thresholds"])
    parameters = inspect.signature(MSTCT).parameters.items()
    assert found == {key: parameter.default for key, parameter in parameters if key not in {"in_channels", "classes"}}
