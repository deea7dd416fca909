"""Averaged weights: what they are, when they are used, and what is left alone."""

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmad.lit.callbacks import TrainedEMA

DECAY = 0.9


class Line(L.LightningModule):
    """Fits a line; notes its weight whenever it trains or validates."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.0))
        self.fixed = nn.Parameter(torch.tensor(3.0), requires_grad=False)
        self.after_step: list[float] = []
        self.validated: list[float] = []

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        return (self.slope * batch + self.fixed - 5 * batch).square().mean()

    def on_train_batch_end(self, *_: object) -> None:
        self.after_step.append(self.slope.item())

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.validated.append(self.slope.item())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.slope], lr=0.05)


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_validation_sees_the_average_and_training_goes_on_from_the_weights() -> None:
    module, average = Line(), TrainedEMA(decay=DECAY)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=3,
        callbacks=[average],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    values = (1.0, 0.5, 2.0, 1.0)
    trainer.fit(module, DataLoader([torch.tensor(value) for value in values]), DataLoader([torch.zeros(())]))

    # By hand: plain gradient descent, and its average with the warm-up of the decay.
    slope, mean, updates = 0.0, 0.0, 0
    slopes, means = [], []
    for _ in range(3):
        for batch in values:
            slope -= 0.05 * 2 * batch * (slope * batch + 3 - 5 * batch)
            decay = min(DECAY, (1 + updates) / (10 + updates))
            mean, updates = decay * mean + (1 - decay) * slope, updates + 1
            slopes.append(slope)
        means.append(mean)
    assert module.after_step == pytest.approx(slopes, abs=1e-5)
    assert module.validated == pytest.approx(means, abs=1e-5)
    assert list(average.average) == ["slope"]
    assert module.slope.item() == pytest.approx(slopes[-1], abs=1e-5)
