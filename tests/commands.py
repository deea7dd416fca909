"""The commands by their names, to be run in the test's own process."""

from collections.abc import Callable

from mmad.cli import evaluate, pretrain, train

COMMANDS = {"mmad-train": train.main, "mmad-eval": evaluate.main, "mmad-pretrain": pretrain.main}

Command = Callable[..., int]
