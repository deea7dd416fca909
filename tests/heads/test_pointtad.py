"""PointTAD against plain loops: its layers from tensors of its authors' names, its losses from all pairings."""

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
from mmad.heads.pointtad import PointTAD, QueryPredictions, _costs, spanned
from mmad.segments import Segments, empty_segments

C, K, W, Q, P, L, H, INNER, HIDDEN = 8, 3, 10, 3, 7, 2, 2, 4, 12
Named = dict[str, Tensor]


def small(**options) -> PointTAD:
    torch.manual_seed(0)
    sizes = {"in_channels": C, "classes": K, "window": W, "channels": C, "queries": Q, "points": P, "layers": L}
    sizes |= {"heads": H, "mixing_channels": INNER, "mlp_channels": HIDDEN}
    return PointTAD(**{**sizes, **options}).eval()


def prefix_mask(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]),
        "labels": torch.tensor([label for *_, label in instances]),
    }


@pytest.mark.parametrize(("points", "count"), [(21, 196_877_336), (15, 183_838_544)])
def test_parameters_of_the_published_sizes(points: int, count: int) -> None:
    with torch.device("meta"):
        head = PointTAD(in_channels=512, classes=52, window=64, points=points)
    assert sum(parameter.numel() for parameter in head.parameters()) == count
    if points == 21:
        assert sum(p.numel() for p in head.layers[0].parameters()) == 49_111_229
        assert sum(p.numel() for p in head.layers[0].mixing.parameters()) == 44_858_979


def test_features_of_another_width_are_projected() -> None:
    assert [name for name, _ in small(in_channels=5).named_parameters() if name.startswith("project")] == [
        "project.weight",
        "project.bias",
    ]
    assert not list(small().project.parameters())


def test_initial_values() -> None:
    head = small(points=21)
    assert (head.points_QP == 0.5).all()
    for layer in head.layers:
        for group in (layer.deformation.boundary_offsets, layer.deformation.center_offsets):
            assert group.bias.tolist() == [1, 2, 3, 4]
        assert not layer.deformation.boundary_weights.bias.any()
        assert not layer.attention.in_proj.bias.any()
        assert layer.move.weight.abs().max() <= math.sqrt(6 / (C + 21))


def moving(head: PointTAD) -> bool:
    """Whether a step of training would tell the layers how to move points."""
    losses = head.loss(head(torch.randn(1, C, W), prefix_mask(W, steps=W)), [truth((1.0, 4.0, 0))])
    (losses["l1"] + losses["tiou"]).backward()
    return all(bool(layer.move.weight.grad.any()) for layer in head.layers)


def test_layers_move_points_once_they_have_left_their_place() -> None:
    head = small()
    told = head(torch.randn(2, C, W), prefix_mask(W, 4, steps=W)).segments_LBQ2
    torch.testing.assert_close(told, torch.full_like(told, 0.5), rtol=0, atol=0)
    assert not moving(head)
    assert head.points_QP.grad.any()
    with torch.no_grad():
        head.points_QP.add_(0.01 * torch.randn_like(head.points_QP))
    assert moving(head)


@pytest.mark.parametrize("points", [5, 15, 16, 17, 21])
def test_a_segment_is_what_two_thirds_of_the_points_span(points: int) -> None:
    place = torch.randn(2, 4, points)
    found = spanned(place)
    for clip, query in itertools.product(range(2), range(4)):
        spanning = place[clip, query].tolist()[: -points // 3]
        assert found[clip, query].tolist() == [min(spanning), max(spanning)]


# The network from tensors by the authors' names.


def normal(*shape: int) -> Tensor:
    return torch.randn(shape) * 0.4


def published(*, classes: int = K) -> Named:
    torch.manual_seed(1)
    state: Named = {}

    def linear(name: str, out: int, into: int, *, bias: bool = True) -> None:
        state[f"{name}.weight"] = normal(out, into)
        if bias:
            state[f"{name}.bias"] = normal(out)

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"], state[f"{name}.bias"] = 1 + normal(width), normal(width)

    for layer in range(L):
        name = f"decoder.head_series.{layer}"
        for group in ("boundary", "center"):
            linear(f"{name}.point_deformation.{group}_offsets", 4, C)
            linear(f"{name}.point_deformation.{group}_weights", 4, C)
        state[f"{name}.self_attn.in_proj_weight"], state[f"{name}.self_attn.in_proj_bias"] = (
            normal(3 * C, C),
            normal(3 * C),
        )
        linear(f"{name}.self_attn.out_proj", C, C)
        mix = f"{name}.inst_parallel_mix"
        linear(f"{mix}.dynamic_layer", 2 * C * INNER, C)
        linear(f"{mix}.dynamic_temp_layer", P * P, C)
        for index, width in ((1, INNER), (2, C), (3, C), (4, P)):
            norm(f"{mix}.norm{index}", width)
        linear(f"{mix}.out_layer", C, 2 * C * P)
        linear(f"{name}.linear1", HIDDEN, C)
        linear(f"{name}.linear2", C, HIDDEN)
        for index in (1, 2, 3):
            norm(f"{name}.norm{index}", C)
        for tower, depth in (("cls", 1), ("reg", 3)):
            for index in range(depth):
                linear(f"{name}.{tower}_module.{3 * index}", C, C, bias=False)
                norm(f"{name}.{tower}_module.{3 * index + 1}", C)
        linear(f"{name}.class_logits", classes + 1, C)
        linear(f"{name}.points_delta", P, C)
    state["init_proposal_features.weight"], state["init_proposal_points.weight"] = normal(Q, C), torch.rand(Q, P)
    state["linear_pred.0.weight"], state["linear_pred.0.bias"] = normal(C // 2, C, 3), normal(C // 2)
    state["linear_pred.2.weight"], state["linear_pred.2.bias"] = normal(classes, C // 2, 1), normal(classes)
    others = {"query_embed.weight": normal(Q, C), "input_proj_5c.weight": normal(C, 16, 1, 1)}
    return {**state, **others, "backbone._model.Conv3d_1a_7x7.bn.weight": normal(3)}


def plain(state: Named, feats_TC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(L, Q, K + 1) logits, (L, Q, 2) segments and (T, K) dense logits of one clip, place by place in float64."""
    w = {name: tensor.double() for name, tensor in state.items()}
    feats = feats_TC.double()
    last = len(feats) - 1

    def linear(x: Tensor, name: str) -> Tensor:
        y = x @ w[f"{name}.weight"].T
        return y + w[f"{name}.bias"] if f"{name}.bias" in w else y

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def value(place: float) -> Tensor:
        step = min(min(max(place, 0.0), 1.0) * (W - 1), last)
        below, part = int(step), step - int(step)
        return (1 - part) * feats[below] + part * feats[min(below + 1, last)]

    queries, points = w["init_proposal_features.weight"], w["init_proposal_points.weight"]
    logits, segments = [], []
    for layer in range(L):
        name = f"decoder.head_series.{layer}"
        sampled = torch.zeros(Q, P, C, dtype=torch.float64)
        for q, p in itertools.product(range(Q), range(P)):
            group = f"{name}.point_deformation.{'boundary' if p < 4 else 'center'}"
            offsets = linear(queries[q], f"{group}_offsets")
            weights = linear(queries[q], f"{group}_weights").softmax(0)
            for offset, weight in zip(offsets, weights, strict=True):
                sampled[q, p] += weight * value(float(points[q, p] + offset / W))
        qkv = queries @ w[f"{name}.self_attn.in_proj_weight"].T + w[f"{name}.self_attn.in_proj_bias"]
        told = []
        for head in range(H):
            query, key, val = (part.split(C // H, dim=1)[head] for part in qkv.split(C, dim=1))
            told.append((query @ key.T / (C // H) ** 0.5).softmax(1) @ val)
        queries = norm(queries + linear(torch.cat(told, dim=1), f"{name}.self_attn.out_proj"), f"{name}.norm1")
        mix = f"{name}.inst_parallel_mix"
        mixed = []
        for q in range(Q):
            numbers = linear(queries[q], f"{mix}.dynamic_layer")
            down, up = numbers[: C * INNER].view(C, INNER), numbers[C * INNER :].view(INNER, C)
            across = norm((norm(sampled[q] @ down, f"{mix}.norm1")).clamp(min=0) @ up, f"{mix}.norm2").clamp(min=0)
            times = linear(queries[q], f"{mix}.dynamic_temp_layer").view(P, P)
            along = norm(sampled[q].T @ times, f"{mix}.norm4").clamp(min=0).T
            both = torch.cat([torch.cat([across[p], along[p]]) for p in range(P)])
            mixed.append(norm(linear(both, f"{mix}.out_layer"), f"{mix}.norm3").clamp(min=0))
        queries = norm(queries + torch.stack(mixed), f"{name}.norm2")
        hidden = linear(queries, f"{name}.linear1").clamp(min=0)
        queries = norm(queries + linear(hidden, f"{name}.linear2"), f"{name}.norm3")
        cls = norm(linear(queries, f"{name}.cls_module.0"), f"{name}.cls_module.1").clamp(min=0)
        reg = queries
        for index in (0, 3, 6):
            reg = norm(linear(reg, f"{name}.reg_module.{index}"), f"{name}.reg_module.{index + 1}").clamp(min=0)
        spanning = points[:, : -P // 3]
        length = spanning.max(1).values - spanning.min(1).values
        points = points + linear(reg, f"{name}.points_delta") * 0.5 * length[:, None]
        spanning = points[:, : -P // 3]
        logits.append(linear(cls, f"{name}.class_logits"))
        segments.append(torch.stack([spanning.min(1).values, spanning.max(1).values], dim=1))
    dense = []
    for t in range(len(feats)):
        hidden = w["linear_pred.0.bias"].clone()
        for k in range(3):
            if 0 <= t + k - 1 <= last:
                hidden += w["linear_pred.0.weight"][:, :, k] @ feats[t + k - 1]
        dense.append(w["linear_pred.2.weight"][:, :, 0] @ hidden + w["linear_pred.2.bias"])
    return torch.stack(logits), torch.stack(segments), torch.stack(dense)


@pytest.mark.parametrize("length", [W, 4])
def test_a_published_file_gives_what_its_tensors_say(length: int, tmp_path: Path) -> None:
    state = published()
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "pointtad.pth")
    head = small()
    report = load_head_weights(head, tmp_path / "pointtad.pth", classes=K)
    assert (report.format, report.missing) == ("PointTAD", ())
    assert report.loaded == len(list(head.parameters()))
    assert report.dropped == ("backbone._model.Conv3d_1a_7x7.bn.weight", "input_proj_5c.weight", "query_embed.weight")
    feats_TC = torch.randn(length, C)
    padded = torch.cat([feats_TC, torch.full((W - length, C), 9.0)])
    with torch.no_grad():
        outputs = head(padded.T[None], prefix_mask(length, steps=W))
    logits, segments, dense = plain(state, feats_TC)
    assert logits.std() > 0.2
    assert (segments[1] - segments[0]).abs().max() > 0.05
    torch.testing.assert_close(outputs.logits_LBQK[:, 0].double(), logits, rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs.segments_LBQ2[:, 0].double(), segments, rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs.dense_BTK[0, :length].double(), dense, rtol=0, atol=1e-4)


def test_other_classes_leave_the_layers_of_classes(tmp_path: Path) -> None:
    torch.save(published(classes=65), tmp_path / "multithumos.pth")
    report = load_head_weights(small(), tmp_path / "multithumos.pth", classes=K)
    layers = [f"layers.{layer}.classify.{end}" for layer in range(L) for end in ("weight", "bias")]
    assert report.missing == (*layers, "dense_classify.weight", "dense_classify.bias")
    assert "as the file tells 65 classes and not 3" in str(report)


def scattered(head: PointTAD) -> PointTAD:
    with torch.no_grad():
        head.points_QP.uniform_()
    return head


@torch.no_grad()
def test_beyond_the_end_the_last_step_goes_on() -> None:
    """As in the authors' windows, where a short clip's last frame is repeated."""
    head = scattered(small())
    feats = torch.randn(1, C, 4)
    repeated = torch.cat([feats, feats[..., -1:].expand(-1, -1, W - 4)], dim=2)
    short, long = head(feats, prefix_mask(4, steps=4)), head(repeated, prefix_mask(W, steps=W))
    torch.testing.assert_close(short.logits_LBQK, long.logits_LBQK)
    torch.testing.assert_close(short.segments_LBQ2, long.segments_LBQ2)


# Losses.


def predictions(clips: int, *, layers: int = L) -> QueryPredictions:
    generator = torch.Generator().manual_seed(3)
    segments = torch.rand(layers, clips, Q, 2, generator=generator).sort(dim=3).values
    return QueryPredictions(
        logits_LBQK=torch.randn(layers, clips, Q, K + 1, generator=generator).requires_grad_(),
        segments_LBQ2=segments.requires_grad_(),
        dense_BTK=torch.randn(clips, W, K, generator=generator).requires_grad_(),
        mask_BT=prefix_mask(*([W, 6, W][:clips]), steps=W),
        window=W,
        classes_per_query=1,
    )


TARGETS = [truth((1.0, 4.0, 0), (3.0, 9.0, 2)), truth((0.5, 5.5, 1)), empty_segments()]


def test_losses_and_gradients_equal_those_of_the_best_of_all_pairings() -> None:
    outputs = predictions(3)
    losses = small(dense_weight=2.0).loss(outputs, TARGETS)
    instances = 3
    given = (outputs.logits_LBQK, outputs.segments_LBQ2, outputs.dense_BTK)
    logits, segments, dense = (tensor.detach().double().requires_grad_() for tensor in given)
    expected = dict.fromkeys(("cls", "l1", "tiou", "dense"), torch.zeros((), dtype=torch.float64))
    for layer in range(L):
        weighted, weights = torch.zeros((), dtype=torch.float64), 0.0
        for clip, target in enumerate(TARGETS):
            log_p = logits[layer, clip].log_softmax(1)
            labels = target["labels"].tolist()
            true = target["segments"].double() / W

            def pair(
                query: int, instance: int, told: Tensor = segments[layer, clip], true: Tensor = true
            ) -> tuple[Tensor, Tensor]:
                (s, e), (a, b) = told[query], true[instance]
                overlap = (min(e, b) - max(s, a)).clamp(min=0)
                distance = ((s + e) / 2 - (a + b) / 2).abs() + ((e - s) - (b - a)).abs()
                return distance, overlap / ((e - s) + (b - a) - overlap)

            def cost(queries: tuple[int, ...], log_p: Tensor = log_p, labels: list = labels, pair=pair) -> float:
                parts = [(*pair(q, i), log_p[q, labels[i]].exp()) for i, q in enumerate(queries)]
                return sum((5 * distance - 5 * overlap - 10 * p).item() for distance, overlap, p in parts)

            best = min(itertools.permutations(range(Q), len(labels)), key=cost)
            wanted = {query: labels[instance] for instance, query in enumerate(best)}
            for query in range(Q):
                weight = 1.0 if query in wanted else 0.1
                weighted = weighted - weight * log_p[query, wanted.get(query, K)]
                weights += weight
            for instance, query in enumerate(best):
                distance, overlap = pair(query, instance)
                expected["l1"] = expected["l1"] + 5 * distance / instances
                expected["tiou"] = expected["tiou"] + 5 * (1 - overlap) / instances
        expected["cls"] = expected["cls"] + weighted / weights
    steps = outputs.mask_BT.sum().item() * K
    for clip, target in enumerate(TARGETS):
        for step, label in itertools.product(range(W), range(K)):
            if outputs.mask_BT[clip, step]:
                spans = zip(target["segments"].tolist(), target["labels"].tolist(), strict=True)
                inside = any(s <= step + 0.5 < e and own == label for (s, e), own in spans)
                logit = dense[clip, step, label]
                expected["dense"] = expected["dense"] + 2 * (1 + (-logit if inside else logit).exp()).log() / steps
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-5)
        ours = torch.autograd.grad(loss, given, allow_unused=True, retain_graph=True)
        theirs = torch.autograd.grad(expected[name], (logits, segments, dense), allow_unused=True, retain_graph=True)
        for one, other in zip(ours, theirs, strict=True):
            assert (one is None or not one.any()) == (other is None or not other.any())
            if one is not None and other is not None:
                torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-6)


def test_costs_equal_plain_loops() -> None:
    outputs, target = predictions(1), TARGETS[0]
    (cost_LQM,) = _costs(outputs, [target["segments"] / W], [target["labels"]])
    for layer, query, instance in itertools.product(range(L), range(Q), range(2)):
        start, end = outputs.segments_LBQ2[layer, 0, query].tolist()
        first, last = (target["segments"][instance] / W).tolist()
        p = outputs.logits_LBQK[layer, 0, query].softmax(0)[target["labels"][instance]].item()
        overlap = max(0.0, min(end, last) - max(start, first))
        tiou = overlap / (end - start + last - first - overlap)
        l1 = abs((start + end - first - last) / 2) + abs(end - start - last + first)
        assert cost_LQM[layer, query, instance].item() == pytest.approx(5 * l1 + 5 * (1 - tiou) - 10 * p, abs=1e-5)


def test_all_layers_learn_from_a_single_clip() -> None:
    outputs = predictions(1, layers=5)
    losses = small().loss(outputs, TARGETS[:1])
    torch.stack(list(losses.values())).sum().backward()
    for layer in range(5):
        assert outputs.logits_LBQK.grad[layer].any()
        assert outputs.segments_LBQ2.grad[layer].any()


def test_a_batch_without_instances_teaches_the_background() -> None:
    outputs = predictions(1)
    losses = small().loss(outputs, [empty_segments()])
    losses["cls"].backward()
    assert losses["l1"] == losses["tiou"] == 0
    # Every query is pushed towards the background, which a step along the gradient makes likelier.
    assert (outputs.logits_LBQK.grad[..., K] < 0).all()


# Decoding.


@pytest.mark.parametrize("best", [1, 2])
def test_every_query_gives_its_best_classes_within_the_clip(best: int) -> None:
    logits = torch.tensor([[5.0, 3.0, 0.0, 1.0], [0.0, 0.0, 1.0, 9.0], [0.0, 2.0, 1.0, 0.0]])
    segments = torch.tensor([[-0.1, 0.3], [0.2, 0.4], [0.5, 0.9]])
    outputs = QueryPredictions(
        logits_LBQK=torch.stack([torch.zeros(Q, K + 1), logits])[:, None],
        segments_LBQ2=torch.stack([torch.zeros(Q, 2), segments])[:, None],
        dense_BTK=torch.zeros(1, W, K),
        mask_BT=prefix_mask(7, steps=W),
        window=W,
        classes_per_query=best,
    )
    (found,) = small(classes_per_query=best).decode(outputs)
    scores = logits.softmax(dim=1)
    expected = [(0, 0), (2, 1), (1, 2)] if best == 1 else [(0, 0), (2, 1), (2, 2), (0, 1), (1, 2), (1, 0)]
    assert found["labels"].tolist() == [label for _, label in expected]
    torch.testing.assert_close(found["scores"], torch.stack([scores[query, label] for query, label in expected]))
    within = torch.tensor([[0.0, 3.0], [2.0, 4.0], [5.0, 7.0]])
    torch.testing.assert_close(found["segments"], torch.stack([within[query] for query, _ in expected]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, r"head\.channels=8 cannot be split among head\.heads=3: choose a multiple of 3\."),
        ({"points": 4}, r"head\.points=4: give more than 4, such as 21\."),
        ({"classes_per_query": 0}, r"head\.classes_per_query=0: give 1 at least"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(MmadError, match=message):
        small(**options)


def test_a_window_too_long_names_the_fix() -> None:
    with pytest.raises(MmadError, match=rf"{W + 1} feature steps is longer than head.window={W}"):
        small()(torch.zeros(1, C, W + 1), prefix_mask(W + 1, steps=W + 1))


def test_config_lists_every_argument_with_its_default() -> None:
    config = OmegaConf.load(Path(__file__).parents[2] / "conf/head/pointtad.yaml")
    owned = {"in_channels": "${backbone.embed_dim}", "window": "${grid.window}"}
    found = OmegaConf.to_container(config, resolve=False)
    assert found.pop("_target_") == f"{PointTAD.__module__}.{PointTAD.__qualname__}"
    assert {key: found.pop(key) for key in owned} == owned
    parameters = inspect.signature(PointTAD).parameters.items()
    assert found == {key: parameter.default for key, parameter in parameters if key not in {*owned, "classes"}}
