"""TadTR against plain computations: its layers from tensors of OpenTAD, its losses from all pairings of two sets."""

import inspect
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor

from mmad.errors import MmadError
from mmad.heads.checkpoints import load_head_weights
from mmad.heads.tadtr import QueryPredictions, TadTR, _costs
from mmad.layers import drop
from mmad.segments import Segments, empty_segments

IN, C, K, Q, H, P, BINS, W = 6, 64, 3, 5, 4, 2, 3, 12
Named = dict[str, Tensor]


def small(**options) -> TadTR:
    torch.manual_seed(0)
    sizes = {"in_channels": IN, "classes": K, "window": W, "channels": C, "heads": H, "points": P, "queries": Q}
    sizes |= {"bins": BINS, "encoder_layers": 2, "decoder_layers": 2, "mlp_channels": 16}
    return TadTR(**{**sizes, **options})


def randomised(head: TadTR) -> TadTR:
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return head.eval()


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]).reshape(-1, 2),
        "labels": torch.tensor([label for *_, label in instances], dtype=torch.long),
    }


def test_parameters_of_the_published_size() -> None:
    with torch.device("meta"):
        head = TadTR(in_channels=2304, classes=52, window=128)
    # 256 more than OpenTAD's, whose convolution has no bias.
    assert sum(parameter.numel() for parameter in head.parameters()) == 8_760_026


def test_parameters_of_the_published_size_with_and_without_actionness() -> None:
    with torch.device("meta"):
        head = TadTR(in_channels=2048, classes=20, window=128)
    own = sum(parameter.numel() for parameter in head.actionness.parameters())
    assert (sum(parameter.numel() for parameter in head.parameters()) - own, own) == (7_546_713, 1_114_881)


def test_initial_values() -> None:
    head = small(decoder_layers=3)
    for layer, (classify, regress) in enumerate(zip(head.classify, head.regress, strict=True)):
        torch.testing.assert_close(classify.bias, torch.full((K,), -4.5951), rtol=0, atol=1e-4)
        assert not regress[-1].weight.any()
        assert regress[-1].bias.tolist() == [0, -2 if layer == 0 else 0]
    for layer in (*head.encoder, *head.decoder):
        assert not layer.attention.offsets.weight.any()
        assert layer.attention.offsets.bias[:P].tolist() == [1, 2]
    # Queries look at different places from the start.
    first = head.eval()(torch.randn(1, IN, W), prefix_mask(W, steps=W)).segments_LBQ2[0, 0]
    assert first.mean(dim=1).std() > 0.05
    torch.testing.assert_close(first[:, 1] - first[:, 0], torch.full((Q,), 1 / (1 + math.exp(2.0))))


# OpenTAD's TadTR, from its tensors.


def normal(*shape: int) -> Tensor:
    """Of a size that keeps what passes through it from growing, and sigmoids from being shut."""
    return torch.randn(shape) / (1.0 if len(shape) == 1 else math.prod(shape[1:])) ** 0.5


def opentad() -> Named:
    """A random TadTR by the names and shapes of OpenTAD."""
    torch.manual_seed(0)
    state: Named = {"projection.convs.0.conv.weight": normal(C, IN, 1)}

    def linear(name: str, out: int, into: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = normal(out, into), normal(out)

    def norm(name: str) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = 1 + 0.3 * normal(C), 0.3 * normal(C)

    def deformable(name: str) -> None:
        for part, out in (("sampling_offsets", H * P), ("attention_weights", H * P)):
            linear(f"{name}.{part}", out, C)
        for part in ("value_proj", "output_proj"):
            linear(f"{name}.{part}", C, C)

    norm("projection.convs.0.norm")
    state["transformer.level_embeds"], state["transformer.query_embedding.weight"] = (
        torch.randn(1, C),
        torch.randn(Q, 2 * C),
    )
    linear("transformer.reference_points", 1, C)
    for part, i in itertools.product(("encoder", "decoder"), range(2)):
        layer = f"transformer.{part}.layers.{i}"
        if part == "encoder":
            deformable(f"{layer}.attentions.0")
        else:
            deformable(f"{layer}.attentions.1")
            own = f"{layer}.attentions.0.attn"
            state[f"{own}.in_proj_weight"], state[f"{own}.in_proj_bias"] = normal(3 * C, C), normal(3 * C)
            linear(f"{own}.out_proj", C, C)
        linear(f"{layer}.ffns.0.layers.0.0", 16, C)
        linear(f"{layer}.ffns.0.layers.1", C, 16)
        for place in range(2 if part == "encoder" else 3):
            norm(f"{layer}.norms.{place}")
    for i in range(2):
        linear(f"transformer.class_embed.{i}", K, C)
        for place, out in enumerate((C, C, 2)):
            linear(f"transformer.bbox_embed.{i}.layers.{place}", out, C)
            for end in ("weight", "bias"):
                name = f"bbox_embed.{i}.layers.{place}.{end}"
                state[f"transformer.decoder.{name}"] = state[f"transformer.{name}"]
    for place, out, into in ((0, C, BINS * C), (2, C, C), (4, 1, C)):
        linear(f"transformer.actionness_pred.{place}", out, into)
    state["transformer.actionness_pred.4.weight"] *= 5
    return state


def authors(state: Named) -> Named:
    """The same tensors by the names of the authors' code, and a bias of the convolution."""
    changes = (
        ("projection.convs.0.conv.", "input_proj.0.0."),
        ("projection.convs.0.norm.", "input_proj.0.1."),
        ("transformer.query_embedding.", "query_embed."),
        ("level_embeds", "level_embed"),
        ("bbox_embed", "segment_embed"),
        ("transformer.class_embed", "class_embed"),
        ("transformer.segment_embed", "segment_embed"),
        ("transformer.actionness_pred", "actionness_pred"),
        ("ffns.0.layers.0.0.", "linear1."),
        ("ffns.0.layers.1.", "linear2."),
        ("attentions.0.attn.", "self_attn."),
        ("attentions.0.", "self_attn."),
        ("attentions.1.", "cross_attn."),
    )
    norms = {"encoder": ("norm1", "norm2"), "decoder": ("norm2", "norm1", "norm3")}
    theirs: Named = {"input_proj.0.0.bias": normal(C)}
    for name, tensor in state.items():
        for old, new in changes:
            name = name.replace(old, new)
        for part, names in norms.items():
            for place, new in enumerate(names):
                if f".{part}." in name:
                    name = name.replace(f".norms.{place}.", f".{new}.")
        theirs[name] = tensor
    return theirs


class Plain:
    """One clip through a TadTR, from OpenTAD's tensors, in float64 and without training's parts.

    Args:
        state: by OpenTAD's names.
        values: attention to the places of (H, T, D) values.
    """

    def __init__(self, state: Named, values: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.w = {name.removeprefix("transformer."): tensor.double() for name, tensor in state.items()}
        self.values = values

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def norm(self, x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def mlp(self, x: Tensor, *names: str) -> Tensor:
        for name in names[:-1]:
            x = self.linear(x, name).clamp(min=0)
        return self.linear(x, names[-1])

    def deformable(self, query: Tensor, memory: Tensor, reference: Tensor, name: str) -> Tensor:
        """`reference`: (Q, 1) centres or (Q, 2) centres and widths in shares of the window."""
        offsets = self.linear(query, f"{name}.sampling_offsets").view(-1, H, P)
        weights = self.linear(query, f"{name}.attention_weights").view(-1, H, P).softmax(dim=-1)
        unit = 1 / len(memory) if reference.shape[1] == 1 else reference[:, 1, None, None] / P / 2
        location = reference[:, 0, None, None] + offsets * unit
        value = self.linear(memory, f"{name}.value_proj").view(len(memory), H, -1).transpose(0, 1)
        read = self.values(value, location.transpose(0, 1))
        return self.linear(
            (read * weights.transpose(0, 1)[..., None]).sum(2).transpose(0, 1).flatten(1), f"{name}.output_proj"
        )

    def attention(self, source: Tensor, value: Tensor, name: str) -> Tensor:
        weight, bias = self.w[f"{name}.in_proj_weight"], self.w[f"{name}.in_proj_bias"]
        q, k, v = (
            x @ own.T + shift
            for x, own, shift in zip((source, source, value), weight.split(C), bias.split(C), strict=True)
        )
        heads = [
            (q[:, own] @ k[:, own].T / (C // H) ** 0.5).softmax(dim=-1) @ v[:, own]
            for own in (slice(i * C // H, (i + 1) * C // H) for i in range(H))
        ]
        return self.linear(torch.cat(heads, dim=1), f"{name}.out_proj")

    def ffn(self, x: Tensor, layer: str) -> Tensor:
        return self.mlp(x, f"{layer}.ffns.0.layers.0.0", f"{layer}.ffns.0.layers.1")

    def memory(self, feats: Tensor) -> Tensor:
        """(W, C) of (IN, t) features, which zeros fill up to a window, read as such by norm and attention."""
        bias = self.w.get("projection.convs.0.conv.bias", torch.zeros(C)).double()
        x = torch.zeros(W, C, dtype=torch.float64)
        x[: feats.shape[1]] = feats.double().T @ self.w["projection.convs.0.conv.weight"][:, :, 0].T + bias
        x = F.group_norm(
            x.T[None], 32, self.w["projection.convs.0.norm.weight"], self.w["projection.convs.0.norm.bias"]
        )[0].T
        x[feats.shape[1] :] = 0
        angle = [[(i + 0.5) / W * 2 * math.pi / 10000 ** (2 * (c // 2) / C) for c in range(C)] for i in range(W)]
        turns = [[math.cos(a) if c % 2 else math.sin(a) for c, a in enumerate(row)] for row in angle]
        position = torch.tensor(turns, dtype=torch.float64) + self.w["level_embeds"]
        centers = torch.tensor([[(i + 0.5) / W] for i in range(W)], dtype=torch.float64)
        for i in range(2):
            layer = f"encoder.layers.{i}"
            x = self.norm(x + self.deformable(x + position, x, centers, f"{layer}.attentions.0"), f"{layer}.norms.0")
            x = self.norm(x + self.ffn(x, layer), f"{layer}.norms.1")
        return x

    def __call__(self, feats: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, centres and widths after both layers, and actionness."""
        memory = self.memory(feats)
        position, y = self.w["query_embedding.weight"].split(C, dim=1)
        reference = self.linear(position, "reference_points").sigmoid()
        logits, segments = [], []
        for i in range(2):
            layer = f"decoder.layers.{i}"
            y = self.norm(y + self.attention(y + position, y, f"{layer}.attentions.0.attn"), f"{layer}.norms.0")
            y = self.norm(
                y + self.deformable(y + position, memory, reference, f"{layer}.attentions.1"), f"{layer}.norms.1"
            )
            y = self.norm(y + self.ffn(y, layer), f"{layer}.norms.2")
            moved = self.mlp(y, *(f"bbox_embed.{i}.layers.{place}" for place in range(3)))
            logit = (reference / (1 - reference)).log()
            moved = torch.cat([moved[:, :1] + logit[:, :1], moved[:, 1:] + (logit[:, 1:] if i else 0)], dim=1)
            reference = moved.sigmoid()
            logits.append(self.linear(y, f"class_embed.{i}"))
            segments.append(reference)
        parts = []
        for center, width in (reference * W).tolist():
            start, end = (min(max(center + side * 0.75 * width, 0), W) for side in (-1, 1))
            length = max(end - start, 1)
            samples = math.ceil(length / BINS)
            means = []
            for part in range(BINS):
                places = [start + (part + (k + 0.5) / samples) * length / BINS for k in range(samples)]
                low = [min(math.floor(place), W - 1) for place in places]
                high = [min(step + 1, W - 1) for step in low]
                read = [
                    memory[a] + (place - a) * (memory[b] - memory[a])
                    for place, a, b in zip(places, low, high, strict=True)
                ]
                means.append(torch.stack(read).mean(0))
            parts.append(torch.stack(means, dim=1).flatten())
        actionness = self.mlp(torch.stack(parts), *(f"actionness_pred.{place}" for place in (0, 2, 4))).sigmoid()
        return torch.stack(logits), torch.stack(segments), actionness[:, 0]


def on_a_picture_of_width_1(value: Tensor, location: Tensor) -> Tensor:
    """As OpenTAD: time is the height, and the place across is the left edge, of which half lies outside."""
    grid = torch.stack([torch.full_like(location, -1.0), 2 * location - 1], dim=-1)
    return F.grid_sample(value.mT[..., None], grid, align_corners=False).permute(0, 2, 3, 1)


def in_the_middle(value: Tensor, location: Tensor) -> Tensor:
    """As the authors."""
    grid = torch.stack([torch.zeros_like(location), 2 * location - 1], dim=-1)
    return F.grid_sample(value.mT[..., None], grid, align_corners=False).permute(0, 2, 3, 1)


@pytest.mark.parametrize("valid", [W, 7])
@pytest.mark.parametrize("layout", ["OpenTAD detector", "TadTR"])
@torch.no_grad()
def test_published_weights_give_what_their_tensors_say(layout: str, valid: int, tmp_path: Path) -> None:
    """Which shows, too, that the values that OpenTAD halves are whole here, and its weights halved in return."""
    state = opentad()
    if layout == "TadTR":
        theirs = authors(state)
        plain = Plain({**state, "projection.convs.0.conv.bias": theirs["input_proj.0.0.bias"]}, in_the_middle)
    else:
        theirs = {f"module.{name}": tensor for name, tensor in state.items()} | {
            "module.backbone.conv.weight": normal(2)
        }
        plain = Plain(state, on_a_picture_of_width_1)
    torch.save({"state_dict": theirs}, tmp_path / "tadtr.pth")
    head = small(published=True).eval()
    report = load_head_weights(head, tmp_path / "tadtr.pth", classes=K)
    assert (report.format, report.missing) == (layout, ())
    assert report.loaded == len(list(head.parameters()))
    assert report.dropped == (("backbone.conv.weight",) if layout == "OpenTAD detector" else ())

    feats = torch.randn(IN, valid)
    steps = max(valid, 10)
    outputs = head(F.pad(feats, (0, steps - valid))[None], prefix_mask(valid, steps=steps))
    logits, segments, actionness = plain(feats)
    assert logits.std() > 0.3
    assert actionness.std() > 0.01
    center, width = segments.unbind(-1)
    expected = torch.stack([center - width / 2, center + width / 2], dim=-1)
    torch.testing.assert_close(outputs.logits_LBQK[:, 0].double(), logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs.segments_LBQ2[:, 0].double(), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(outputs.actionness_BQ[0].double(), actionness, rtol=0, atol=1e-5)


def test_other_classes_leave_the_layers_of_classes(tmp_path: Path) -> None:
    torch.save(opentad(), tmp_path / "thumos.pth")
    head = small(classes=7)
    report = load_head_weights(head, tmp_path / "thumos.pth", classes=7)
    assert set(report.missing) == {f"classify.{layer}.{end}" for layer in range(2) for end in ("weight", "bias")}
    assert "as the file tells 3 classes and not 7" in str(report)


def test_a_file_of_other_sizes_names_the_fix(tmp_path: Path) -> None:
    torch.save(opentad(), tmp_path / "tadtr.pth")
    with pytest.raises(MmadError, match=r"lacks \d+ of the head's tensors, such as encoder\.2\."):
        load_head_weights(small(encoder_layers=3), tmp_path / "tadtr.pth", classes=K)
    with pytest.raises(
        MmadError, match=r"has actionness\.0\.weight of shape \(64, 192\), but the head needs \(64, 256\)"
    ):
        load_head_weights(small(bins=4), tmp_path / "tadtr.pth", classes=K)


# What padding does.


@torch.no_grad()
def test_published_reads_padding_up_to_the_window_and_the_default_does_not() -> None:
    feats = torch.randn(1, IN, 7)
    outputs = {}
    for published in (False, True):
        head = randomised(small(published=published))
        alone, beside = head(feats, prefix_mask(7, steps=7)), head(F.pad(feats, (0, 3)), prefix_mask(7, steps=10))
        torch.testing.assert_close(alone.segments_LBQ2, beside.segments_LBQ2, rtol=0, atol=1e-5)
        outputs[published] = alone.logits_LBQK
    assert (outputs[True] - outputs[False]).norm() / outputs[False].norm() > 0.01
    whole = [randomised(small(published=on))(torch.ones(1, IN, W), prefix_mask(W, steps=W)) for on in (False, True)]
    assert torch.equal(whole[0].logits_LBQK, whole[1].logits_LBQK)


def test_costs_equal_plain_loops() -> None:
    outputs, target = predictions(layers=2, clips=1), truth((2.0, 5.0, 0), (6.0, 6.5, 1))
    (cost_LQM,) = _costs(outputs, [target["segments"] / W], [target["labels"]])
    for layer, query, instance in itertools.product(range(2), range(4), range(2)):
        start, end = outputs.segments_LBQ2[layer, 0, query].tolist()
        first, last = (target["segments"][instance] / W).tolist()
        p = outputs.logits_LBQK[layer, 0, query, target["labels"][instance]].sigmoid().item()
        overlap = max(0.0, min(end, last) - max(start, first))
        tiou = overlap / (end - start + last - first - overlap)
        focal = -0.25 * (1 - p) ** 2 * math.log(p) + 0.75 * p**2 * math.log(1 - p)
        l1 = abs((start + end - first - last) / 2) + abs(end - start - last + first)
        expected = 6 * focal + 5 * l1 + 2 * (1 - tiou)
        assert cost_LQM[layer, query, instance].item() == pytest.approx(expected, abs=1e-5)


def test_a_window_too_long_names_the_fix() -> None:
    with pytest.raises(MmadError, match=r"13 feature steps is longer than head.window=12"):
        small()(torch.zeros(1, IN, 13), prefix_mask(13, steps=13))


def test_a_segment_without_bins_is_refused() -> None:
    with pytest.raises(MmadError, match=r"head\.bins=0: give 1 at least"):
        small(bins=0)


@pytest.mark.parametrize("sizes", [{"channels": 80}, {"heads": 5}])
def test_channels_that_do_not_divide_name_the_fix(sizes: dict[str, int]) -> None:
    with pytest.raises(MmadError, match=r"head\.channels=.* cannot be split into 32 groups and head\.heads="):
        small(**sizes)


@torch.no_grad()
def test_dropout_depends_on_neither_padding_nor_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    head = randomised(small(dropout=0.3)).train()
    feats, mask = torch.randn(4, IN, 7), prefix_mask(7, 5, 3, 7, steps=7)

    def drawn(feats: Tensor, mask: Tensor) -> Tensor:
        torch.manual_seed(1)
        return head(feats, mask).logits_LBQK

    whole = drawn(feats, mask)
    assert not torch.allclose(whole, head.eval()(feats, mask).logits_LBQK, atol=0.05)
    head.train()
    torch.testing.assert_close(drawn(F.pad(feats, (0, 5)), F.pad(mask, (0, 5))), whole, rtol=1e-3, atol=1e-3)
    for rank in range(2):
        monkeypatch.setattr(drop, "process", lambda rank=rank: (rank, 2))
        torch.testing.assert_close(drawn(feats[rank::2], mask[rank::2]), whole[:, rank::2], rtol=1e-3, atol=1e-3)


def test_the_same_numbers_twice() -> None:
    targets = [truth((0.5, 3.0, 0), (1.0, 6.5, 2)), truth((2.0, 4.0, 1))]
    feats, mask = torch.randn(2, IN, W, generator=torch.Generator().manual_seed(1)), prefix_mask(W, 8, steps=W)
    gradients = []
    for _ in range(2):
        head = small().train()
        torch.stack(list(head.loss(head(feats, mask), targets).values())).sum().backward()
        gradients.append([parameter.grad for parameter in head.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


# Losses.


def predictions(*, layers: int, clips: int, queries: int = 4) -> QueryPredictions:
    torch.manual_seed(3)
    center, length = torch.rand(layers, clips, queries), 0.05 + 0.4 * torch.rand(layers, clips, queries)
    segments = torch.stack([center - length / 2, center + length / 2], dim=-1)
    return QueryPredictions(
        torch.randn(layers, clips, queries, K).requires_grad_(),
        segments.requires_grad_(),
        torch.rand(clips, queries).requires_grad_(),
        window=W,
    )


def scalar_losses(logits: Tensor, segments: Tensor, target: Segments) -> tuple[Tensor, Tensor, Tensor]:
    """Class, L1 and tIoU sums of one clip and layer, with the best of all pairings, in float64."""

    def focal(logit: Tensor, positive: bool) -> Tensor:
        p = 1 / (1 + torch.exp(-logit))
        return -0.25 * (1 - p) ** 2 * p.log() if positive else -0.75 * p**2 * (1 - p).log()

    def l1(segment: Tensor, true: Tensor) -> Tensor:
        (a, b), (c, d) = segment, true / W
        return ((a + b) / 2 - (c + d) / 2).abs() + ((b - a) - (d - c)).abs()

    def tiou(segment: Tensor, true: Tensor) -> Tensor:
        (a, b), (c, d) = segment, true / W
        overlap = (torch.minimum(b, d) - torch.maximum(a, c)).clamp(min=0)
        return overlap / ((b - a) + (d - c) - overlap)

    instances = list(zip(target["segments"].double(), target["labels"].tolist(), strict=True))

    def cost(pairs: tuple[int, ...]) -> float:
        total = 0.0
        for query, (true, label) in zip(pairs, instances, strict=True):
            gain = focal(logits[query, label], True) - focal(logits[query, label], False)
            total += (6 * gain + 5 * l1(segments[query], true) - 2 * tiou(segments[query], true)).item()
        return total

    best = min(itertools.permutations(range(len(logits)), len(instances)), key=cost)
    of_query = {query: label for query, (_, label) in zip(best, instances, strict=True)}
    cls = sum(
        focal(logits[query, label], of_query.get(query) == label)
        for query in range(len(logits))
        for label in range(logits.shape[1])
    )
    nothing = logits.new_zeros(())
    pairs = [(segments[query], true) for query, (true, _) in zip(best, instances, strict=True)]
    return cls, sum((l1(*pair) for pair in pairs), nothing), sum((1 - tiou(*pair) for pair in pairs), nothing)


@pytest.mark.parametrize("clips", [1, 3])
def test_losses_and_gradients_equal_plain_loops(clips: int) -> None:
    """All layers are told, whatever the number of clips."""
    outputs = predictions(layers=3, clips=clips)
    # Two actions at once over the same segment are two instances.
    targets = [truth((2.0, 5.0, 0), (2.0, 5.0, 2), (6.0, 6.5, 1)), empty_segments(), truth((0.0, 12.0, 1))][:clips]
    losses = small().loss(outputs, targets)
    sums = [torch.zeros((), dtype=torch.float64) for _ in range(3)]
    logits, segments = outputs.logits_LBQK.double(), outputs.segments_LBQ2.double()
    for layer, clip in itertools.product(range(3), range(clips)):
        for place, part in enumerate(scalar_losses(logits[layer, clip], segments[layer, clip], targets[clip])):
            sums[place] = sums[place] + part
    instances = sum(len(target["labels"]) for target in targets)
    inputs = (outputs.logits_LBQK, outputs.segments_LBQ2)
    for name, weight, expected in zip(("cls", "l1", "tiou"), (2, 5, 2), sums, strict=True):
        expected = weight * expected / instances
        assert losses[name].item() == pytest.approx(expected.item(), rel=1e-5)
        ours = torch.autograd.grad(losses[name], inputs, allow_unused=True, retain_graph=True)
        theirs = torch.autograd.grad(expected, inputs, allow_unused=True, retain_graph=True)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_more_instances_than_queries() -> None:
    """The dearest are not learned, and count in what the losses are divided by."""
    outputs = predictions(layers=1, clips=1, queries=1)
    outputs.logits_LBQK.data.zero_()
    instances = [(2.0, 5.0, 0), (6.0, 9.0, 1), (1.0, 2.0, 2)]
    losses = small().loss(outputs, [truth(*instances)])
    alone = [small().loss(outputs, [truth(instance)]) for instance in instances]
    cheapest = min(alone, key=lambda one: one["l1"] + one["tiou"])
    for name in ("l1", "tiou"):
        assert losses[name].item() == pytest.approx(cheapest[name].item() / 3)


def test_actionness_is_the_best_tiou_with_the_own_clip() -> None:
    outputs = predictions(layers=2, clips=3)
    targets = [truth((2.0, 5.0, 0), (6.0, 9.0, 1)), empty_segments(), truth((0.0, 12.0, 1))]
    loss = small().loss(outputs, targets)["actionness"]
    total = 0.0
    for clip, query in itertools.product(range(3), range(4)):
        a, b = (W * outputs.segments_LBQ2[-1, clip, query]).tolist()
        best = 0.0
        for c, d in targets[clip]["segments"].tolist():
            overlap = max(0.0, min(b, d) - max(a, c))
            best = max(best, overlap / (b - a + d - c - overlap))
        total += abs(outputs.actionness_BQ[clip, query].item() - best)
    assert loss.item() == pytest.approx(4 * total / 12, rel=1e-5)
    # What it is compared with is no way to learn segments.
    assert torch.autograd.grad(loss, outputs.segments_LBQ2, allow_unused=True) == (None,)


def test_each_layer_moves_the_segments_of_the_one_before() -> None:
    """And learns from its own loss alone: the next layer's does not reach its answer."""
    head = randomised(small())
    outputs = head(torch.randn(1, IN, W), prefix_mask(W, steps=W))
    middle = outputs.segments_LBQ2.mean(dim=-1)
    assert (middle[1] - middle[0]).abs().min() > 0
    bias = head.regress[0][-1].bias
    own, other = (torch.autograd.grad(x.sum(), bias, retain_graph=True)[0] for x in outputs.segments_LBQ2)
    assert own.any()
    assert not other.any()
    with torch.no_grad():
        head.regress[1][-1].weight.zero_()
        head.regress[1][-1].bias.zero_()
    still = head(torch.randn(1, IN, W), prefix_mask(W, steps=W)).segments_LBQ2
    torch.testing.assert_close(still[1], still[0])


def test_a_loss_that_is_no_number_is_told_as_one() -> None:
    head = small()
    with torch.no_grad():
        head.conv.weight.fill_(math.nan)
    losses = head.loss(head(torch.randn(1, IN, W), prefix_mask(W, steps=W)), [truth((1.0, 2.0, 0))])
    assert losses["cls"].isnan()


def test_decoding_equals_plain_loops() -> None:
    outputs = predictions(layers=2, clips=1)
    (found,) = small(max_proposals=7).decode(outputs)
    expected = []
    for query, label in itertools.product(range(4), range(K)):
        score = outputs.logits_LBQK[1, 0, query, label].sigmoid() * outputs.actionness_BQ[0, query]
        expected.append((score.item(), *(W * outputs.segments_LBQ2[1, 0, query]).tolist(), label))
    table = torch.cat([found["scores"][:, None], found["segments"], found["labels"][:, None]], dim=1)
    torch.testing.assert_close(table, torch.tensor(sorted(expected, reverse=True)[:7]))


def test_config_lists_every_argument_with_its_default() -> None:
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/head/tadtr.yaml")
    owned = {"in_channels": "${backbone.embed_dim}", "window": "${grid.window}"}
    found = OmegaConf.to_container(config, resolve=False)
    assert found.pop("_target_") == f"{TadTR.__module__}.{TadTR.__qualname__}"
    assert {key: found.pop(key) for key in owned} == owned
    # The number of classes comes from the taxonomy when the head is built.
    parameters = inspect.signature(TadTR).parameters.items()
    assert found == {key: parameter.default for key, parameter in parameters if key not in {*owned, "classes"}}
