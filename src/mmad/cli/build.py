"""Objects from configuration, and detectors from checkpoints."""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torchvision.transforms.v2 import Compose

from mmad.backbones.checkpoints import fingerprint, load_weights
from mmad.backbones.videomae import VideoMAE
from mmad.cli.entry import warn
from mmad.cli.versions import versions
from mmad.data.transforms import CoverCrop, StillChunks, read_side
from mmad.data.video import RESIZE
from mmad.detector import NMS, Detector
from mmad.errors import MmadError
from mmad.formats.weights_file import LoadReport
from mmad.heads.checkpoints import HEAD, load_head_weights
from mmad.prediction.video_detector import VideoDetector
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy

UNTOLD = 0.1
"""Threshold of detectors that were never validated."""


def build_detector(cfg: DictConfig, *, taxonomy: Taxonomy) -> Detector:
    """The configured backbone and head; the head's size follows the taxonomy.

    `cfg.weights` may name a published detector that both start from, see `start_from`.
    """
    backbone = instantiate(cfg.backbone, _convert_="all")
    head = instantiate(cfg.head, classes=len(taxonomy.actions), _convert_="all")
    if cfg.get("weights") is not None:
        start_from(cfg.weights, backbone, head, classes=len(taxonomy.actions))
    return Detector(backbone, head, nms=_tried(instantiate(cfg.nms)))


def _tried(nms: partial) -> NMS:
    """An NMS whose options are known to be right before training, after which it is called first.

    Raises:
        MmadError: it has no such option, or not with such a value.
    """
    if foreign := sorted(nms.keywords.keys() - inspect.signature(nms.func).parameters.keys()):
        raise MmadError(
            f"{nms.func.__name__} has no option {foreign[0]}, which the experiment or the command line sets: choose "
            f"the other nms=..., or take the option out with '~nms.{foreign[0]}'."
        )
    one: Segments = {"segments": torch.tensor([[0.0, 1.0]]), "labels": torch.tensor([0]), "scores": torch.tensor([1.0])}
    try:
        nms(one)
    except TypeError as error:
        raise MmadError(f"The options of nms do not work ({error}): give each the number that it needs.") from error
    return nms


def start_from(source: str, backbone: nn.Module, head: nn.Module, *, classes: int) -> None:
    """Fills a head from a published detector and says what came of it; a ViT beside it fills a VideoMAE.

    A backbone that has weights of its own keeps them. TIA adapters come with their ViT where the backbone has the same.

    Args:
        source: a checkpoint of OpenTAD (such as AdaTAD's), of actionformer_release, or of the authors of TadTR,
            PointTAD or MS-TCT.
        backbone, head: changed in place.
        classes: K of the head.

    Raises:
        MmadError: the file cannot be read, or is of another model.
    """
    report = load_head_weights(head, source, classes=classes)
    has_vit = any(name.startswith("backbone.model.backbone.blocks.") for name in report.dropped)
    if has_vit and isinstance(backbone, VideoMAE) and backbone.load_report is None:
        loaded = load_weights(backbone, source)
        # Of one file, neither report names what the other part uses.
        dropped = tuple(name for name in loaded.dropped if not name.startswith(HEAD))
        backbone.load_report, report = replace(loaded, dropped=dropped), replace(report, dropped=())
    head.load_report = report  # type: ignore[assignment]
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        print(f"head: {report}")
        if getattr(head, "published", True) is False:
            warn(["the file was trained by the published code; head.published=true gives that code's answers"])


def recipe(cfg: DictConfig, detector: Detector, *, taxonomy: Taxonomy) -> dict[str, Any]:
    """What a checkpoint carries so that its detector can be built again; plain data.

    `identity` names the weights that the checkpoint stands on without holding them. It is None where no file holds the
    frozen weights, or where nothing is frozen.
    """
    parts = ("backbone", "head", "nms", "data", "seed")  # each with its adapter, grid and augmentation inside
    report: LoadReport | None = detector.backbone.load_report  # type: ignore[assignment]
    stands_on_file = report is not None and cfg.adapter.trains != "everything"
    config = {part: _plain(cfg, part) for part in parts}
    # Another working folder, or another user, will read this.
    if report is not None and stands_on_file and not report.source.startswith("builtin:"):
        config["backbone"]["weights"] = str(Path(report.source).expanduser().resolve())
    if cfg.data.make is None:
        config["data"]["root"] = str(Path(cfg.data.root).expanduser().resolve())
    else:
        config["data"]["root"] = OmegaConf.to_container(cfg.data, resolve=False)["root"]  # type: ignore[call-overload,index]
    return {
        "config": config,
        "taxonomy": {
            "actions": list(taxonomy.actions),
            "codes": list(taxonomy.codes),
            "bodies": list(taxonomy.bodies),
            "body_of": list(taxonomy.body_of),
        },
        "identity": fingerprint(detector.backbone) if stands_on_file else None,
        "resize": RESIZE,
        "versions": versions(),
    }


def _plain(cfg: DictConfig, part: str) -> Any:
    node = cfg[part]
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of `mmad-train`, as plain data.

    Raises:
        MmadError: the file is absent or something else.
    """
    if not path.is_file():
        raise MmadError(f"{path}: there is no such checkpoint; runs keep theirs in <run>/checkpoints/.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise MmadError(
            f"{path}: this is not a checkpoint of mmad-train, or it is damaged; pass a run's checkpoints/best.ckpt."
        ) from error
    if not isinstance(checkpoint, dict) or "mmad" not in checkpoint:
        raise MmadError(
            f"{path}: this file was not written by mmad-train (weights of other projects go into backbone.weights); "
            f"pass a run's checkpoints/best.ckpt."
        )
    return checkpoint


def detector_of(checkpoint: dict[str, Any], *, weights: str | None = None) -> tuple[Detector, Taxonomy, DictConfig]:
    """The detector of a checkpoint, its classes and its configuration.

    Args:
        checkpoint: as `read_checkpoint` gives it.
        weights: file of the frozen backbone's weights, if it is not where it was in training.

    Raises:
        MmadError: the frozen weights are not those that the checkpoint was trained on, or it holds them all, or
            pictures get their size in another way than they did then.
    """
    told = checkpoint["mmad"]
    if told.get("resize", RESIZE) != RESIZE:
        raise MmadError(
            f"The checkpoint was trained on pictures scaled by {told['resize']}, this version of mmad scales by "
            f"{RESIZE}; use the version it was trained with ({told['versions'].get('mmad')}), or train again."
        )
    cfg = OmegaConf.create(told["config"])
    taxonomy = Taxonomy(**{name: tuple(values) for name, values in told["taxonomy"].items()})
    if told["identity"] is None:
        if weights is not None:
            raise MmadError(f"weights={weights}: this checkpoint holds all of its weights itself; leave weights out.")
        cfg.backbone.weights = None
    elif weights is not None:
        cfg.backbone.weights = weights
    source = cfg.backbone.weights
    if source is not None and not source.startswith("builtin:") and not Path(source).is_file():
        raise MmadError(
            f"The checkpoint stands on the backbone weights in {source}, which is not there; pass weights=FILE with "
            f"the file that it was trained on."
        )
    detector = build_detector(cfg, taxonomy=taxonomy)
    load_trained(detector, checkpoint, weights=cfg.backbone.weights)
    return detector, taxonomy, cfg


def load_detector(
    checkpoint: str | Path,
    *,
    weights: str | None = None,
    threshold: float | None = None,
    device: torch.device | str | None = None,
    precision: Callable[[], AbstractContextManager] = nullcontext,
    batch_size: int = 1,
) -> VideoDetector:
    """A trained detector that is called with video files.

    Args:
        checkpoint: of `mmad-train`; it holds all that is needed but frozen weights that came from a file.
        weights: that file, if it is not where it was in training.
        threshold: score from which on a detection is shown; None for those that gave each class the best F1 on the
            validation clips.
        device: None for a GPU if there is one.
        precision: context in which the model runs.
        batch_size: windows that the model sees at once.

    Raises:
        MmadError: the file is no checkpoint of ours, its frozen weights are not there, or it takes features.
    """
    known = read_checkpoint(Path(checkpoint))
    detector, taxonomy, cfg = detector_of(known, weights=weights)
    if cfg.data.resolution is None:
        raise MmadError(
            f"{checkpoint}: this detector takes features, not videos; extract those of the videos with mmad-extract, "
            f"then mmad-eval checkpoint={checkpoint} root=FOLDER"
        )
    told, remarks = known["mmad"], []
    if "fps" not in told:
        remarks.append(f"{checkpoint} does not tell the frame rates of its training; each video is seen at its own")
    if threshold is None and told.get("thresholds") is None:
        threshold = UNTOLD
        remarks.append(f"{checkpoint} holds no thresholds from validation; {UNTOLD} is used, choose with threshold=...")
    warn(remarks)
    crop = CoverCrop(cfg.data.resolution)
    return VideoDetector(
        detector,
        taxonomy=taxonomy,
        grid=instantiate(cfg.data.grid),
        rates=tuple(told.get("fps", (0.0, float("inf")))),
        short_side=read_side(cfg.data.resolution),
        transform=Compose([StillChunks(), crop]) if cfg.data.get("control") == "still" else crop,
        thresholds=told["thresholds"] if threshold is None else [threshold] * len(taxonomy.actions),
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        precision=precision,
        batch_size=batch_size,
    )


def load_trained(detector: Detector, checkpoint: dict[str, Any], *, weights: str | None) -> None:
    """Fills a detector from a checkpoint and checks the frozen weights that it stands on.

    Raises:
        MmadError: the checkpoint belongs to another model or to other frozen weights.
    """
    state = {
        name.removeprefix("detector."): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith("detector.")
    }
    own = detector.state_dict()
    frozen = {name for name, p in detector.named_parameters() if not p.requires_grad}
    identity = checkpoint["mmad"]["identity"]
    absent = own.keys() - state.keys() - (frozen if identity is not None else set())
    foreign = state.keys() - own.keys()
    other = {name for name in state.keys() & own.keys() if state[name].shape != own[name].shape}
    if wrong := sorted(absent | foreign | other):
        raise MmadError(
            f"The checkpoint is of another model: {len(wrong)} tensors do not fit, like {wrong[0]}; use the adapter, "
            f"backbone, head and resolution that it was trained with."
        )
    if identity is not None and fingerprint(detector.backbone) != identity:
        raise MmadError(
            f"The checkpoint was trained on other frozen backbone weights than {weights}; pass the file that it was "
            f"trained with."
        )
    detector.load_state_dict(state, strict=False)
