"""A model card: what a checkpoint is, what it learnt from, how well it does, and what it must not be used for.

Source: Mitchell et al., "Model cards for model reporting" (FAT* 2019).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import OmegaConf

from mmad.annotations import Clip
from mmad.data.transforms import height_width
from mmad.diagnosis.records import ClassRow
from mmad.formats.whole_file import write_whole
from mmad.report import Evaluation
from mmad.tables.performance import detection_map
from mmad.tables.table import Cell, Table, ends, to_markdown, with_ends
from mmad.taxonomy import Taxonomy
from mmad.timebase import Timebase

EXTREMES = 5
"""Best and worst classes that are named."""

FEW = 10
"""Instances below which the AP of a class says little."""

Splits = Mapping[str, Sequence[Clip]]

PEOPLE = """\
## People

- Micro-actions are movements. They are not emotions, lies, intentions or diagnoses, and nothing here infers these; a
  detection is no evidence of any.
- Film and analyse people only with their informed consent, which they can withdraw. No covert use, and no use at work,
  in school, at borders or by the police to judge somebody.
- Faces and ways of moving identify people. Recordings, predictions and pages with videos in them are personal data:
  under the GDPR and laws like it they need a legal basis, a purpose, protection and an end. Ask your ethics board and
  your data protection officer.
- Nothing was measured of differences between groups of people, such as by age, sex, skin, clothing, culture or
  disability. Do not assume that there are none.
- A person looks at what is found before anything follows from it."""

_ORIGINS = {
    "drawn": "Clips that the project draws itself (`{data}`): no person was filmed. MIT licence, as the project. What "
    "was learnt from them says nothing about real people.",
    "mma52": "MMA-52 (Li et al., MMAD: Multi-label micro-action detection in videos). Its authors give it out on "
    "request, for research. Weights that were trained on it fall under their terms: ask before handing them on.",
    "own": "*State here* under which terms the recordings (`{data}`) may be used, what the people in them agreed to, "
    "and whether weights that were trained on them may be handed on.",
}


def write_card(
    path: Path,
    *,
    recipe: Mapping[str, Any],
    environment: Mapping[str, Any],
    parameters: Mapping[str, int],
    clips: Splits,
    evaluated: str,
    evaluation: Evaluation | None,
) -> None:
    """Writes the card of a checkpoint as Markdown, with the front matter that model hubs read.

    Args:
        path: of the card; the checkpoint of the same name lies beside it.
        recipe: what the checkpoint says of itself, as plain data.
        environment: what `environment.json` of the run holds.
        parameters: `total`, `trained` and `trained_in_backbone`.
        clips: of each split that the run used, `train` among them.
        evaluated: name of the split of the final evaluation.
        evaluation: what came of it; None without ground truth.
    """
    taxonomy = Taxonomy(**{name: tuple(values) for name, values in recipe["taxonomy"].items()})
    parts = [
        _title(path, recipe),
        _what(recipe, environment, parameters),
        _use(path, recipe, environment),
        _data(clips, environment),
        _results(evaluation, evaluated, clips),
        _classes(taxonomy, clips["train"], recipe.get("thresholds")),
        _limits(recipe, clips, evaluated, evaluation),
        PEOPLE,
        _licences(recipe, environment),
    ]
    front = OmegaConf.to_yaml(OmegaConf.create(_front(path, recipe, environment, evaluation, evaluated)))
    write_whole(path, (f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n").encode())


def _origin(recipe: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    """Whose the data are: a key of `_ORIGINS`."""
    if recipe["config"]["data"]["make"] is not None:
        return "drawn"
    return "mma52" if environment["choices"]["data"] == "mma52" else "own"


def _name(path: Path) -> str:
    """Name of the run's folder."""
    return path.resolve().parent.parent.name


def _front(
    path: Path,
    recipe: Mapping[str, Any],
    environment: Mapping[str, Any],
    evaluation: Evaluation | None,
    evaluated: str,
) -> dict[str, Any]:
    """What model hubs read."""
    choices, origin = environment["choices"], _origin(recipe, environment)
    free = origin == "drawn" and not _foreign(recipe, environment)
    tags = ["micro-action-detection", "temporal-action-detection", "mmad", choices["head"], choices["backbone"]]
    front: dict[str, Any] = {
        "library_name": "mmad",
        "pipeline_tag": "video-classification",
        "license": "mit" if free else "other",
        "tags": [*tags, *([] if choices["adapter"] in ("frozen", "full") else [choices["adapter"]])],
        "datasets": [choices["data"]],
        "metrics": ["detection-map"],
    }
    if not free:
        front["license_name"] = "see-the-end-of-this-card"
    if evaluation is not None:
        numbers = evaluation.numbers
        values = {"action": numbers["action"]["avg"], "body": numbers["body"]["avg"], "AVG": numbers["avg"]}
        front["model-index"] = [
            {
                "name": _name(path),
                "results": [
                    {
                        "task": {"type": "temporal-action-detection"},
                        "dataset": {"name": choices["data"], "type": choices["data"], "split": evaluated},
                        "metrics": [
                            {"type": "detection-map", "name": f"Detection-mAP, {name} (%)", "value": round(value, 2)}
                            for name, value in values.items()
                        ],
                    }
                ],
            }
        ]
    return front


def _title(path: Path, recipe: Mapping[str, Any]) -> str:
    lines = [f"# Model card of {_name(path)}"]
    if control := recipe["config"]["data"].get("control"):
        lines.append(
            f"**This is a control (`data.control={control}`), made to be compared with and for no other use.**"
        )
    return "\n\n".join(lines)


def _what(recipe: Mapping[str, Any], environment: Mapping[str, Any], parameters: Mapping[str, int]) -> str:
    config, choices = recipe["config"], environment["choices"]
    backbone, grid = config["backbone"], config["data"]["grid"]
    if config["data"]["resolution"] is None:
        seen = f"features of {backbone['embed_dim']} channels in the place of a backbone"
    else:
        seen = f"backbone `{choices['backbone']}`, adapter `{choices['adapter']}`, {_pixels(config)} pixels"
    return "\n".join(
        [
            "A detector of micro-actions: it gives start, end, class and score of the small movements in a video of a "
            "person, of several at the same time too.",
            "",
            f"- Model: {seen}; head `{choices['head']}`.",
            f"- Parameters: {parameters['total']:,}, of which {parameters['trained']:,} were trained, "
            f"{parameters['trained_in_backbone']:,} of them in the backbone.",
            f"- Window: {grid['window']} feature steps of {grid['feature_stride']} frames; longer videos are seen "
            f"through several.",
            f"- Trained with seed {environment['seed']}, mmad {environment['mmad']}, torch {environment['torch']}; "
            f"all else is in `config.yaml` and `environment.json` of the run.",
        ]
    )


def _pixels(config: Mapping[str, Any]) -> str:
    height, width = height_width(config["data"]["resolution"])
    return f"{height} x {width}"


def _use(path: Path, recipe: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    checkpoint = f"{path.stem}.ckpt"
    weights = environment["weights"]
    needed = recipe["identity"] is not None and weights and not weights["source"].startswith("builtin:")
    file = Path(weights["source"]).name if needed else None
    intended = [
        "## Use",
        "",
        "Meant for research on movement: to find candidates in recordings that a person then checks, to compare "
        "methods, to count and time movements over many recordings, with the errors below in mind. Not meant for "
        "decisions about individual people.",
        "",
    ]
    if recipe["config"]["data"]["resolution"] is None:
        command = f"mmad-eval checkpoint={checkpoint} root=FEATURES"
        return "\n".join([*intended, "```bash", command, "```"])
    command = f"mmad-predict checkpoint={checkpoint} videos=FOLDER" + (f" weights={file}" if file else "")
    call = f'load_detector("{checkpoint}"' + (f', weights="{file}"' if file else "") + ")"
    python = ["from mmad import load_detector", "", f'print({call}("clip.mp4"))']
    return "\n".join([*intended, "```bash", command, "```", "", "```python", *python, "```"])


def _data(clips: Splits, environment: Mapping[str, Any]) -> str:
    rows: list[tuple[Cell, ...]] = []
    for split, some in clips.items():
        subjects = {clip.subject for clip in some}
        rates = [clip.fps for clip in some]
        lengths = [clip.duration for clip in some]
        rows.append(
            (
                split,
                len(some),
                sum(len(clip.instances) for clip in some),
                None if None in subjects else len(subjects),
                sum(lengths) / 3600,
                f"{min(lengths):.1f} to {max(lengths):.1f}",
                _span(rates),
            )
        )
    header = ("split", "clips", "instances", "subjects", "hours", "length (s)", "frames per second")
    told = environment["data"]
    hashes = f"sha256 of clips and annotations: `{told['annotations']}`"
    if told.get("manifest"):
        hashes += f"; of the list of videos or features: `{told['manifest']}`"
    name = environment["choices"]["data"]
    return f"## Data\n\n`data={name}`\n\n{to_markdown(Table('splits', 'Splits', header, rows))}\n{hashes}."


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _results(evaluation: Evaluation | None, evaluated: str, clips: Splits) -> str:
    if evaluation is None:
        return f"## Results\n\nNone: split `{evaluated}` has no ground truth."
    numbers = evaluation.numbers
    table = detection_map(numbers)
    lines = [
        "## Results",
        "",
        f"{table.title}, in percent, on split `{evaluated}`: {numbers['clips']:,} clips, {numbers['instances']:,} "
        f"instances.",
        "",
        to_markdown(table),
    ]
    if evaluated == "val":
        lines += ["The best epoch was chosen on these clips, so that the numbers flatter.", ""]
    rows = [row for row in evaluation.diagnosis["action"]["classes"] if row["ap"] is not None]
    rows.sort(key=lambda row: (-(row["ap"] or 0.0), row["name"]))
    chosen = rows if len(rows) <= 2 * EXTREMES else [*rows[:EXTREMES], *rows[-EXTREMES:]]
    what = "All classes" if chosen is rows else f"The {EXTREMES} strongest and the {EXTREMES} weakest classes"
    lines += [f"{what}, AP over all thresholds:", "", to_markdown(_extremes(chosen, evaluation, clips["train"]))]
    if (error := evaluation.diagnosis["action"]["calibration"]["error"]) is not None:
        lines.append(
            f"Expected calibration error of all scores: {error:.3f}. At 0, a score of 0.7 is right in 7 of 10 cases."
        )
    return "\n".join([*lines, "", *(f"- Note: {note}" for note in numbers["notes"])]).rstrip()


def _extremes(rows: Sequence[ClassRow], evaluation: Evaluation, train: Sequence[Clip]) -> Table:
    learnt = _counts(train, evaluation.taxonomy)
    intervals = evaluation.numbers["action"]["per_class_intervals"]
    cells: list[tuple[Cell, ...]] = [
        (
            row["name"],
            row["group"],
            learnt[evaluation.taxonomy.index_of[row["name"]]],
            row["instances"],
            row["ap"],
            *ends(intervals.get(row["name"])),
        )
        for row in rows
    ]
    header = ("class", "body group", "instances in training", "evaluated", *with_ends("AP (%)"))
    return Table("extremes", "Strongest and weakest classes", header, cells)


def _counts(clips: Sequence[Clip], taxonomy: Taxonomy) -> list[int]:
    """Instances of each class."""
    counts = [0] * len(taxonomy.actions)
    for clip in clips:
        for instance in clip.instances:
            counts[instance.label] += 1
    return counts


def _classes(taxonomy: Taxonomy, train: Sequence[Clip], thresholds: Sequence[float] | None) -> str:
    counts = _counts(train, taxonomy)
    header: tuple[str, ...] = ("body group", "class", "code", "instances in training")
    order = sorted(range(len(counts)), key=lambda label: (taxonomy.body_of[label], -counts[label], label))
    rows: list[tuple[Cell, ...]] = [
        (taxonomy.bodies[taxonomy.body_of[label]], taxonomy.actions[label], taxonomy.codes[label], counts[label])
        for label in order
    ]
    lines = ["## Classes", ""]
    if thresholds is not None:
        header = (*header, "threshold (0-1)")
        rows = [(*row, thresholds[label]) for row, label in zip(rows, order, strict=True)]
        lines += [
            "Thresholds are the scores that gave each class its best F1 on the validation clips, or all classes "
            "together theirs, where none of a class was right.",
            "",
        ]
    if absent := counts.count(0):
        lines += [f"{absent} of {len(counts)} classes have no instance in training, so that they cannot be found.", ""]
    return "\n".join([*lines, to_markdown(Table("classes", "Classes", header, rows)).rstrip()])


def _limits(recipe: Mapping[str, Any], clips: Splits, evaluated: str, evaluation: Evaluation | None) -> str:
    train = clips["train"]
    rates = [clip.fps for clip in train]
    step = Timebase(fps=median(rates), stride=recipe["config"]["data"]["grid"]["feature_stride"]).seconds(1.0)
    lines = [
        f"- Trained on {_rates_and_lengths(train)}, evaluated on {_rates_and_lengths(clips[evaluated])}; others were "
        f"not tried.",
        "- Made for one person in the picture, seen as in the training clips: several people, other views, distances, "
        "light and cameras were not tried.",
        f"- {_people_shared(train, clips[evaluated])}",
    ]
    if durations := [instance.end - instance.start for clip in train for instance in clip.instances]:
        usual = median(durations)
        lines.append(
            f"- Short movements have loose boundaries: a shift of both ends by one feature step ({step:.2f} s) takes "
            f"the median instance of {usual:.2f} s to a tIoU of {max(usual - step, 0.0) / (usual + step):.2f}."
        )
    if evaluation is not None:
        rows = [row for row in evaluation.diagnosis["action"]["classes"] if row["instances"]]
        few = sum(row["instances"] < FEW for row in rows)
        lines.append(
            f"- {few} of the {len(rows)} classes evaluated have fewer than {FEW} instances there; a single one moves "
            f"their AP by much, and the mean with it."
        )
    return "\n".join(["## Limits, and what it was not tested on", "", *lines])


def _rates_and_lengths(clips: Sequence[Clip]) -> str:
    lengths = [clip.duration for clip in clips]
    rates = _span([clip.fps for clip in clips])
    return f"clips of {min(lengths):.1f} to {max(lengths):.1f} s at {rates} frames per second"


def _people_shared(train: Sequence[Clip], evaluated: Sequence[Clip]) -> str:
    """Whether the people of the evaluation were seen in training."""
    learnt, shown = ({clip.subject for clip in some} for some in (train, evaluated))
    if None in learnt | shown:
        return "Who is shown is not known for all clips, so that results may be for people who were seen in training."
    if both := len(learnt & shown):
        return f"{both} of the {len(shown)} people of the evaluation were seen in training: of strangers, expect less."
    return (
        f"The {len(shown)} people of the evaluation were not seen in training; of other places and tasks, expect less."
    )


def _foreign(recipe: Mapping[str, Any], environment: Mapping[str, Any]) -> list[str]:
    """What came from others' files of weights, a sentence each."""
    told = []
    for part, key in (("backbone", "weights"), ("head", "head_weights")):
        known = environment.get(key)
        if known and not known["source"].startswith("builtin:"):
            told.append(
                f"The {part} started from the file `{Path(known['source']).name}` (sha256 `{known['sha256']}`): its "
                f"publisher's licence holds for these weights and for what was trained from them; *state it here*."
            )
    if recipe["config"]["data"]["resolution"] is None:
        told.append("The features come from a backbone and from videos whose terms hold too; *state them here*.")
    return told


def _licences(recipe: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    origin = _ORIGINS[_origin(recipe, environment)].format(data=f"data={environment['choices']['data']}")
    lines = [f"- Data: {origin}", *(f"- {each}" for each in _foreign(recipe, environment))]
    weights = environment.get("weights")
    if weights and weights["source"].startswith("builtin:"):
        lines.append(
            f"- The backbone started from `{weights['source']}`, which comes with the project: drawn clips, MIT."
        )
    elif not weights and recipe["config"]["data"]["resolution"] is not None:
        lines.append("- The backbone started from random weights.")
    return "\n".join(["## Licences", "", *lines, "- The code: MIT."])
