"""What the statistics of a data set say, in sentences."""

import numpy as np

from mmad.dataset.records import Category, LevelStatistics, Part, Statistics

FEW = 10
"""Instances from which a class is not called rare; with fewer, one of them moves its AP by more than ten points."""
NAMED = 4
"""Names in one sentence."""


def findings(statistics: Statistics) -> dict[str, list[str]]:
    """Sentences by subject: "size", "balance", "durations", "overlap" and "ends".

    Args:
        statistics: as `mmad.dataset.describe` gives them.
    """
    found = {"size": _size(statistics)}
    if statistics["all"]["instances"]:
        found |= {
            "balance": _balance(statistics),
            "durations": _durations(statistics),
            "overlap": _overlap(statistics),
            "ends": _ends(statistics),
        }
    return found


def percent(value: float) -> str:
    """A share in as many digits as can be read, never 0 for a share that is not.

    >>> percent(14.53), percent(0.68), percent(0.004), percent(0.0)
    ('15 %', '0.7 %', 'less than 0.1 %', '0 %')
    """
    if 0 < value < 0.05:
        return "less than 0.1 %"
    return f"{value:.1f} %" if 0 < value < 9.95 or 99 < value < 100 else f"{value:.0f} %"


def _size(statistics: Statistics) -> list[str]:
    whole, classes = statistics["all"], statistics["action"]["classes"]
    occur = sum(row["instances"] > 0 for row in classes)
    of = f"{occur} of the " if occur < len(classes) and whole["instances"] else ""
    people = "" if whole["subjects"] is None else f" of {_many(whole['subjects'], 'subject')}"
    groups = "" if statistics["flat"] else f" in {len(statistics['body']['classes'])} body groups"
    told = [
        f"{_many(whole['clips'], 'clip')}{people}, {_time(3600 * whole['hours'])} in all, with "
        f"{_many(whole['instances'], 'instance')} of {of}{_many(len(classes), 'class', 'classes')}{groups}."
    ]
    if whole["instances"]:
        told.append(
            f"A clip lasts {whole['mean_clip']:.1f} s on average and holds {whole['per_clip_mean']:.1f} instances; the "
            f"fewest are {whole['per_clip_least']}, the most {whole['per_clip_most']}."
        )
    bare = [name for name, part in statistics["splits"].items() if not part["instances"]]
    if bare:
        told.append(f"No instance is in {_named(bare)}, so what is said of instances leaves {_them(bare)} out.")
    return told


def _balance(statistics: Statistics) -> list[str]:
    classes = statistics["action"]["classes"]
    ranked = sorted((row for row in classes if row["instances"]), key=lambda row: -row["instances"])
    first, last = ranked[0], ranked[-1]
    told = [
        f"The most frequent class is {first['name']} with {_share(first)} of the instances; the rarest that occurs is "
        f"{last['name']} with {_many(last['instances'], 'instance')}."
    ]
    if not statistics["flat"]:
        group = max(statistics["body"]["classes"], key=lambda row: row["instances"])
        told.append(f"The most frequent body group is {group['name']} with {_share(group)} of the instances.")
    for split, part in statistics["splits"].items():
        if not part["instances"]:
            continue
        none = [row["name"] for row in classes if not row["counts"][split]]
        few = [row["name"] for row in classes if 0 < row["counts"][split] < FEW]
        if none:
            told.append(
                f"{_many(len(none), 'class', 'classes')} of {len(classes)} {_have(none)} no instance in {split}: "
                f"{_named(none)}."
            )
        if few:
            told.append(
                f"{_many(len(few), 'class', 'classes')} of {len(classes)} {_have(few)} fewer than {FEW} instances in "
                f"{split}: {_named(few)}."
            )
    return told


def _durations(statistics: Statistics) -> list[str]:
    seconds = statistics["seconds"]
    told = [
        f"An instance lasts {seconds['mean']:.1f} s on average; half of them last less than {seconds['median']:.1f} s, "
        f"and nine of ten between {seconds['low']:.1f} and {seconds['high']:.1f} s."
    ]
    known = [row for row in statistics["action"]["classes"] if row["instances"] >= FEW]
    if len(known) > 1:
        shortest, longest = (pick(known, key=_mean) for pick in (min, max))
        told.append(
            f"Of the classes with {FEW} or more instances, {longest['name']} lasts longest ({_mean(longest):.1f} s on "
            f"average) and {shortest['name']} shortest ({_mean(shortest):.1f} s)."
        )
    return told


def _overlap(statistics: Statistics) -> list[str]:
    told = [_overlapping(name, part, flat=statistics["flat"]) for name, part in _parts(statistics)]
    for name, part in _parts(statistics):
        none, one, *more = [*part["overlap"]["concurrency"], 0.0, 0.0]
        told.append(
            f"{name}nothing happens in {percent(none)} of the time, one instance runs in {percent(one)}, and two or "
            f"more in {percent(sum(more))}; {_most(part['overlap']['highest'])}."
        )
    told += _pairs(statistics["action"])
    return [sentence[0].upper() + sentence[1:] for sentence in told]


def _overlapping(name: str, part: Part, *, flat: bool) -> str:
    overlap = part["overlap"]
    group = "" if flat else f"{percent(overlap['own_group'] or 0)} one of their own body group and "
    return (
        f"{name}{percent(overlap['any'] or 0)} of the instances overlap another one, {group}"
        f"{percent(overlap['own_class'] or 0)} one of their own class; this happens in "
        f"{percent(overlap['clips'] or 0)} of the clips."
    )


def _pairs(level: LevelStatistics) -> list[str]:
    names = [row["name"] for row in level["classes"]]
    pairs = np.triu(np.array(level["overlapping_pairs"]), k=1)
    if not pairs.any():
        return []
    first, second = np.unravel_index(int(pairs.argmax()), pairs.shape)
    return [
        f"The two classes that overlap most often are {names[first]} and {names[second]} "
        f"({_many(int(pairs.max()), 'pair')} of instances)."
    ]


def _ends(statistics: Statistics) -> list[str]:
    told = []
    for name, part in _parts(statistics):
        cut = part["cut"]
        told.append(
            f"{name}{percent(cut['either'] or 0)} of the instances are cut by an end of their clip, or seem to be: "
            f"{percent(cut['start'] or 0)} start with it, {percent(cut['end'] or 0)} end with it."
        )
    if statistics["beyond"]:
        end = "ends" if statistics["beyond"] == 1 else "end"
        told.append(
            f"{_many(statistics['beyond'], 'instance')} {end} after the clip does; mmad-data task=check says where."
        )
    known = [row for row in statistics["action"]["classes"] if row["instances"] >= FEW and row["cut"]["either"]]
    if known:
        most = max(known, key=lambda row: row["cut"]["either"] or 0)
        told.append(
            f"Of the classes with {FEW} or more instances, {most['name']} is cut most often "
            f"({percent(most['cut']['either'] or 0)})."
        )
    return [sentence[0].upper() + sentence[1:] for sentence in told]


def _parts(statistics: Statistics) -> list[tuple[str, Part]]:
    """Each split that has instances, with what begins a sentence about it; a single one needs no name."""
    there = [(name, part) for name, part in statistics["splits"].items() if part["instances"]]
    return [(f"in {name}, " if len(there) > 1 else "", part) for name, part in there]


def _mean(row: Category) -> float:
    return row["seconds"]["mean"] or 0.0


def _share(row: Category) -> str:
    return percent(row["share"] or 0.0)


def _most(highest: int) -> str:
    return "never two at once" if highest < 2 else f"at most {highest} at once"


def _many(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _have(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _named(names: list[str]) -> str:
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _time(seconds: float) -> str:
    """Hours, or minutes where hours would be a fraction.

    >>> _time(7200), _time(90)
    ('2.0 hours', '1.5 minutes')
    """
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
