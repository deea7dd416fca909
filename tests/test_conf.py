"""Every shipped configuration composes, and names only arguments that its target has."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from mmad.cli.entry import conf_dir

GROUPS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in conf_dir().glob("*/*.yaml")
    if path.parent.name not in ("objective", "recipe", "data", "table")
)
DATA = [
    "data=demo",
    "data=demo_large",
    "data=mma52 data.root=somewhere",
    "data=demo recipe=paper",
    "data=mma52 data.root=x recipe=demo",
    "data=folder data.root=x",
    "data=json data.root=x",
    "data=elan data.root=x",
    "data=boris data.root=x",
    "data=features data.root=x",
    "data=features data.root=x data.source.stride=4 data.source.offset=8 data.source.fps=30",
    *(f"data=features data.root=x recipe=demo_features head={path.stem}" for path in conf_dir().glob("head/*.yaml")),
    *(f"experiment={path.stem} data=mma52 data.root=x" for path in conf_dir().glob("experiment/*.yaml")),
]


def composed(command: str, overrides: list[str]) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose(command, overrides=overrides)
    # Unresolved: some values, such as a run's folder, are known in a run only.
    return dict(OmegaConf.to_container(cfg, resolve=False))  # type: ignore[arg-type]


def targets(node: Any) -> Iterator[dict[str, Any]]:
    """Every node of a configuration that names what it builds."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def check_signatures(cfg: dict[str, Any]) -> None:
    for node in targets(cfg):
        if node["_target_"].startswith("builtins."):
            continue
        parameters = inspect.signature(get_object(node["_target_"])).parameters.values()
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
            continue
        unknown = {key for key in node if not key.startswith("_")} - {p.name for p in parameters}
        assert not unknown, f"{node['_target_']} has no argument {unknown}"


@pytest.mark.parametrize("overrides", [*GROUPS, *DATA])
def test_every_choice_composes_and_fits_its_target(overrides: str) -> None:
    check_signatures(composed("train", overrides.split()))


def test_pretraining_composes_and_fits_its_targets() -> None:
    check_signatures(composed("pretrain", []))


@pytest.mark.parametrize(
    "data", ["demo", "demo_pretrain", "mma52 data.root=x", "ma52 data.root=x", "videos data.root=x"]
)
def test_extraction_composes_and_fits_its_targets(data: str) -> None:
    cfg = composed("extract", f"data={data}".split())
    check_signatures(cfg)
    assert (cfg["adapter"]["layer"], cfg["adapter"]["trains"]) == (None, "nothing")


def test_a_head_is_as_small_on_features_of_the_demo_as_on_the_demo() -> None:
    names = {path.stem for path in conf_dir().glob("recipe_head/demo/*.yaml")}
    assert {path.stem for path in conf_dir().glob("recipe_head/demo_features/*.yaml")} == names
    for name in names:
        demo, features = (
            composed("train", [f"head={name}", *more])["head"]
            for more in ([], ["data=features", "data.root=x", "recipe=demo_features"])
        )
        assert demo == features


PUBLISHED: dict[str, dict[str, Any]] = {
    "table3_tadtr": {
        "optimizer": {"backbone_lr": 5e-6, "head_lr": 1e-4, "weight_decay": 1e-4},
        "nms": {"sigma": 0.4, "voting_threshold": 0.95},
        "trainer": {"gradient_clip_val": 0.1},
        "data": {"resolution": 96},
        "windows": 4,
    },
    "table3_pointtad": {
        "optimizer": {"backbone_lr": 1e-5, "head_lr": 2e-4, "weight_decay": 1e-4},
        "nms": {"tiou_threshold": 1.0, "min_score": 0.0, "max_per_class": 200},
        "trainer": {"gradient_clip_val": 0.1},
        "data": {"resolution": 192},
        "windows": 24,
    },
    "table3_ms_tct": {
        "optimizer": {"head_lr": 1e-4, "weight_decay": 0.0},
        "nms": {},
        "trainer": {"gradient_clip_val": None},
        "windows": 32,
    },
    "table3_re2tal_swin_t": {"data": {"resolution": 224}, "windows": 8},
    "table3_re2tal_slowfast101": {"data": {"resolution": 224}, "windows": 8},
}


@pytest.mark.parametrize("experiment", list(PUBLISHED))
def test_an_experiment_sets_what_its_method_was_published_with(experiment: str) -> None:
    """On the demo neither AdamW's options, as its optimiser is another one, nor the size of pictures."""
    real = composed("train", [f"experiment={experiment}", "data=mma52", "data.root=x"])
    demo = composed("train", [f"experiment={experiment}"])
    groups = dict(PUBLISHED[experiment])
    assert (real["effective_batch"], demo["effective_batch"]) == (groups.pop("windows"), 8)
    for group, settings in groups.items():
        assert settings == {name: real[group][name] for name in settings}
        if group not in ("optimizer", "data"):
            assert settings == {name: demo[group][name] for name in settings}
    assert demo["optimizer"] == composed("train", [])["optimizer"]
    assert demo["data"] == composed("train", [])["data"] | {"grid": demo["data"]["grid"]}
    assert demo["optimizer"]["_target_"] == "mmad.lit.optimizers.muon"
    own = composed("train", [f"experiment={experiment}", "data=mma52", "data.root=x", "optimizer.weight_decay=0.7"])
    assert own["optimizer"]["weight_decay"] == 0.7


def test_what_an_experiment_brings_besides_is_of_one_that_there_is() -> None:
    names = {path.name for path in conf_dir().glob("experiment_*/*")}
    assert names == {name for name in PUBLISHED}
    assert names <= {path.stem for path in conf_dir().glob("experiment/*.yaml")}


@pytest.mark.parametrize("path", sorted(conf_dir().glob("recipe_backbone/demo/*.yaml")), ids=lambda path: path.stem)
def test_a_backbone_is_small_on_the_demo_alone(path: Path) -> None:
    sizes = dict(OmegaConf.load(path))  # type: ignore[arg-type]
    data = {"demo": [], "real": ["data=mma52", "data.root=x"]}
    demo, real = (composed("train", [*more, f"backbone={path.stem}"])["backbone"] for more in data.values())
    extracted = composed("extract", [f"backbone={path.stem}"])["backbone"]
    for name, size in sizes.items():
        assert demo[name] == extracted[name] == size
        assert real[name] != size


def test_real_data_bring_the_paper_recipe_and_the_demo_its_own() -> None:
    demo = composed("train", [])
    real = composed("train", ["data=mma52", "data.root=somewhere"])
    assert (demo["backbone"]["embed_dim"], demo["head"]["channels"], demo["grid"]["window"]) == (96, 96, 64)
    assert (real["backbone"]["embed_dim"], real["head"]["channels"], real["grid"]["window"]) == (
        384,
        512,
        128,
    )
    assert real["optimizer"]["_target_"] == "mmad.lit.optimizers.adamw"
    assert real["data"]["resolution"] == 160


@pytest.mark.parametrize(
    "path", sorted(conf_dir().glob("**/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_every_file_says_first_what_it_is(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line != "# @package _global_"]
    assert lines[0].startswith("# ")


@pytest.mark.parametrize("data", ["demo", "demo_large"])
def test_no_split_shows_people_that_pretraining_saw(data: str) -> None:
    def people(command: str, name: str) -> list[range]:
        splits = composed(command, [f"data={name}"])["data"]["make"]["splits"]
        return [range(*split["subjects"]["_args_"]) for split in splits.values()]

    seen = {
        person for name in ("demo_pretrain", "demo_trimmed") for split in people("pretrain", name) for person in split
    }
    shown = people("train", data)
    assert len(seen) > 300
    assert not seen & {person for split in shown for person in split}
    assert len({person for split in shown for person in split}) == sum(map(len, shown))
