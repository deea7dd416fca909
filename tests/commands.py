"""The commands by their names, to be run in the test's own process."""

from collections.abc import Callable

from mmad.cli import data, evaluate, extract, predict, pretrain, report, train

COMMANDS = {
    "mmad-train": train.main,
    "mmad-eval": evaluate.main,
    "mmad-pretrain": pretrain.main,
    "mmad-extract": extract.main,
    "mmad-data": data.main,
    "mmad-report": report.main,
    "mmad-predict": predict.main,
}

Command = Callable[..., int]
