"""The weights that ship with the package are those of their card."""

import hashlib
from pathlib import Path

import mmad.backbones
from mmad.backbones.videomae import VideoMAE

FOLDER = Path(mmad.backbones.__file__).parent / "weights"


def test_the_card_names_the_file() -> None:
    content = (FOLDER / "vmae_tiny.safetensors").read_bytes()
    card = (FOLDER / "vmae_tiny.md").read_text()
    assert hashlib.sha256(content).hexdigest() in card
    assert f"{len(content):,} bytes" in card
    assert len(content) < 4_000_000


def test_every_tensor_of_the_demo_backbone_is_filled() -> None:
    model = VideoMAE(
        embed_dim=96,
        depth=2,
        heads=3,
        resolution=(64, 48),
        frames_per_step=2,
        position="learned",
        pooling="grid",
        weights="builtin:vmae_tiny",
    )
    assert model.load_report is not None
    assert model.load_report.missing == ()
    assert model.load_report.loaded == len(model.state_dict())
