"""Counts what trains in a backbone under each adapter, and in each head: `python benchmarks/parameters.py [BACKBONE]`.

The MMAD paper's Table 4 counts in units of 2^20. The bias of the attention keys, which has no effect and which the
published networks do not have, is left out.
"""

import sys

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mmad.cli.entry import conf_dir, prepare_environment

PAPER = {"standard": "0.85", "tia": "0.96", "dsta": "1.80", "full": "20.89"}


def trainable(backbone: str, adapter: str) -> int:
    """Trainable parameters of a backbone under an adapter setting."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        overrides = [f"backbone={backbone}", f"adapter={adapter}", "backbone.weights=null", "data.resolution=160"]
        cfg = compose("train", overrides=overrides)
    model = instantiate(cfg.backbone, _convert_="all")
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    key_biases = sum(b.attn.qkv.bias.numel() // 3 for b in model.blocks if b.attn.qkv.bias.requires_grad)
    return count - key_biases


def of_head(head: str) -> int:
    """Parameters of a head on features of VideoMAE V2-g, for MMA-52's classes."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"head={head}", "recipe=paper", "backbone=vmae_g", "grid.levels=6"])
    with torch.device("meta"):
        return sum(p.numel() for p in instantiate(cfg.head, classes=52).parameters())


def main() -> None:
    prepare_environment()
    backbone = sys.argv[1] if len(sys.argv) > 1 else "vmae_s"
    print(f"{'adapter':<10}{'trainable':>12}{'/ 2^20':>9}   paper, ViT-S")
    for adapter in ("frozen", "standard", "tia", "dsta", "full"):
        count = trainable(backbone, adapter)
        print(f"{adapter:<10}{count:>12,}{count / 2**20:>9.2f}   {PAPER.get(adapter, '')}")
    print(f"\n{'head':<14}{'parameters':>12}")
    for head in sorted(path.stem for path in (conf_dir() / "head").glob("*.yaml")):
        print(f"{head:<14}{of_head(head):>12,}")


if __name__ == "__main__":
    main()
