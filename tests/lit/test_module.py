"""A clip longer than the window: its windows are joined before NMS and counted once."""

from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch

from mmad.backbones.videomae import VideoMAE
from mmad.data.clips import collate
from mmad.data.grid import Grid
from mmad.data.sources import MMA52Source
from mmad.data.transforms import CoverCrop
from mmad.detector import Detector
from mmad.heads.actionformer import ActionFormer
from mmad.lit.datamodule import ClipDataModule
from mmad.lit.module import DetectionModule
from mmad.nms import soft_nms
from mmad.taxonomy import MMA52

GRID = Grid(window=16, feature_stride=4, frames_per_step=2, levels=2)


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_windows_of_a_clip_are_joined_whatever_batch_they_come_in(drawn: Path) -> None:
    torch.manual_seed(0)
    backbone = VideoMAE(embed_dim=24, depth=1, heads=2, resolution=(32, 32), frames_per_step=2)
    head = ActionFormer(in_channels=24, classes=52, channels=16, heads=2, convs=1, levels=2, max_proposals=300)
    detector = Detector(backbone, head, nms=partial(soft_nms, max_per_class=5)).eval()
    data = ClipDataModule(
        str(drawn),
        source=partial(MMA52Source, fps=None),
        make=None,
        grid=GRID,
        augment=CoverCrop((32, 32)),
        resolution=(32, 32),
        batch_size=3,
        workers=0,
        cache=None,
        evaluate_split="test",
        seed=0,
    )
    module = DetectionModule(detector, taxonomy=MMA52, seed=0)
    trainer = L.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.test(module, data, verbose=False)

    windows = data.test_dataloader().dataset
    items = [windows[i] for i in range(len(windows))]  # type: ignore[arg-type]
    assert max(item["window"].of for item in items) > 2
    for index, clip in enumerate(data.evaluated):
        proposals = []
        shown = [item for item in items if item["window"].clip == index]
        for item in shown:
            alone = collate([item], grid=GRID)
            with torch.no_grad():
                outputs = detector(alone["inputs"], alone["mask_BT"])
            proposals += detector.proposals(outputs, [item["window"].timebase])
        expected = detector.detections(
            proposals, extents=[item["window"].extent for item in shown], duration=clip.duration
        )
        found = module.detections[index]
        assert found["labels"].tolist() == expected["labels"].tolist()
        torch.testing.assert_close(found["segments"], expected["segments"], rtol=1e-4, atol=1e-4)
    assert module.report is not None
