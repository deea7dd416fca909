"""One random model in every published layout, our own files, and the messages for files that do not fit."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmad.adapters.dsta import DSTA
from mmad.adapters.tia import TIA
from mmad.backbones.checkpoints import fingerprint, frozen_names, load_weights, save_weights
from mmad.backbones.videomae import VideoMAE
from mmad.errors import MmadError

State = dict[str, torch.Tensor]


def official(model: VideoMAE) -> State:
    """The names of the VideoMAE repository: query and value biases apart, no key bias."""
    state: State = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("attn.qkv.bias"):
            q, _, v = tensor.chunk(3)
            state[name.replace("qkv.bias", "q_bias")] = q
            state[name.replace("qkv.bias", "v_bias")] = v
        else:
            state[name] = tensor
    return state


def fine_tuned(model: VideoMAE) -> Any:
    extra = {
        "fc_norm.weight": torch.ones(24),
        "fc_norm.bias": torch.ones(24),
        "head.weight": torch.ones(400, 24),
    }
    return {"model": {**official(model), **extra}}


def deepspeed_v2(model: VideoMAE) -> Any:
    return {"module": fine_tuned(model)["model"]}


def pre_trained(model: VideoMAE) -> Any:
    state = {f"encoder.{name}": tensor for name, tensor in official(model).items()}
    for name in (
        "encoder.norm.weight",
        "mask_token",
        "encoder_to_decoder.weight",
        "decoder.blocks.0.norm1.weight",
    ):
        state[name] = torch.ones(24)
    return {"model": state, "epoch": 1600}


def mmaction_names(model: VideoMAE) -> State:
    replace = (
        ("patch_embed.proj.", "patch_embed.projection."),
        ("mlp.fc1", "mlp.layers.0.0"),
        ("mlp.fc2", "mlp.layers.1"),
    )
    state: State = {"pos_embed": torch.ones(1, 1568, 24), "fc_norm.weight": torch.ones(24)}
    for name, tensor in official(model).items():
        for ours, theirs in replace:
            name = name.replace(ours, theirs)
        state[name] = tensor
    return state


def mmaction(model: VideoMAE) -> Any:
    state = {f"backbone.{name}": tensor for name, tensor in mmaction_names(model).items()}
    return {"state_dict": {**state, "cls_head.fc_cls.weight": torch.ones(400, 24)}, "meta": {"epoch": 100}}


def opentad(model: VideoMAE) -> Any:
    """A detector after data-parallel training; its averaged weights are the ones in use."""
    state: State = {}
    for name, tensor in mmaction_names(model).items():
        if name.startswith("adapters."):
            _, i, rest = name.split(".", 2)
            name = f"blocks.{i}.adapter.{'gamma' if rest == 'alpha' else rest}"
        state[f"module.backbone.model.backbone.{name}"] = tensor
    state["module.rpn_head.cls_head.weight"] = torch.ones(52, 512, 3)
    last = {name: torch.full_like(tensor, 9.0) for name, tensor in state.items()}
    return {"epoch": 60, "state_dict": last, "state_dict_ema": state}


def hugging_face(model: VideoMAE, *, prefix: str = "videomae.", bias: str = "_bias") -> State:
    state: State = {f"{prefix}layernorm.weight": torch.ones(24), "classifier.weight": torch.ones(400, 24)}
    renames = (
        ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
        ("blocks.", "encoder.layer."),
        (".attn.proj.", ".attention.output.dense."),
        (".norm1.", ".layernorm_before."),
        (".norm2.", ".layernorm_after."),
        (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
    )
    for name, tensor in official(model).items():
        for ours, theirs in renames:
            name = name.replace(ours, theirs)
        name = prefix + name
        if name.endswith("attn.qkv.weight"):
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                state[name.replace("attn.qkv", f"attention.attention.{part}")] = piece.contiguous()
        elif name.endswith(("attn.q_bias", "attn.v_bias")):
            stem, letter = name[: -len("attn.q_bias")], name[-6]
            part = letter + "_bias" if bias == "_bias" else {"q": "query", "v": "value"}[letter] + ".bias"
            state[f"{stem}attention.attention.{part}"] = tensor
        else:
            state[name] = tensor
    return state


LAYOUTS: dict[str, tuple[str, Callable[[VideoMAE], Any]]] = {
    "fine-tuned": ("official fine-tuning", fine_tuned),
    "v2": ("official fine-tuning", deepspeed_v2),
    "pre-trained": ("official pre-training", pre_trained),
    "mmaction2": ("mmaction2 recogniser", mmaction),
    "opentad": ("OpenTAD detector", opentad),
    "hf q_bias": ("Hugging Face", hugging_face),
    "hf query.bias": ("Hugging Face", lambda model: hugging_face(model, bias=".bias")),
    "hf encoder": ("Hugging Face", lambda model: hugging_face(model, prefix="")),
    "ours": ("mmad", lambda model: model.state_dict()),
    "ours in data parallel": (
        "mmad",
        lambda model: {f"module.{k}": v for k, v in model.state_dict().items()},
    ),
}


@pytest.fixture
def source(tiny: Any) -> VideoMAE:
    return tiny(seed=0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_features(
    name: str, source: VideoMAE, tiny: Any, clip: torch.Tensor, tmp_path: Path
) -> None:
    layout, write = LAYOUTS[name]
    torch.save(write(source), tmp_path / "weights.pth")
    model = tiny(seed=1)
    with torch.no_grad():
        assert (model(clip) - source(clip)).abs().max() > 0.1
        report = load_weights(model, tmp_path / "weights.pth")
        assert torch.equal(model(clip), source(clip))
    assert report.format == layout
    assert report.loaded == len(model.state_dict())
    assert report.missing == ()


def test_safetensors_of_hugging_face(source: VideoMAE, tiny: Any, clip: torch.Tensor, tmp_path: Path) -> None:
    save_file(hugging_face(source), tmp_path / "model.safetensors")
    model = tiny(seed=1, weights=str(tmp_path / "model.safetensors"))
    load_weights(model, tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(model(clip), source(clip))


def test_report_names_what_was_dropped(source: VideoMAE, tiny: Any, tmp_path: Path) -> None:
    torch.save(pre_trained(source), tmp_path / "pre.pth")
    report = load_weights(tiny(), tmp_path / "pre.pth")
    assert report.dropped == (
        "decoder.blocks.0.norm1.weight",
        "encoder_to_decoder.weight",
        "mask_token",
        "norm.weight",
    )
    assert str(report) == (
        f"{tmp_path / 'pre.pth'} (official pre-training layout, sha256 {report.sha256[:12]}): 26 tensors "
        "loaded; not used: decoder (1), encoder_to_decoder (1), mask_token (1), norm (1)"
    )


def test_weights_are_loaded_by_the_constructor(source: VideoMAE, tmp_path: Path) -> None:
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    model = VideoMAE(
        embed_dim=24,
        depth=2,
        heads=2,
        resolution=(48, 32),
        frames_per_step=2,
        weights=str(tmp_path / "vit.pth"),
    )
    assert model.load_report is not None
    assert model.load_report.source == str(tmp_path / "vit.pth")
    assert torch.equal(model.blocks[1].mlp.fc2.weight, source.blocks[1].mlp.fc2.weight)


def randomise_adapters(model: VideoMAE) -> VideoMAE:
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.adapters.parameters():
            parameter.normal_()
    return model


def test_adapters_of_a_published_detector(tiny: Any, clip: torch.Tensor, tmp_path: Path) -> None:
    source = randomise_adapters(tiny(seed=0, adapter=TIA))
    torch.save(opentad(source), tmp_path / "detector.pth")
    model = tiny(seed=1, adapter=TIA)
    report = load_weights(model, tmp_path / "detector.pth")
    assert report.missing == ()
    with torch.no_grad():
        assert torch.equal(model(clip), source(clip))


@pytest.mark.parametrize("adapter", [None, DSTA])
def test_adapters_of_another_kind_are_left_out_whole(tiny: Any, tmp_path: Path, adapter: Any) -> None:
    source = randomise_adapters(tiny(seed=0, adapter=TIA))
    torch.save(opentad(source), tmp_path / "detector.pth")
    model = tiny(seed=1, adapter=adapter)
    before = {name: tensor.clone() for name, tensor in model.adapters.state_dict().items()}
    report = load_weights(model, tmp_path / "detector.pth")
    assert len([name for name in report.dropped if name.startswith("adapters.")]) == 18
    assert set(report.missing) == {f"adapters.{name}" for name in before}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.adapters.state_dict().items())
    if adapter is not None:
        assert "left as initialised: adapters (20)" in str(report)


def test_own_files_keep_everything_but_adapters(tiny: Any, clip: torch.Tensor, tmp_path: Path) -> None:
    settings = {"position": "learned", "pooling": "grid"}
    source = tiny(seed=0, adapter=DSTA, **settings)
    save_weights(source, tmp_path / "tiny.safetensors", {"data": "drawn clips"})
    stored = load_file(tmp_path / "tiny.safetensors")
    assert all(tensor.dtype == torch.float16 for tensor in stored.values())
    assert not any(name.startswith("adapters.") for name in stored)
    model = tiny(seed=1, **settings)
    report = load_weights(model, tmp_path / "tiny.safetensors")
    assert report.missing == report.dropped == ()
    with torch.no_grad():
        torch.testing.assert_close(model(clip), source(clip), rtol=2e-2, atol=2e-2)


def test_another_grid_resamples_places_and_leaves_the_pooling(tiny: Any, tmp_path: Path) -> None:
    settings = {"position": "learned", "pooling": "grid"}
    source = tiny(seed=0, **settings)
    with torch.no_grad():  # a ramp over the 3 rows, which bilinear interpolation to 6 rows keeps in between
        source.pos_space.copy_(torch.arange(3.0).repeat_interleave(2)[None, :, None].expand(1, 6, 24))
    save_weights(source, tmp_path / "tiny.safetensors", {})
    model = tiny(seed=1, resolution=(96, 32), **settings)
    start = model.pool.weight.clone()
    report = load_weights(model, tmp_path / "tiny.safetensors")
    rows = model.pos_space.detach().view(6, 2, 24)[:, 0, 0]
    torch.testing.assert_close(rows, torch.tensor([0.0, 0.25, 0.75, 1.25, 1.75, 2.0]))
    assert torch.equal(model.pos_time.half(), source.pos_time.half())
    assert torch.equal(model.pool.weight, start)
    assert set(report.missing) == {"pool.weight", "pool.bias"}


def test_a_transposed_grid_is_another_grid(tiny: Any, tmp_path: Path) -> None:
    settings = {"position": "learned", "pooling": "grid"}
    save_weights(tiny(**settings), tmp_path / "tiny.safetensors", {})
    report = load_weights(tiny(resolution=(32, 48), **settings), tmp_path / "tiny.safetensors")
    assert set(report.missing) == {"pool.weight", "pool.bias"}


def test_published_weights_leave_a_learned_table_as_initialised(source: VideoMAE, tiny: Any, tmp_path: Path) -> None:
    torch.save(fine_tuned(source), tmp_path / "ft.pth")
    report = load_weights(tiny(position="learned", pooling="grid"), tmp_path / "ft.pth")
    assert set(report.missing) == {"pos_space", "pos_time", "pool.weight", "pool.bias"}


def test_builtin_weights(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    save_weights(tiny(), tmp_path / "weights" / "small.safetensors", {})
    monkeypatch.setattr("mmad.backbones.checkpoints.files", lambda package: tmp_path)
    assert load_weights(tiny(seed=1), "builtin:small").source == "builtin:small"
    with pytest.raises(MmadError, match=r"weights=builtin:large does not ship with mmad"):
        load_weights(tiny(), "builtin:large")


def test_fingerprint_stands_for_the_frozen_values(tiny: Any) -> None:
    frozen = tiny(trains="adapters", adapter=TIA)
    assert frozen_names(frozen) == {n for n, _ in frozen.named_parameters() if not n.startswith("adapters.")}
    first = fingerprint(frozen)
    randomise_adapters(frozen)
    assert fingerprint(frozen) == first == fingerprint(tiny(trains="adapters", adapter=TIA).double())
    with torch.no_grad():
        frozen.blocks[0].norm1.bias[3] += 1e-3
    assert fingerprint(frozen) != first


@pytest.mark.parametrize("trains", ["nothing", "adapters"])
def test_fingerprint_of_the_shipped_weights_stays(trains: str) -> None:
    """Checkpoints and features of earlier versions name it."""
    model = VideoMAE(
        embed_dim=96,
        depth=2,
        heads=3,
        resolution=(64, 48),
        frames_per_step=2,
        position="learned",
        pooling="grid",
        adapter=TIA if trains == "adapters" else None,
        trains=trains,
        weights="builtin:vmae_tiny",
    )
    assert fingerprint(model) == "012493dad952b10662bf04d1c5ce240b2480abb818269da1245553415dc32f94"


def test_fingerprint_tells_the_statistics_of_norms_and_no_counters() -> None:
    """Which decide what a frozen network sees as much as its weights do."""
    network = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 1), torch.nn.BatchNorm3d(4)).requires_grad_(False)
    first = fingerprint(network)
    network[1].num_batches_tracked += 1
    assert fingerprint(network) == first
    network[1].running_var[2] += 1e-3
    assert fingerprint(network) != first


def without(state: State, name: str) -> State:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"embed_dim": 384, "depth": 12, "heads": 6},
            r"holds a ViT with width 24, 2 blocks and patch 16, but backbone=vmae_s needs width 384, 12 "
            r"blocks and patch 16; pass the matching file\.",
        ),
        ({"depth": 3}, r"holds a ViT with width 24, 2 blocks .* but the backbone needs width 24, 3 blocks"),
        ({"patch": 8}, r"patch 16, but the backbone needs .* patch 8"),
        (
            {"mlp_ratio": 2.0},
            r"has blocks\.0\.mlp\.fc1\.weight of shape \(96, 24\), but the backbone needs \(48, 24\)",
        ),
    ],
)
def test_another_model_is_refused(source: VideoMAE, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    torch.save(official(source), tmp_path / "vit.pth")
    defaults = {"embed_dim": 24, "depth": 2, "heads": 2, "resolution": 48, "frames_per_step": 2}
    with torch.device("meta"):
        model = VideoMAE(**{**defaults, **settings})
    with pytest.raises(MmadError, match=message):
        load_weights(model, tmp_path / "vit.pth")


def test_a_published_size_names_its_configuration(tmp_path: Path, tiny: Any) -> None:
    state = {f"blocks.{i}.attn.qkv.bias": torch.zeros(1) for i in range(12)}
    torch.save({**state, "patch_embed.proj.weight": torch.zeros(768, 3, 2, 16, 16)}, tmp_path / "base.pth")
    with pytest.raises(MmadError, match=r"pass the matching file or backbone=vmae_b\.$"):
        load_weights(tiny(), tmp_path / "base.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: without(state, "blocks.1.norm2.bias"),
            r"\(official fine-tuning layout\) lacks blocks\.1\.norm2\.bias",
        ),
        (lambda state: without(state, "blocks.1.attn.v_bias"), r"lacks blocks\.1\.attn\.qkv\.bias"),
        (
            lambda state: without(state, "patch_embed.proj.weight"),
            r"has no patch embedding of video tubelets",
        ),
        (
            lambda state: {**state, "blocks.0.gamma_1": torch.ones(24)},
            r"has blocks\.0\.gamma_1, a part that this ViT lacks",
        ),
        (lambda state: {"conv1.weight": torch.ones(3)}, r"no known layout .* names such as conv1\.weight"),
        (lambda state: {"epoch": 3}, r"no known layout .* holds no tensors"),
        (lambda state: torch.ones(3), r"holds a Tensor where a dictionary of tensors was expected"),
        (lambda state: {**state, "args": Namespace(lr=1)}, r"holds Python objects beside its tensors"),
    ],
)
def test_files_that_do_not_fit(source: VideoMAE, tiny: Any, tmp_path: Path, change: Any, message: str) -> None:
    torch.save(change(official(source)), tmp_path / "vit.pth")
    with pytest.raises(MmadError, match=message):
        load_weights(tiny(), tmp_path / "vit.pth")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.pth", None, r"There is no file of weights at .*absent\.pth"),
        ("text.pth", b"hello, I am no checkpoint", r"text\.pth is not a (whole )?PyTorch file of weights"),
        ("empty.pth", b"", r"empty\.pth is not a whole PyTorch file of weights"),
        ("cut.safetensors", b"\x10\x00\x00", r"cut\.safetensors is not a whole safetensors file"),
    ],
)
def test_unreadable_files(tiny: Any, tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MmadError, match=message):
        load_weights(tiny(), tmp_path / name)


def test_a_truncated_file(source: VideoMAE, tiny: Any, tmp_path: Path) -> None:
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    whole = (tmp_path / "vit.pth").read_bytes()
    (tmp_path / "vit.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MmadError, match=r"not a whole PyTorch file"):
        load_weights(tiny(), tmp_path / "vit.pth")


def test_a_folder(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(MmadError, match=r"is a folder; pass the file of weights in it"):
        load_weights(tiny(), tmp_path)
