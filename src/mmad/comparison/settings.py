"""Settings: runs with the same configuration but for the seed, and what tells one from another."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmad.comparison.run import WITHOUT_EFFECT, Run

ABSENT = object()
"""The value of an option that a configuration does not have."""

_PLACES = ("data.root", "backbone.weights", "weights")
"""Options that say where something lies on this machine."""

_NAMED = 2
"""Most options that are added to a name to tell it from another."""


@dataclass(frozen=True)
class Setting:
    """Runs with the same configuration but for the seed.

    Args:
        finished: one of each seed, in their order.
        unfinished: runs of further seeds.
        surplus: further runs of the seeds of `finished`, where the newest counts.
    """

    finished: Sequence[Run]
    unfinished: Sequence[Run]
    surplus: Sequence[Run] = ()

    @property
    def first(self) -> Run:
        """A run that stands for all."""
        return [*self.finished, *self.unfinished][0]


def group(runs: Sequence[Run]) -> list[Setting]:
    """Settings in the order of their first runs."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        alike.setdefault(_identity(run), []).append(run)
    return [_setting(each) for each in alike.values()]


def joined(settings: Sequence[Setting]) -> Setting:
    """Several settings as one, of which at most one has finished runs."""
    return _setting([run for each in settings for run in (*each.finished, *each.unfinished, *each.surplus)])


def _setting(runs: Sequence[Run]) -> Setting:
    newest_first = sorted((run for run in runs if run.lacks is None), key=lambda run: -run.written)
    counted: dict[int | None, Run] = {}
    for run in newest_first:
        counted.setdefault(run.seed, run)
    ordered = sorted(counted.values(), key=_by_seed)
    others = sorted((run for run in runs if counted.get(run.seed) is not run), key=_by_seed)
    surplus = [run for run in others if run.seed in counted]
    return Setting(ordered, [run for run in others if run.seed not in counted], surplus)


def _by_seed(run: Run) -> tuple[bool, int]:
    return run.seed is None, run.seed or 0


def value_of(run: Run, key: str) -> Any:
    """The choice of a group, else the value of an option by its dotted name; `ABSENT` where there is none."""
    if key in run.choices:
        return run.choices[key]
    node: Any = run.config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return ABSENT
        node = node[part]
    return node


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is ABSENT:
        return "absent"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    return json.dumps(value) if isinstance(value, Mapping) else str(value)


def names(settings: Sequence[Setting]) -> list[str]:
    """A name for each setting: the arguments in which it differs from the others, all of them if it is the only one."""
    firsts = [setting.first for setting in settings]
    keys = _arguments(firsts)
    if len(firsts) == 1:
        told = [key for key in keys if key not in _PLACES]
    else:
        told = [key for key in keys if len({shown(value_of(run, key)) for run in firsts}) > 1]
    given = [_named(run, told) for run in firsts]
    # Some differ in what no argument says, such as a default that has changed since.
    for name, times in Counter(given).items():
        alike = [place for place, each in enumerate(given) if each == name]
        if times > 1:
            further = [key for key, _, _ in _differences(firsts[alike[0]], firsts[alike[1]])]
            for place in alike:
                given[place] = _named(firsts[place], [*told, *further[:_NAMED]])
    return [name if given.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(given, start=1)]


def _named(run: Run, keys: Sequence[str]) -> str:
    values = {key: value_of(run, key) for key in keys}
    return ", ".join(f"{key}={shown(value)}" for key, value in values.items() if value is not ABSENT) or "defaults"


def _arguments(runs: Sequence[Run]) -> list[str]:
    """Options that any of the runs was given, without those that have no effect."""
    return list(dict.fromkeys(key for run in runs for key in run.overrides if not _idle(key)))


def difference(one: Run, other: Run) -> tuple[str, str, str]:
    """The option in which two runs of different settings differ first, and its value in each: a choice if there is one,
    then an argument of either, then any option."""
    return next(_differences(one, other))


def unlike(runs: Mapping[str, Run], *, about: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Options in which rows of a table differ though the table is not about them.

    Args:
        runs: one of each row, by the row's name.
        about: groups and options that the table is about. An argument within such a group counts, since it makes
            something else of the choice, even in the only row.

    Returns:
        Each option with its value in each row.
    """
    arguments = _arguments(list(runs.values()))
    within = [key for key in arguments if any(key.startswith(f"{each}.") for each in about)]
    chosen = _unequal([_nodes(run) for run in runs.values()], but_for=about)
    besides = _unequal([_leaves(run.composed) for run in runs.values()], but_for=[*about, *chosen])
    found = []
    # Arguments first, then what recipes and the like have set.
    for key in sorted([*within, *chosen, *besides], key=lambda key: key not in arguments):
        values = {name: shown(value_of(run, key)) for name, run in runs.items()}
        if len(set(values.values())) > 1 or (key in within and len(runs) == 1):
            found.append((key, values))
    return found


def _unequal(tables: Sequence[Mapping[str, Any]], *, but_for: Sequence[str]) -> list[str]:
    """Keys whose values are not the same in all tables, without those in `but_for` and what is within them."""
    return [
        key
        for key in dict.fromkeys(key for table in tables for key in table)
        if len({shown(table.get(key, ABSENT)) for table in tables}) > 1
        and not any(f"{key}.".startswith(f"{each}.") for each in but_for)
    ]


def _differences(one: Run, other: Run) -> Iterator[tuple[str, str, str]]:
    mine, others = _leaves(one.config), _leaves(other.config)
    # The data first: which clips were seen matters most.
    keys = sorted(_nodes(one) | _nodes(other), key=lambda key: key != "data")
    keys += [*_arguments([one, other]), *sorted(mine.keys() | others.keys())]
    for key in dict.fromkeys(keys):
        values = value_of(one, key), value_of(other, key)
        if values[0] != values[1]:
            yield key, shown(values[0]), shown(values[1])


def _identity(run: Run) -> str:
    return json.dumps([_leaves(run.config), _nodes(run)], sort_keys=True, default=str)


def _nodes(run: Run) -> dict[str, str]:
    """Choices of groups that are a part of the configuration; a recipe or an experiment only sets what is in others."""
    nodes = {name: choice for name, choice in run.choices.items() if isinstance(run.config.get(name), dict)}
    return {name: choice for name, choice in nodes.items() if not _idle(name)}


def _leaves(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted name, without those that have no effect."""
    found: dict[str, Any] = {}
    for name, value in node.items():
        key = f"{prefix}{name}"
        if _idle(key):
            continue
        found |= _leaves(value, f"{key}.") if isinstance(value, Mapping) and value else {key: value}
    return found


def _idle(key: str) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in WITHOUT_EFFECT)
