"""Runs that differ in the seed alone are one setting, and settings are called by what tells them apart."""

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from made import write_data, write_run
from mmad.comparison import find_runs, group
from mmad.comparison.settings import ABSENT, difference, names, value_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def test_seeds_make_one_setting_in_their_order(tmp_path: Path, root: Path) -> None:
    for place, (adapter, seed) in enumerate([("tia", 2), ("dsta", 0), ("tia", 0), ("tia", 10)]):
        write_run(tmp_path / str(place), f"adapter={adapter}", root=root, seed=seed)
    tia, dsta = group(find_runs(tmp_path))
    assert [run.seed for run in tia.finished] == [0, 2, 10]
    assert [run.seed for run in dsta.finished] == [0]
    assert names([tia, dsta]) == ["adapter=tia", "adapter=dsta"]


def test_options_without_effect_on_the_detector_make_no_setting(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", root=root, seed=0)
    others = ["data.workers=0", "data.cache=memory", "logger=none", "report.draws=7", "effective_batch=16"]
    write_run(tmp_path / "1", *others, root=root, seed=1)
    write_run(tmp_path / "2", "data.batch_size=4", root=root, seed=2)
    settings = group(find_runs(tmp_path))
    assert [[run.seed for run in setting.finished] for setting in settings] == [[0, 1], [2]]
    assert names(settings) == ["data.batch_size=8", "data.batch_size=4"]


def test_a_setting_alone_is_called_by_its_arguments(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "adapter=tia", "data.resolution=[64,48]", root=root)
    assert names(group(find_runs(tmp_path))) == ["data=mma52, adapter=tia, data.resolution=[64,48]"]


def test_an_option_that_only_some_settings_have_is_in_their_names_only(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "adapter=dsta", "adapter.layer.beta=one", root=root)
    write_run(tmp_path / "1", "adapter=standard", root=root)
    settings = group(find_runs(tmp_path))
    assert names(settings) == ["adapter=dsta, adapter.layer.beta=one", "adapter=standard"]
    assert value_of(settings[1].first, "adapter.layer.beta") is ABSENT


def test_a_default_that_has_changed_tells_settings_apart(tmp_path: Path, root: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / str(seed), root=root, seed=seed)
    config = OmegaConf.load(tmp_path / "1" / "config.yaml")
    config.nms.sigma = 0.75
    OmegaConf.save(config, tmp_path / "1" / "config.yaml")
    settings = group(find_runs(tmp_path))
    assert names(settings) == ["nms.sigma=0.5", "nms.sigma=0.75"]
    assert difference(settings[0].first, settings[1].first) == ("nms.sigma", "0.5", "0.75")


def test_the_first_difference_is_the_data_then_a_choice_then_an_argument(tmp_path: Path, root: Path) -> None:
    write_run(tmp_path / "0", "adapter=tia", "trainer.max_epochs=3", root=root)
    write_run(tmp_path / "1", "adapter=dsta", root=root)
    write_run(tmp_path / "2", "adapter=dsta", "trainer.max_epochs=3", "data=folder", root=root, state="epoch 1")
    first, second, third = (setting.first for setting in group(find_runs(tmp_path)))
    assert difference(first, second) == ("adapter", "tia", "dsta")
    assert difference(first, third) == ("data", "mma52", "folder")


def test_of_two_runs_with_one_seed_the_newest_counts(tmp_path: Path, root: Path) -> None:
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_run(tmp_path / place, root=root, seed=seed)
    write_run(tmp_path / "d", root=root, seed=1, state="failed")
    os.utime(tmp_path / "b" / "metrics.json", (1, 1))
    (setting,) = group(find_runs(tmp_path))
    assert [run.folder.name for run in setting.finished] == ["a", "c"]
    assert [run.folder.name for run in setting.surplus] == ["b", "d"]
    assert setting.unfinished == []
