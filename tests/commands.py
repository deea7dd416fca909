"""The commands by their names, to be run in the test's own process."""

from collections.abc import Callable

from mmad.cli import data, evaluate, export, extract, predict, pretrain, report, train, view

COMMANDS = {
    "mmad-train": train.main,
    "mmad-eval": evaluate.main,
    "mmad-pretrain": pretrain.main,
    "mmad-extract": extract.main,
    "mmad-data": data.main,
    "mmad-report": report.main,
    "mmad-predict": predict.main,
    "mmad-export": export.main,
    "mmad-view": view.main,
}

Command = Callable[..., int]
