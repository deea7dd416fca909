"""Read the heads of published detectors: those of OpenTAD and of actionformer_release."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor, nn

from mmad.errors import MmadError
from mmad.formats.weights_file import LoadReport, WeightsFile, read_weights

HEAD = ("projection.", "neck.", "rpn_head.")
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

NO_PARAMETER = re.compile(r"(^|\.)(loss_normalizer|shift_conv\.weight)$")
"""What a file holds beside parameters: the mean number of positives, which averaging cuts to an integer, and
constants."""

FIX = "give head, grid and backbone the settings that the file was trained with"


def load_head_weights(head: nn.Module, source: str | Path, *, classes: int) -> LoadReport:
    """Fills a head from a published detector.

    `OPENTAD_KEYS` in the head's module tells how OpenTAD's names become ours. What leaves no trace in the parameters,
    such as the number of attention heads or the attention's window, has to be set as the file was trained. Since July
    2024, OpenTAD's norms outside of attention blocks add 1e-6 to the variance, where ours and actionformer_release's
    add 1e-5; that moves logits by less than 1e-4.

    Args:
        head: changed in place.
        source: a checkpoint of OpenTAD or actionformer_release.
        classes: K of the head. Layers of classes stay as they are where the file has another number of classes.

    Returns:
        What was loaded, missing and dropped; dropped are the parts of the detector that come before the head.

    Raises:
        MmadError: the file cannot be read, or is of another head or of other sizes.

    Source: sming256/OpenTAD and happyharrycn/actionformer_release on GitHub.
    """
    keys = getattr(sys.modules[type(head).__module__], "OPENTAD_KEYS", None)
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
    counts = {len(theirs[name]) for name in left if name not in misfits}
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
    """The layout's name, the head's tensors by OpenTAD's names, and the names of all others."""
    if any(name.startswith("rpn_head.") for name in file.tensors):
        of_head = {name: tensor for name, tensor in file.tensors.items() if name.startswith(HEAD)}
        return "OpenTAD detector", of_head, tuple(sorted(file.tensors.keys() - of_head.keys()))
    if any(name.startswith("cls_head.cls_head.") for name in file.tensors):
        return "actionformer_release", {_renamed(name, ACTIONFORMER_KEYS): t for name, t in file.tensors.items()}, ()
    found = f"names such as {', '.join(sorted(file.tensors)[:3])}" if file.tensors else "no tensors"
    raise MmadError(
        f"{file.path} is in no known layout of detectors (it holds {found}); pass a checkpoint of OpenTAD or "
        "actionformer_release, and a file of a backbone alone as backbone.weights."
    )


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
    """Whether the two differ in nothing but the number of classes."""
    return ours.shape[:1] == (classes,) and theirs.ndim == ours.ndim and theirs.shape[1:] == ours.shape[1:]
