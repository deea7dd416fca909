"""Published detectors against plain computations from their own tensors, and files that do not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from mmad.adapters.tia import TIA
from mmad.backbones.checkpoints import fingerprint, load_weights
from mmad.backbones.videomae import MEAN, STD, VideoMAE
from mmad.cli.build import build_detector, recipe, start_from
from mmad.cli.entry import conf_dir
from mmad.errors import MmadError
from mmad.heads.actionformer import ActionFormer
from mmad.heads.checkpoints import load_head_weights
from mmad.taxonomy import MMA52

IN, C, K, CONVS, STEM, LEVELS, HEADS = 6, 8, 3, 2, 1, 3, 2
Named = dict[str, Tensor]


def normal(*shape: int) -> Tensor:
    return torch.randn(shape) * 0.3


def detector(*, classes: int = K) -> tuple[Named, Named]:
    """A random ActionFormer by the names and shapes of OpenTAD and of actionformer_release."""
    torch.manual_seed(0)
    opentad: Named = {}
    release: Named = {}

    def add(theirs: str, official: str, tensor: Tensor) -> None:
        opentad[theirs] = release[official] = tensor

    def norm(theirs: str, official: str) -> None:
        for end, tensor in (("weight", 1 + normal(C)), ("bias", normal(C))):
            opentad[f"{theirs}.{end}"], release[f"{official}.{end}"] = tensor, tensor[None, :, None]

    for i in range(CONVS):
        weight = normal(C, C if i else IN, 3)
        add(f"projection.embed.{i}.conv.weight", f"backbone.embd.{i}.conv.weight", weight)
        norm(f"projection.embed.{i}.norm", f"backbone.embd_norm.{i}")
    for block in [f"stem.{i}" for i in range(STEM)] + [f"branch.{i}" for i in range(LEVELS - 1)]:
        theirs, official = f"projection.{block}", f"backbone.{block}"
        for part in ("ln1", "ln2", "attn.query_norm", "attn.key_norm", "attn.value_norm"):
            norm(f"{theirs}.{part}", f"{official}.{part}")
        for part in ("query", "key", "value"):
            add(f"{theirs}.attn.{part}_conv.conv.weight", f"{official}.attn.{part}_conv.conv.weight", normal(C, 1, 3))
        shapes = {f"attn.{part}": (C, C) for part in ("query", "key", "value", "proj")}
        for part, (out, into) in {**shapes, "mlp.0": (4 * C, C), "mlp.3": (C, 4 * C)}.items():
            add(f"{theirs}.{part}.weight", f"{official}.{part}.weight", normal(out, into, 1))
            add(f"{theirs}.{part}.bias", f"{official}.{part}.bias", normal(out))
        for part in ("drop_path_attn.scale", "drop_path_mlp.scale"):
            add(f"{theirs}.{part}", f"{official}.{part}", 1 + normal(1, C, 1))
    for level in range(LEVELS):
        norm(f"neck.fpn_norms.{level}", f"neck.fpn_norms.{level}")
        add(f"rpn_head.scale.{level}.scale", f"reg_head.scale.{level}.scale", 1 + normal())
    for tower, last, out in (("cls", "cls_head", classes), ("reg", "offset_head", 2)):
        for i in range(2):
            weight = normal(C, C, 3)
            add(f"rpn_head.{tower}_convs.{i}.conv.weight", f"{tower}_head.head.{i}.conv.weight", weight)
            norm(f"rpn_head.{tower}_convs.{i}.norm", f"{tower}_head.norm.{i}")
        for end, tensor in (("weight", normal(out, C, 3)), ("bias", normal(out))):
            add(f"rpn_head.{tower}_head.{end}", f"{tower}_head.{last}.conv.{end}", tensor)
    opentad["rpn_head.loss_normalizer"] = torch.tensor(87)
    return opentad, release


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, *, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / 2**0.5)) / 2


def conv(x_TC: Tensor, weight: Tensor, *, stride: int = 1) -> Tensor:
    """Kernel 3 with a zero beyond both ends; depth-wise where the weight is (C, 1, 3)."""
    steps = []
    for t in range(0, len(x_TC), stride):
        taps = [(k, x_TC[t + k - 1]) for k in range(3) if 0 <= t + k - 1 < len(x_TC)]
        if weight.shape[1] == 1:
            steps.append(sum(weight[:, 0, k] * x for k, x in taps))
        else:
            steps.append(sum(weight[:, :, k] @ x for k, x in taps))
    return torch.stack(steps)


def attend(q: Tensor, k: Tensor, v: Tensor, *, heads: int) -> Tensor:
    width = q.shape[-1] // heads
    parts = zip(q.split(width, dim=1), k.split(width, dim=1), v.split(width, dim=1), strict=True)
    return torch.cat([torch.softmax(q @ k.T / width**0.5, dim=-1) @ v for q, k, v in parts], dim=1)


def plain_actionformer(state: Named, feats_CT: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and distances at all points from OpenTAD's tensors, in float64 and without masks."""
    w = {name: tensor.double() for name, tensor in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5)

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"][:, :, 0].T + w[f"{name}.bias"]

    def block(x: Tensor, name: str, *, stride: int) -> Tensor:
        y = norm(x, f"{name}.ln1")
        q, k, v = (
            linear(
                norm(conv(y, w[f"{name}.attn.{part}_conv.conv.weight"], stride=stride), f"{name}.attn.{part}_norm"),
                f"{name}.attn.{part}",
            )
            for part in ("query", "key", "value")
        )
        y = linear(attend(q, k, v, heads=HEADS), f"{name}.attn.proj")
        if stride == 2:
            x = torch.stack([x[max(t - 1, 0) : t + 2].amax(0) for t in range(0, len(x), 2)])
        x = x + w[f"{name}.drop_path_attn.scale"][0, :, 0] * y
        y = linear(gelu(linear(norm(x, f"{name}.ln2"), f"{name}.mlp.0")), f"{name}.mlp.3")
        return x + w[f"{name}.drop_path_mlp.scale"][0, :, 0] * y

    x = feats_CT.double().T
    for i in range(CONVS):
        x = norm(conv(x, w[f"projection.embed.{i}.conv.weight"]), f"projection.embed.{i}.norm").clamp(min=0)
    for i in range(STEM):
        x = block(x, f"projection.stem.{i}", stride=1)
    pyramid = [x]
    for i in range(LEVELS - 1):
        pyramid.append(block(pyramid[-1], f"projection.branch.{i}", stride=2))
    told: dict[str, list[Tensor]] = {"cls": [], "reg": []}
    for level, x in enumerate(pyramid):
        for tower in told:
            y = norm(x, f"neck.fpn_norms.{level}")
            for i in range(2):
                name = f"rpn_head.{tower}_convs.{i}"
                y = norm(conv(y, w[f"{name}.conv.weight"]), f"{name}.norm").clamp(min=0)
            y = conv(y, w[f"rpn_head.{tower}_head.weight"]) + w[f"rpn_head.{tower}_head.bias"]
            told[tower].append(y if tower == "cls" else (y * w[f"rpn_head.scale.{level}.scale"]).clamp(min=0))
    return torch.cat(told["cls"]), torch.cat(told["reg"])


def build(**changes: Any) -> ActionFormer:
    torch.manual_seed(1)
    settings = {"channels": C, "heads": HEADS, "convs": CONVS, "stem": STEM, "levels": LEVELS, **changes}
    return ActionFormer(**{"in_channels": IN, "classes": K, **settings}).eval()


def trained(state: Named) -> dict[str, Any]:
    """As a training script leaves it: the last weights, and beside them the averaged ones that are in use."""
    prefixed = {f"module.{name}": tensor for name, tensor in state.items()}
    last = {name: torch.full_like(tensor, 9) for name, tensor in prefixed.items()}
    return {"epoch": 60, "state_dict": last, "state_dict_ema": prefixed, "optimizer": {"param_groups": [{"lr": 1e-4}]}}


LAYOUTS: dict[str, tuple[str, Callable[[Named, Named], Any]]] = {
    "opentad": ("OpenTAD detector", lambda opentad, _: trained(opentad)),
    "opentad, last weights": ("OpenTAD detector", lambda opentad, _: {"epoch": 9, "state_dict": opentad}),
    "opentad, tensors alone": ("OpenTAD detector", lambda opentad, _: opentad),
    "release": ("actionformer_release", lambda _, release: trained(release)),
    "release, tensors alone": ("actionformer_release", lambda _, release: release),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_what_its_tensors_say(name: str, tmp_path: Path) -> None:
    layout, write = LAYOUTS[name]
    opentad, release = detector()
    torch.save(write(opentad, release), tmp_path / "detector.pth")
    head = build()
    report = load_head_weights(head, tmp_path / "detector.pth", classes=K)
    feats_CT = torch.randn(IN, 16)
    with torch.no_grad():
        outputs = head(feats_CT[None], torch.ones(1, 16, dtype=torch.bool))
    logits_PK, offsets_P2 = plain_actionformer(opentad, feats_CT)
    assert (offsets_P2 > 0).any()
    assert logits_PK.std() > 0.3
    torch.testing.assert_close(outputs.logits_BPK[0].double(), logits_PK, rtol=0, atol=1e-5)
    torch.testing.assert_close(outputs.offsets_BPG2[0, :, 0].double(), offsets_P2, rtol=0, atol=1e-5)
    assert (report.format, report.missing, report.dropped) == (layout, (), ())
    assert report.loaded == len(release)
    assert str(report).endswith(f"): {len(release)} tensors loaded")
    assert head.dense.loss_normalizer == 100


def test_other_classes_leave_the_layer_of_classes(tmp_path: Path) -> None:
    opentad, _ = detector(classes=20)
    torch.save(opentad, tmp_path / "thumos.pth")
    head = build()
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    report = load_head_weights(head, tmp_path / "thumos.pth", classes=K)
    kept = {name for name, tensor in head.state_dict().items() if torch.equal(tensor, before[name])}
    assert kept == {"dense.cls_head.conv.weight", "dense.cls_head.conv.bias", "dense.loss_normalizer"}
    assert report.missing == ("dense.cls_head.conv.weight", "dense.cls_head.conv.bias")
    assert report.loaded == len(opentad) - 3
    assert "left as initialised: dense (2), as the file tells 20 classes and not 3" in str(report)


@pytest.mark.parametrize(("theirs", "ours"), [(20, 1), (1, K), (20, 19)])
def test_any_number_of_classes_takes_a_file_of_any_other(theirs: int, ours: int, tmp_path: Path) -> None:
    opentad, _ = detector(classes=theirs)
    torch.save(opentad, tmp_path / "other.pth")
    report = load_head_weights(build(classes=ours), tmp_path / "other.pth", classes=ours)
    assert report.missing == ("dense.cls_head.conv.weight", "dense.cls_head.conv.bias")
    assert f"as the file tells {theirs} classes and not {ours}" in str(report)


@pytest.mark.parametrize("bias", [torch.tensor(0.5), torch.zeros(5, 2)])
def test_what_is_no_layer_of_classes_is_refused(bias: Tensor, tmp_path: Path) -> None:
    opentad, _ = detector(classes=20)
    torch.save({**opentad, "rpn_head.cls_head.bias": bias}, tmp_path / "odd.pth")
    with pytest.raises(MmadError, match=r"has dense\.cls_head\.conv\.bias of shape"):
        load_head_weights(build(), tmp_path / "odd.pth", classes=K)


class Foreign:
    """Writes a file when a pickle of it is loaded by whoever trusts it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_loading_runs_no_code_of_the_file(tmp_path: Path) -> None:
    opentad, _ = detector()
    torch.save({"state_dict": opentad, "meta": Foreign(tmp_path / "ran")}, tmp_path / "bad.pth")
    with pytest.raises(MmadError, match=r"bad\.pth holds Python objects beside its tensors"):
        load_head_weights(build(), tmp_path / "bad.pth", classes=K)
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "bad.pth", weights_only=False)
    assert (tmp_path / "ran").exists()


def without(state: Named, name: str) -> Named:
    return {key: tensor for key, tensor in state.items() if key != name}


FIX = r"; give head, grid and backbone the settings that the file was trained with\.$"


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        (
            {},
            lambda state: without(state, "projection.branch.1.ln2.bias"),
            r"\.pth \(OpenTAD detector layout\) lacks 1 of the head's tensors, such as branch\.1\.mlp_norm\.bias" + FIX,
        ),
        ({}, lambda state: without(state, "rpn_head.scale.1.scale"), r"lacks 1 .* such as dense\.scale_L\.1" + FIX),
        (
            {},
            lambda state: {**state, "projection.proj.0.conv.weight": torch.ones(1)},
            r"layout\) holds 1 that it has no place for, such as proj\.0\.conv\.weight" + FIX,
        ),
        ({"levels": 4}, lambda state: state, r"lacks 30 of .* such as branch\.2\.attention"),
        ({"levels": 2}, lambda state: state, r"holds 30 that it has no place for, such as branch\.1\.attention"),
        ({"convs": 1, "stem": 2}, lambda state: state, r"lacks 27 .* stem\.1\..* and holds 3 .* embed\.1\.conv"),
        (
            {"in_channels": 12},
            lambda state: state,
            r"has embed\.0\.conv\.weight of shape \(8, 6, 3\), but the head needs \(8, 12, 3\)" + FIX,
        ),
        ({"channels": 16}, lambda state: state, r"of shape \(8, 6, 3\), but the head needs \(16, 6, 3\)"),
        # As many channels as classes, of which the file has other numbers: not taken for layers of classes.
        ({"channels": 4, "classes": 4}, lambda state: state, r"has embed\.1\.conv\.weight of shape \(8, 8, 3\)"),
        # Two classes, as many as boundaries.
        (
            {"classes": 2},
            lambda state: {**state, "rpn_head.reg_head.weight": normal(34, C, 3), "rpn_head.reg_head.bias": normal(34)},
            r"but the head needs \(2, 8, 3\)",
        ),
        ({}, lambda state: {"blocks.0.norm1.weight": torch.ones(8)}, r"no known layout .* names such as blocks\.0"),
        ({}, lambda state: {}, r"no known layout of detectors \(it holds no tensors\)"),
        ({}, lambda state: torch.ones(3), r"holds a Tensor where a dictionary of tensors was expected"),
    ],
)
def test_files_that_do_not_fit_change_nothing(
    settings: dict[str, Any], change: Callable[[Named], Any], message: str, tmp_path: Path
) -> None:
    torch.save(change(detector()[0]), tmp_path / "detector.pth")
    head = build(**settings)
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    with pytest.raises(MmadError, match=message):
        load_head_weights(head, tmp_path / "detector.pth", classes=settings.get("classes", K))
    assert all(torch.equal(tensor, before[name]) for name, tensor in head.state_dict().items())


def test_a_missing_file_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(MmadError, match=r"no file of weights at .*absent\.pth; correct weights or download"):
        load_head_weights(build(), tmp_path / "absent.pth", classes=K)


def test_a_head_without_published_weights(tmp_path: Path) -> None:
    with pytest.raises(MmadError, match=r"Linear has no published weights; leave the option out"):
        load_head_weights(nn.Linear(2, 2), tmp_path / "any.pth", classes=K)


D, BOTTLENECK, DEPTH, VIT_HEADS, GRID = 12, 3, 2, 3, (2, 3)


def adatad() -> Named:
    """A random AdaTAD by OpenTAD's names: a ViT with TIA adapters, and an ActionFormer on its D channels."""
    state, _ = detector()
    torch.manual_seed(2)
    state["projection.embed.0.conv.weight"] = normal(C, D, 3)
    vit = "backbone.model.backbone"
    state[f"{vit}.pos_embed"] = normal(1, 1568, D)
    state[f"{vit}.patch_embed.projection.weight"] = normal(D, 3, 2, 16, 16) * 0.1
    state[f"{vit}.patch_embed.projection.bias"] = normal(D)
    for i in range(DEPTH):
        block = f"{vit}.blocks.{i}"
        for name in ("norm1", "norm2"):
            state[f"{block}.{name}.weight"], state[f"{block}.{name}.bias"] = 1 + normal(D), normal(D)
        state[f"{block}.attn.q_bias"], state[f"{block}.attn.v_bias"] = normal(D), normal(D)
        state[f"{block}.attn.qkv.weight"] = normal(3 * D, D)
        state[f"{block}.adapter.gamma"] = 1 + normal(1)
        state[f"{block}.adapter.dwconv.weight"], state[f"{block}.adapter.dwconv.bias"] = (
            normal(BOTTLENECK, 1, 3),
            normal(BOTTLENECK),
        )
        state[f"{block}.adapter.conv.weight"] = normal(BOTTLENECK, BOTTLENECK, 1)
        state[f"{block}.adapter.conv.bias"] = normal(BOTTLENECK)
        linear = {"attn.proj": (D, D), "mlp.layers.0.0": (4 * D, D), "mlp.layers.1": (D, 4 * D)}
        linear |= {"adapter.down_proj": (BOTTLENECK, D), "adapter.up_proj": (D, BOTTLENECK)}
        for name, (out, into) in linear.items():
            state[f"{block}.{name}.weight"], state[f"{block}.{name}.bias"] = normal(out, into), normal(out)
    state[f"{vit}.fc_norm.weight"], state[f"{vit}.fc_norm.bias"] = torch.ones(D), torch.zeros(D)
    return state


def plain_tia(x_TSC: Tensor, w: Named, name: str) -> Tensor:
    """TIA as published, place by place: a depth-wise convolution over all times of the window, then a pointwise one."""
    a = gelu(x_TSC @ w[f"{name}.down_proj.weight"].T + w[f"{name}.down_proj.bias"])
    places = [conv(a[:, s], w[f"{name}.dwconv.weight"]) + w[f"{name}.dwconv.bias"] for s in range(a.shape[1])]
    mixed = torch.stack(places, dim=1) @ w[f"{name}.conv.weight"][:, :, 0].T + w[f"{name}.conv.bias"]
    up = (a + mixed) @ w[f"{name}.up_proj.weight"].T + w[f"{name}.up_proj.bias"]
    return x_TSC + w[f"{name}.gamma"] * up


def plain_vit(state: Named, video_CFHW: Tensor) -> Tensor:
    """(D, F / 2) features of one clip from OpenTAD's tensors, in float64."""
    prefix = "backbone.model.backbone."
    w = {name.removeprefix(prefix): tensor.double() for name, tensor in state.items() if name.startswith(prefix)}
    video = (video_CFHW.double() - torch.tensor(MEAN).double()[:, None, None, None]) / torch.tensor(STD).double()[
        :, None, None, None
    ]
    kernel = w["patch_embed.projection.weight"]
    tokens = [
        torch.stack(
            [
                (kernel * video[:, t : t + 2, y : y + 16, x : x + 16]).sum((1, 2, 3, 4))
                for y in range(0, 16 * GRID[0], 16)
                for x in range(0, 16 * GRID[1], 16)
            ]
        )
        for t in range(0, video.shape[1], 2)
    ]
    x_TSC = torch.stack(tokens) + w["patch_embed.projection.bias"]
    # Sines and cosines of a token's place in its chunk of 8 x 14 x 14, resized image by image.
    angle = torch.arange(1568).double()[:, None] / 10000 ** (2 * (torch.arange(D).double() // 2) / D)
    table = torch.where(torch.arange(D) % 2 == 0, angle.sin(), angle.cos())
    images = table.view(8, 14, 14, D).permute(0, 3, 1, 2)
    table_TSC = F.interpolate(images, size=GRID, mode="bicubic", align_corners=False).permute(0, 2, 3, 1).flatten(1, 2)
    x_TSC = x_TSC + table_TSC.repeat(len(x_TSC) // 8, 1, 1)
    for i in range(DEPTH):
        name = f"blocks.{i}"
        chunks = []
        for x in x_TSC.split(8):
            x = x.flatten(0, 1)
            y = layer_norm(x, w[f"{name}.norm1.weight"], w[f"{name}.norm1.bias"], eps=1e-6)
            bias = torch.cat([w[f"{name}.attn.q_bias"], torch.zeros(D).double(), w[f"{name}.attn.v_bias"]])
            q, k, v = (y @ w[f"{name}.attn.qkv.weight"].T + bias).split(D, dim=1)
            y = attend(q, k, v, heads=VIT_HEADS)
            x = x + y @ w[f"{name}.attn.proj.weight"].T + w[f"{name}.attn.proj.bias"]
            y = layer_norm(x, w[f"{name}.norm2.weight"], w[f"{name}.norm2.bias"], eps=1e-6)
            y = gelu(y @ w[f"{name}.mlp.layers.0.0.weight"].T + w[f"{name}.mlp.layers.0.0.bias"])
            x = x + y @ w[f"{name}.mlp.layers.1.weight"].T + w[f"{name}.mlp.layers.1.bias"]
            chunks.append(x.unflatten(0, (8, -1)))
        x_TSC = plain_tia(torch.cat(chunks), w, f"{name}.adapter")
    return x_TSC.mean(1).T


def vit(**changes: Any) -> VideoMAE:
    resolution = (16 * GRID[0], 16 * GRID[1])
    settings = {"embed_dim": D, "depth": DEPTH, "heads": VIT_HEADS, "resolution": resolution, "frames_per_step": 2}
    return VideoMAE(**{**settings, **changes}).eval()


def test_a_whole_adatad_gives_what_its_tensors_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = adatad()
    torch.save(trained(state), tmp_path / "adatad.pth")
    backbone, head = vit(adapter=TIA, trains="adapters"), build(in_channels=D)
    start_from(str(tmp_path / "adatad.pth"), backbone, head, classes=K)
    video = torch.randint(0, 256, (3, 32, 16 * GRID[0], 16 * GRID[1]), dtype=torch.uint8)
    with torch.no_grad():
        feats_BCT = backbone(video[None])
        outputs = head(feats_BCT, torch.ones(1, 16, dtype=torch.bool))
    expected_CT = plain_vit(state, video)
    logits_PK, offsets_P2 = plain_actionformer(state, expected_CT)
    torch.testing.assert_close(feats_BCT[0].double(), expected_CT, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(outputs.logits_BPK[0].double(), logits_PK, rtol=0, atol=1e-4)
    torch.testing.assert_close(outputs.offsets_BPG2[0, :, 0].double(), offsets_P2, rtol=0, atol=1e-4)
    report = backbone.load_report
    assert report is not None
    # Position table and final norm are part of the file alone; of the head neither report speaks.
    assert (report.missing, report.dropped) == ((), ("fc_norm.bias", "fc_norm.weight", "pos_embed"))
    told = capsys.readouterr().out
    assert told.startswith(f"head: {tmp_path / 'adatad.pth'} (OpenTAD detector layout")
    assert "not used" not in told


def test_a_backbone_with_weights_of_its_own_keeps_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(adatad(), tmp_path / "adatad.pth")
    backbone = vit()
    torch.save(vit().state_dict(), tmp_path / "vit.pth")
    backbone.load_report = load_weights(backbone, tmp_path / "vit.pth")
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    start_from(str(tmp_path / "adatad.pth"), backbone, build(in_channels=D), classes=K)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert backbone.load_report.source == str(tmp_path / "vit.pth")
    assert f"; not used: backbone ({5 + 22 * DEPTH})" in capsys.readouterr().out


def test_a_head_alone_leaves_the_backbone_as_it_is(tmp_path: Path) -> None:
    torch.save(detector()[1], tmp_path / "release.pth")
    backbone, head = vit(embed_dim=IN), build()
    start_from(str(tmp_path / "release.pth"), backbone, head, classes=K)
    assert backbone.load_report is None
    assert torch.equal(head.neck[0].weight, detector()[0]["neck.fpn_norms.0.weight"])


def test_a_run_stands_on_the_detector_that_it_starts_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(adatad(), tmp_path / "adatad.pth")
    monkeypatch.chdir(tmp_path)
    sizes = {"backbone.embed_dim": D, "backbone.depth": DEPTH, "backbone.heads": VIT_HEADS, "head.heads": HEADS}
    sizes |= {"head.channels": C, "head.convs": CONVS, "head.stem": STEM, "head.levels": LEVELS}
    overrides = ["backbone=vmae_s", "adapter=tia", "backbone.weights=null", "weights=adatad.pth"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[*overrides, *(f"{name}={value}" for name, value in sizes.items())])
    detector = build_detector(cfg, taxonomy=MMA52)
    assert torch.equal(detector.head.neck[0].weight, adatad()["neck.fpn_norms.0.weight"])
    told = recipe(cfg, detector, taxonomy=MMA52)
    assert told["config"]["backbone"]["weights"] == str(tmp_path / "adatad.pth")
    assert told["identity"] == fingerprint(detector.backbone)
