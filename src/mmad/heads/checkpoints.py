"""Read the heads of published detectors: those of OpenTAD, of actionformer_release and of three methods' authors."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from mmad.errors import MmadError
from mmad.formats.weights_file import LoadReport, WeightsFile, read_weights

HEAD = ("projection.", "neck.", "rpn_head.", "transformer.")
"""The parts of OpenTAD's detectors that are our head."""

ACTIONFORMER_KEYS: tuple[tuple[str, str], ...] = (
    (r"^backbone\.embd\.", "projection.embed."),
    (r"^backbone\.embd_norm\.(\d+)\.", r"projection.embed.\1.norm."),
    (r"^backbone\.(stem|branch)\.", r"projection.\1."),
    (r"^(cls|reg)_head\.head\.(\d+)\.", r"rpn_head.\1_convs.\2."),
    (r"^(cls|reg)_head\.norm\.(\d+)\.", r"rpn_head.\1_convs.\2.norm."),
    (r"^cls_head\.cls_head\.conv\.", "rpn_head.cls_head."),
    (r"^reg_head\.offset_head\.conv\.", "rpn_head.reg_head."),
    (r"^reg_head\.scale\.", "rpn_head.scale."),
)
"""From the names of actionformer_release to OpenTAD's."""

TADTR_KEYS: tuple[tuple[str, str], ...] = (
    (r"^input_proj\.0\.0\.", "projection.convs.0.conv."),
    (r"^input_proj\.0\.1\.", "projection.convs.0.norm."),
    (r"^query_embed\.", "transformer.query_embedding."),
    (r"\.level_embed$", ".level_embeds"),
    (r"^segment_embed\.", "transformer.bbox_embed."),
    (r"^(class_embed|actionness_pred)\.", r"transformer.\1."),
    (r"\.linear1\.", ".ffns.0.layers.0.0."),
    (r"\.linear2\.", ".ffns.0.layers.1."),
    (r"(encoder\.layers\.\d+)\.self_attn\.", r"\1.attentions.0."),
    (r"(decoder\.layers\.\d+)\.self_attn\.", r"\1.attentions.0.attn."),
    (r"\.cross_attn\.", ".attentions.1."),
    (r"(encoder\.layers\.\d+)\.norm1\.", r"\1.norms.0."),
    (r"(encoder\.layers\.\d+)\.norm2\.", r"\1.norms.1."),
    (r"(decoder\.layers\.\d+)\.norm2\.", r"\1.norms.0."),
    (r"(decoder\.layers\.\d+)\.norm1\.", r"\1.norms.1."),
    (r"(decoder\.layers\.\d+)\.norm3\.", r"\1.norms.2."),
)
"""From the names of TadTR's authors to OpenTAD's."""

TWICE = re.compile(r"^transformer\.decoder\.(bbox|class|segment)_embed\.")
"""What a file of TadTR holds a second time."""

AUTHORS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("PointTAD", "init_proposal_points.weight", ("decoder.", "init_proposal_", "linear_pred.")),
    (
        "MS-TCT",
        "Temporal_Mixer.linear_f1.proj.weight",
        ("TemporalEncoder.", "Temporal_Mixer.linear_f", *(f"Temporal_Mixer.linear{n}." for n in (1, 2, 3)), "Classfi"),
    ),
)
"""Layouts of methods that OpenTAD does not have: the name, a tensor that tells it, and how names of the head begin.

`PUBLISHED_KEYS` in the module of such a head are what `OPENTAD_KEYS` are in others.
"""

NO_PARAMETER = re.compile(r"(^|\.)(loss_normalizer|shift_conv\.weight)$")
"""What a file holds beside parameters: the mean number of positives, which averaging cuts to an integer, and
constants."""

FIX = "give head, grid and backbone the settings that the file was trained with"


def load_head_weights(head: nn.Module, source: str | Path, *, classes: int) -> LoadReport:
    """Fills a head from a published detector.

    `OPENTAD_KEYS` or `PUBLISHED_KEYS` in the head's module tells how OpenTAD's or its authors' names become ours. What
    leaves no trace in the parameters, such as the number of attention heads or the attention's window, has to be set as
    the file was trained. Since July 2024, OpenTAD's norms outside of attention blocks add 1e-6 to the variance, where
    ours and actionformer_release's add 1e-5; that moves logits by less than 1e-4.

    Args:
        head: changed in place.
        source: a checkpoint of OpenTAD, of actionformer_release, or of the authors of TadTR, PointTAD or MS-TCT.
        classes: K of the head. Layers of classes stay as they are where the file has another number of classes.

    Returns:
        What was loaded, missing and dropped; dropped are the parts of the detector that come before the head.

    Raises:
        MmadError: the file cannot be read, or is of another head or of other sizes.

    Source: sming256/OpenTAD, happyharrycn/actionformer_release, xlliu7/TadTR, MCG-NJU/PointTAD and dairui01/MS-TCT on
    GitHub.
    """
    module = sys.modules[type(head).__module__]
    keys = getattr(module, "OPENTAD_KEYS", None) or getattr(module, "PUBLISHED_KEYS", None)
    if keys is None:
        raise MmadError(f"weights={source}: {type(head).__name__} has no published weights; leave the option out.")
    file = read_weights(source, option="weights")
    layout, tensors, others = _split(file)
    theirs = {_renamed(name, keys): tensor for name, tensor in tensors.items() if not NO_PARAMETER.search(name)}
    ours = dict(_pieces(head))
    told = f"{file.path} ({layout} layout)"
    _check_names(told, ours=set(ours), theirs=set(theirs))
    left = [name for name, piece in ours.items() if _shape(theirs[name]) != _shape(piece)]
    misfits = [name for name in left if not _tells_classes(theirs[name], ours[name], classes)]
    counts = {len(theirs[name]) - len(ours[name]) + classes for name in left if name not in misfits}
    if misfits or len(counts) > 1:
        name = [*misfits, *left][0]
        came, expected = tuple(theirs[name].shape), tuple(ours[name].shape)
        raise MmadError(f"{told} has {name} of shape {came}, but the head needs {expected}; {FIX}.")
    for name in ours.keys() - set(left):
        ours[name].copy_(theirs[name].reshape(ours[name].shape))
    return LoadReport(
        source=str(source),
        format=layout,
        loaded=len(ours) - len(left),
        missing=tuple(left),
        dropped=others,
        sha256=file.sha256,
        why=f"as the file tells {counts.pop()} classes and not {classes}" if counts else "",
    )


def _split(file: WeightsFile) -> tuple[str, dict[str, Tensor], tuple[str, ...]]:
    """The layout's name, the head's tensors by OpenTAD's names or its authors', and the names of all others."""
    for layout, mark, parts in AUTHORS:
        if mark in file.tensors:
            own = {name: tensor for name, tensor in file.tensors.items() if name.startswith(parts)}
            return layout, own, tuple(sorted(file.tensors.keys() - own.keys()))
    if "query_embed.weight" in file.tensors:
        return "TadTR", {_renamed(name, TADTR_KEYS): t for name, t in file.tensors.items() if not TWICE.match(name)}, ()
    if any(name.startswith(("rpn_head.", "transformer.query_embedding.")) for name in file.tensors):
        of_head = {name: tensor for name, tensor in file.tensors.items() if name.startswith(HEAD)}
        others = tuple(sorted(file.tensors.keys() - of_head.keys()))
        if "transformer.query_embedding.weight" in of_head:
            of_head = _as_of_authors(of_head)
        return "OpenTAD detector", of_head, others
    if any(name.startswith("cls_head.cls_head.") for name in file.tensors):
        return "actionformer_release", {_renamed(name, ACTIONFORMER_KEYS): t for name, t in file.tensors.items()}, ()
    found = f"names such as {', '.join(sorted(file.tensors)[:3])}" if file.tensors else "no tensors"
    raise MmadError(
        f"{file.path} is in no known layout of detectors (it holds {found}); pass a checkpoint of OpenTAD, "
        "actionformer_release, TadTR, PointTAD or MS-TCT, and a file of a backbone alone as backbone.weights."
    )


def _as_of_authors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """OpenTAD's TadTR as its authors have it.

    OpenTAD's deformable attention reads half of every value, and its convolution has no bias.
    """
    own = {
        name: tensor / 2 if name.endswith(".output_proj.weight") else tensor
        for name, tensor in tensors.items()
        if not TWICE.match(name)
    }
    weight = own.get("projection.convs.0.conv.weight")
    return own if weight is None else {"projection.convs.0.conv.bias": torch.zeros(len(weight)), **own}


def _renamed(name: str, keys: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in keys:
        name = re.sub(pattern, replacement, name)
    return name


def _pieces(head: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The head's parameters, of which those with a number per level, as published, are one piece per level."""
    for name, parameter in head.named_parameters():
        if name.endswith("scale_L"):
            yield from ((f"{name}.{level}", piece) for level, piece in enumerate(parameter.detach()))
        else:
            yield name, parameter.detach()


def _check_names(told: str, *, ours: set[str], theirs: set[str]) -> None:
    lacks, foreign = sorted(ours - theirs), sorted(theirs - ours)
    parts = [f"lacks {len(lacks)} of the head's tensors, such as {lacks[0]}"] if lacks else []
    parts += [f"holds {len(foreign)} that it has no place for, such as {foreign[0]}"] if foreign else []
    if parts:
        raise MmadError(f"{told} {' and '.join(parts)}; {FIX}.")


def _shape(tensor: Tensor) -> list[int]:
    """Without axes of length 1, by which convolutions of kernel 1 differ from linear maps."""
    return [length for length in tensor.shape if length > 1]


def _tells_classes(theirs: Tensor, ours: Tensor, classes: int) -> bool:
    """Whether the two differ in nothing but the number of classes, among which the background may be one more."""
    if not (theirs.ndim and ours.ndim) or len(ours) not in (classes, classes + 1):
        return False
    return _shape(theirs[0]) == _shape(ours[0])
