"""Pre-training a backbone by recognising the one action of each trimmed clip."""

import warnings
from collections.abc import Callable

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from mmad.data.clips import Batch
from mmad.errors import MmadError
from mmad.lit.optimizers import per_step
from mmad.lit.seeding import seed_step
from mmad.taxonomy import Taxonomy


class ClipClassifier(nn.Module):
    """Action and body group of a window from its features.

    Args:
        width: C, of the features.
        actions: K classes.
        bodies: G groups.

    Source: mean over all tokens, norm and linear map are VideoMAE's in fine-tuning (Tong et al., NeurIPS 2022).
    """

    def __init__(self, width: int, *, actions: int, bodies: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.action, self.body = nn.Linear(width, actions), nn.Linear(width, bodies)

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) of actions and (B, G) of body groups; only feature steps inside the mask count."""
        inside_B1T = mask_BT[:, None].to(feats_BCT.dtype)
        mean_BC = (feats_BCT * inside_B1T).sum(-1) / inside_B1T.sum(-1)
        normed_BC = self.norm(mean_BC)
        return self.action(normed_BC), self.body(normed_BC)


class RecognitionModule(L.LightningModule):
    """Teaches a backbone which action a trimmed clip shows, and the body group of it.

    In validation a clip is decided once, by the mean logits of all windows that cover it.

    Args:
        backbone: `forward(video_BCFHW, mask_BT) -> feats_BCT`.
        taxonomy: the classes and their body groups.
        label_smoothing: share of the target that is spread over all classes.
        optimizer: called with the backbone and the classifier.
        scheduler: called with the optimiser and `steps`, the optimiser steps of the run.
        seed: with the step, seeds dropped paths.

    Source: of the measures, the MA-52 benchmark (Guo et al., IEEE TCSVT 2024).
    """

    body_of: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        *,
        taxonomy: Taxonomy,
        label_smoothing: float,
        optimizer: Callable[[nn.Module, nn.Module], Optimizer],
        scheduler: Callable[..., LRScheduler],
        seed: int,
    ) -> None:
        super().__init__()
        if getattr(backbone, "adapters", None):
            raise MmadError("Recognition leaves weights without adapters; use adapter=full, or adapter=frozen.")
        if not 0 <= label_smoothing < 1:
            raise MmadError(f"objective.label_smoothing={label_smoothing}: choose a share of the target, 0 to below 1.")
        self.backbone, self.taxonomy, self.seed, self.label_smoothing = backbone, taxonomy, seed, label_smoothing
        actions, bodies = len(taxonomy.actions), len(taxonomy.bodies)
        if actions < 2:
            raise MmadError("Recognition tells classes apart, and the data have one; annotate more.")
        self.classifier = ClipClassifier(backbone.embed_dim, actions=actions, bodies=bodies)  # type: ignore[arg-type]
        self.register_buffer("body_of", torch.tensor(taxonomy.body_of), persistent=False)
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        # A class that is neither there nor predicted is left out of the macro mean. One body group is measured as two,
        # since torchmetrics knows no fewer; the second neither occurs nor is predicted.
        groups = max(bodies, 2)
        self.of_action = MetricCollection(
            {
                "top1": MulticlassAccuracy(actions, average="micro"),
                "top5": MulticlassAccuracy(actions, average="micro", top_k=min(5, actions)),
                **_f1(actions),
            },
            prefix="action_",
            compute_groups=False,
        )
        self.of_body = MetricCollection(
            {"top1": MulticlassAccuracy(groups, average="micro"), **_f1(groups)}, prefix="body_", compute_groups=False
        )
        self.of_body_head = MulticlassAccuracy(groups, average="micro")
        self.measures: dict[str, float] = {}
        self.measured_at = -1
        self.found: dict[int, int] = {}
        self._pending: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser; its schedule advances at every step."""
        optimizer = self.make_optimizer(self.backbone, self.classifier)
        return per_step(optimizer, self.make_scheduler, self.trainer)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Makes dropped paths depend on seed and step alone."""
        seed_step(self.seed, self.global_step)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B, K) of actions and (B, G) of body groups of B windows."""
        mask_BT = batch["mask_BT"]
        return self.classifier(self.backbone(batch["inputs"], mask_BT), mask_BT)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Cross-entropy of action and body group."""
        # Not the window's ground truth: a piece that holds too little of an instance has none.
        clips = self.trainer.datamodule.taught  # type: ignore[attr-defined]
        actions = torch.tensor([clips[window.clip].instances[0].label for window in batch["windows"]])
        actions = actions.to(self.body_of.device)
        of_action, of_body = (
            F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            for logits, labels in zip(self(batch), (actions, self.body_of[actions]), strict=True)
        )
        size = len(batch["windows"])
        for name, value in (("loss", of_action + of_body), ("action_loss", of_action), ("body_loss", of_body)):
            self.log(f"train/{name}", value.detach(), on_step=False, on_epoch=True, sync_dist=True, batch_size=size)
        return of_action + of_body

    def on_validation_epoch_start(self) -> None:
        """Forgets what the last evaluation found."""
        self.found, self._pending = {}, {}
        self.of_action.reset()
        self.of_body.reset()
        self.of_body_head.reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Collects logits; once all windows of a clip are through, decides and counts the clip."""
        clips = self.trainer.datamodule.evaluated  # type: ignore[attr-defined]
        for window, *logits in zip(batch["windows"], *(logits.float() for logits in self(batch)), strict=True):
            seen = self._pending.setdefault(window.clip, [])
            seen.append((logits[0], logits[1]))
            if len(seen) == window.of:
                action_K, body_G = (
                    torch.stack(each).mean(0) for each in zip(*self._pending.pop(window.clip), strict=True)
                )
                self._count(window.clip, action_K, body_G, label=clips[window.clip].instances[0].label)

    def _count(self, clip: int, action_K: Tensor, body_G: Tensor, *, label: int) -> None:
        truth = self.body_of.new_tensor([label])
        decided = action_K.argmax()[None]
        self.found[clip] = int(decided)
        self.of_action.update(action_K[None], truth)
        # The challenge takes the body group of the predicted action.
        self.of_body.update(self.body_of[decided], self.body_of[truth])
        self.of_body_head.update(body_G.argmax()[None], self.body_of[truth])

    def on_validation_epoch_end(self) -> None:
        """Logs the measures of all clips in percent; every rank gets the decisions of all."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a process without a clip
            values = {
                **self.of_action.compute(),
                **self.of_body.compute(),
                "body_head_top1": self.of_body_head.compute(),
            }
        f1 = [value for name, value in values.items() if "f1" in name]
        values["f1_mean"] = torch.stack(f1).mean()
        self.measures = {name: round(100 * float(value), 4) for name, value in values.items()}
        self.measured_at = self.global_step
        for name, value in self.measures.items():
            self.log(f"val/{name}", value)
        if self.trainer.world_size > 1:
            shares: list[dict[int, int]] = [{} for _ in range(self.trainer.world_size)]
            torch.distributed.all_gather_object(shares, self.found)
            self.found = {clip: action for share in shares for clip, action in share.items()}


def _f1(classes: int) -> dict[str, Metric | MetricCollection]:
    return {f"f1_{average}": MulticlassF1Score(classes, average=average) for average in ("macro", "micro")}
