"""Recognition of trimmed clips in Lightning: what a clip is taken for, how that is measured, and what is learned."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmad.annotations import Clip, Instance
from mmad.backbones.videomae import VideoMAE
from mmad.data.clips import Batch, Item, collate, cut
from mmad.data.grid import Grid
from mmad.data.sources import MA52Source
from mmad.errors import MmadError
from mmad.lit.datamodule import ClipDataModule
from mmad.lit.framewise import FramewiseModule
from mmad.lit.optimizers import adamw, warmup_cosine
from mmad.lit.recognition import ClipClassifier, RecognitionModule
from mmad.taxonomy import MMA52, Taxonomy

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")

GRID = Grid(window=16, feature_stride=4, frames_per_step=2, levels=1)
SIX = Taxonomy.from_rows(tuple((str(i), f"action {i}", f"group {i // 3}") for i in range(6)))
THREE = Taxonomy.from_rows(tuple((str(i), f"action {i}", "all") for i in range(3)))
LEARN: dict[str, Any] = {
    "optimizer": partial(adamw, backbone_lr=3e-3, head_lr=3e-3, weight_decay=0.0),
    "scheduler": partial(warmup_cosine, warmup=0.1),
    "seed": 3,
}


class Data(L.LightningDataModule):
    """Clips of so many raw frames and such labels; a window's video is made by `draw` from its place."""

    def __init__(self, lengths: list[int], labels: list[int], draw: Callable[[int, int], Tensor], batch_size: int):
        super().__init__()
        self.evaluated = self.taught = [
            Clip(str(i), Path(), None, 30.0, frames, (Instance(0.0, frames / 30, label),))
            for i, (frames, label) in enumerate(zip(lengths, labels, strict=True))
        ]
        self.draw, self.batch_size = draw, batch_size

    def val_dataloader(self) -> DataLoader[Item]:
        items: list[Item] = [
            {
                "inputs": self.draw(i, window.frames),
                "targets": cut(clip.segments(), window, keep=0.75),
                "window": window,
            }
            for i, clip in enumerate(self.evaluated)
            for window in GRID.sliding(i, raw_frames=clip.frames, fps=clip.fps)
        ]
        return DataLoader(items, batch_size=self.batch_size, collate_fn=partial(collate, grid=GRID))  # type: ignore[arg-type]

    train_dataloader = val_dataloader


def black(clip: int, frames: int) -> Tensor:
    return torch.zeros(frames, 3, 2, 2, dtype=torch.uint8)


class Blind(nn.Module):
    """A backbone that sees nothing."""

    embed_dim = 4

    def forward(self, video_BCFHW: Tensor, mask_BT: Tensor) -> Tensor:
        return torch.zeros(len(video_BCFHW), 4, mask_BT.shape[1])


def trainer(**changes: Any) -> L.Trainer:
    return L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **changes,
    )


def f1_of(truth: list[int], found: list[int]) -> tuple[float, float]:
    """Macro mean over the classes that occur in either list, and micro, in percent, counted one by one."""
    scores = []
    for label in sorted({*truth, *found}):
        hits = sum(t == f == label for t, f in zip(truth, found, strict=True))
        scores.append(2 * hits / (truth.count(label) + found.count(label)))
    return 100 * sum(scores) / len(scores), 100 * sum(t == f for t, f in zip(truth, found, strict=True)) / len(truth)


@pytest.mark.parametrize("batch_size", [1, 7, 200])
@pytest.mark.parametrize("taxonomy", [SIX, THREE, MMA52], ids=["six", "three", "mma52"])
def test_measures_equal_those_counted_by_hand(taxonomy: Taxonomy, batch_size: int) -> None:
    """Clips of one to five windows; the last class neither occurs nor is found, the one before is only found."""
    generator = torch.Generator().manual_seed(len(taxonomy.actions))
    classes, groups = len(taxonomy.actions), len(taxonomy.bodies)
    lengths = torch.randint(20, 200, (40,), generator=generator).tolist()
    labels = torch.randint(0, classes - 2 if classes > 3 else classes, (40,), generator=generator).tolist()
    planted: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for clip, frames in enumerate(lengths):
        for window in GRID.sliding(clip, raw_frames=frames, fps=30.0):
            action = torch.randn(classes, generator=generator)
            action[labels[clip]] += 1.0
            if classes > 3:
                action[-1] = -9.0
            planted[clip, window.first] = action, torch.randn(groups, generator=generator)
    module = RecognitionModule(Blind(), taxonomy=taxonomy, label_smoothing=0.0, **LEARN)

    def forward(batch: Batch) -> tuple[Tensor, Tensor]:
        found = [planted[window.clip, window.first] for window in batch["windows"]]
        return torch.stack([action for action, _ in found]), torch.stack([body for _, body in found])

    module.forward = forward  # type: ignore[method-assign]
    (told,) = trainer().validate(module, datamodule=Data(lengths, labels, black, batch_size), verbose=False)

    means = [
        [sum(each[part] for (of, _), each in planted.items() if of == clip) for clip in range(40)] for part in (0, 1)
    ]
    ranked = [sorted(range(classes), key=lambda k, mean=mean: -float(mean[k])) for mean in means[0]]
    actions = [order[0] for order in ranked]
    truth, found = ([taxonomy.body_of[label] for label in each] for each in (labels, actions))
    heads = [int(mean.argmax()) for mean in means[1]]
    expected = {
        "action_top1": 100 * sum(a == b for a, b in zip(labels, actions, strict=True)) / 40,
        "action_top5": 100 * sum(label in order[:5] for label, order in zip(labels, ranked, strict=True)) / 40,
        "body_top1": 100 * sum(a == b for a, b in zip(truth, found, strict=True)) / 40,
        "body_head_top1": 100 * sum(a == b for a, b in zip(truth, heads, strict=True)) / 40,
    }
    expected["action_f1_macro"], expected["action_f1_micro"] = f1_of(labels, actions)
    expected["body_f1_macro"], expected["body_f1_micro"] = f1_of(truth, found)
    expected["f1_mean"] = sum(value for name, value in expected.items() if "f1" in name) / 4
    assert {name.removeprefix("val/"): value for name, value in told.items()} == pytest.approx(expected, abs=1e-3)
    assert module.found == dict(enumerate(actions))
    assert set(actions) - set(labels) or classes == 3
    assert module.measures["f1_mean"] == pytest.approx(expected["f1_mean"], abs=1e-3)


def test_a_clip_is_what_its_windows_say_on_average() -> None:
    """Two windows are a little for class 0, one is much for class 1: a vote would choose otherwise."""
    module = RecognitionModule(Blind(), taxonomy=SIX, label_smoothing=0.0, **LEARN)
    logits = torch.zeros(3, 6)
    logits[:2, 0], logits[2, 1] = 1.0, 3.0
    module.forward = lambda batch: (logits, torch.zeros(3, 2))  # type: ignore[method-assign]
    assert len(GRID.sliding(0, raw_frames=128, fps=30.0)) == 3
    trainer().validate(module, datamodule=Data([128], [1], black, 3), verbose=False)
    assert module.found == {0: 1}
    assert module.measures["action_top1"] == 100


def test_the_label_is_the_clip_s_though_the_window_holds_too_little() -> None:
    """Windows of half a clip have no ground truth of their own, and are taught all the same."""
    data = Data([128, 128], [4, 1], black, 2)
    batch = next(iter(data.train_dataloader()))
    assert [len(target["labels"]) for target in batch["targets"]] == [0, 0]
    module = RecognitionModule(Blind(), taxonomy=SIX, label_smoothing=0.1, **LEARN)
    module.trainer = trainer(max_epochs=1)
    module.trainer.datamodule = data  # type: ignore[attr-defined]
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    action, body = module(batch)
    by_hand = torch.zeros(())
    for logits, labels in ((action, [4, 4]), (body, [1, 1])):
        log = logits.log_softmax(-1)
        by_hand += sum(-0.9 * log[i, labels[i]] - 0.1 * log[i].mean() for i in range(2)) / 2
    torch.testing.assert_close(module.training_step(batch, 0), by_hand)


def test_padding_and_neighbours_change_nothing() -> None:
    torch.manual_seed(0)
    classifier = ClipClassifier(8, actions=6, bodies=2)
    feats = torch.randn(2, 8, 16)
    mask = torch.arange(16) < torch.tensor([[5], [16]])
    both = classifier(feats, mask)
    alone = classifier(feats[:1, :, :5], mask[:1, :5])
    for together, single in zip(both, alone, strict=True):
        torch.testing.assert_close(together[:1], single)


def test_motions_are_told_apart() -> None:
    """Clips brighten or darken over time, so that no single frame shows the class; the groups follow."""

    def draw(clip: int, frames: int) -> Tensor:
        time = torch.arange(frames) if clip % 2 else frames - 1 - torch.arange(frames)
        return (40 + clip + 5 * time)[:, None, None, None].expand(frames, 3, 32, 32).to(torch.uint8)

    torch.manual_seed(0)
    backbone = VideoMAE(embed_dim=24, depth=1, heads=2, resolution=(32, 32), frames_per_step=2, position="learned")
    module = RecognitionModule(backbone, taxonomy=SIX, label_smoothing=0.1, **LEARN)
    fit = trainer(max_epochs=25)
    fit.fit(module, datamodule=Data([48, 64] * 6, [1, 4] * 6, draw, 6))
    assert module.measures["f1_mean"] == 100
    assert module.measures["body_head_top1"] == 100
    assert module.measured_at == fit.global_step == 50
    # The loss ends near its least, the entropy of the smoothed targets.
    targets = [torch.full((k,), 0.1 / k) + 0.9 * (torch.arange(k) == 0) for k in (6, 2)]
    least = sum(float(-(target * target.log()).sum()) for target in targets)
    assert least < fit.callback_metrics["train/loss"] < least + 0.2


def test_what_cannot_be_recognised_is_refused() -> None:
    build = partial(RecognitionModule, Blind(), **LEARN)
    with pytest.raises(MmadError, match="the data have one"):
        build(taxonomy=Taxonomy.from_rows((("1", "waving", "all"),)), label_smoothing=0.1)
    with pytest.raises(MmadError, match=r"objective.label_smoothing=1.0: choose a share"):
        build(taxonomy=SIX, label_smoothing=1.0)
    adapted = VideoMAE(embed_dim=24, depth=1, heads=2, resolution=32, frames_per_step=2, adapter=partial(nn.Linear, 24))
    with pytest.raises(MmadError, match="use adapter=full"):
        RecognitionModule(adapted, taxonomy=SIX, label_smoothing=0.1, **LEARN)


def test_the_control_shuffles_what_is_taught_and_not_what_is_asked(trimmed: Path) -> None:
    def data(**changes: Any) -> ClipDataModule:
        settings = {"batch_size": 4, "workers": 0, "cache": None, "evaluate_split": "train", "seed": 1, **changes}
        return ClipDataModule(
            str(trimmed), source=MA52Source, make=None, grid=GRID, augment=nn.Identity(), resolution=48, **settings
        )

    plain, shuffled = data(), data(control="shuffled")
    assert plain.taught == plain.clips("train")
    labels = [[clip.instances[0].label for clip in each] for each in (shuffled.taught, shuffled.clips("train"))]
    assert sorted(labels[0]) == sorted(labels[1])
    assert labels[0] != labels[1]
    # Whatever split a report is made of, a validation is one of val.
    plain.setup("validate")
    assert [clip.id for clip in plain.evaluated] == [clip.id for clip in plain.clips("val")]
    plain.setup("test")
    assert plain.evaluated == plain.clips("train")


def test_checkpoints_of_the_frame_wise_objective_keep_their_names() -> None:
    """Those written when it was the only kind of recognition are still taken up."""
    backbone = Blind()
    backbone.layer = nn.Linear(2, 2)
    module = FramewiseModule(backbone, classes=5, **LEARN)
    assert set(module.state_dict()) == {
        "backbone.layer.weight",
        "backbone.layer.bias",
        "classifier.weight",
        "classifier.bias",
    }
