"""Files of detectors with OpenTAD's names."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from mmad.heads.checkpoints import load_head_weights


def check_file_fills(
    head: nn.Module, keys: Sequence[str], patterns: Iterable[tuple[str, str]], *, classes: int, path: Path
) -> None:
    """A file that holds these names, and random numbers, becomes the head's parameters, each in its place.

    Args:
        head: whose parameters are filled.
        keys: names of the tensors of OpenTAD's detector.
        patterns: `OPENTAD_KEYS` of the head's module.
        classes: K of the head.
        path: where to write the file.
    """
    pieces = {}
    for name, parameter in head.named_parameters():
        levels = {f"{name}.{level}": piece for level, piece in enumerate(parameter)}
        pieces |= levels if name.endswith("scale_L") else {name: parameter}
    place = {}
    for key in keys:
        name = key
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        place[key] = name
    theirs = {key: torch.randn_like(pieces[name]) for key, name in place.items() if name in pieces}
    assert {place[key] for key in theirs} == pieces.keys()
    constants = {key: torch.tensor(250.0) for key in keys if key not in theirs}
    ema = {f"module.{key}": tensor.detach() for key, tensor in {**theirs, **constants}.items()}
    torch.save({"epoch": 3, "state_dict": {}, "state_dict_ema": ema}, path)
    report = load_head_weights(head, path, classes=classes)
    assert (report.loaded, report.missing, report.dropped) == (len(pieces), (), ())
    for key, tensor in theirs.items():
        assert torch.equal(pieces[place[key]], tensor), key
