"""Files of predictions: ours, in ActivityNet's results layout, and the others that can be evaluated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmad.errors import MmadError
from mmad.formats.activitynet import parse_json, parse_results
from mmad.formats.challenge import parse_challenge, unzip_challenge
from mmad.formats.table import decode
from mmad.formats.whole_file import write_whole
from mmad.segments import Segments
from mmad.taxonomy import Taxonomy


def write_predictions(
    path: Path,
    predictions: Mapping[str, Segments],
    *,
    taxonomy: Taxonomy,
    told: Mapping[str, Any] | None = None,
) -> None:
    """Writes predictions as ActivityNet results, labels by name, numbers in full precision.

    The file appears whole or not at all.

    Args:
        path: the JSON file; its folder is made.
        predictions: predictions of each clip in seconds, with scores.
        taxonomy: the classes.
        told: plain data on how they were made, kept as `external_data`.

    Raises:
        MmadError: a time or a score is not finite.
    """
    path = Path(path)
    results = {
        clip: [
            {"label": taxonomy.actions[label], "score": score, "segment": segment}
            for label, score, segment in zip(
                rows["labels"].tolist(), rows["scores"].tolist(), rows["segments"].tolist(), strict=True
            )
        ]
        for clip, rows in predictions.items()
    }
    try:
        text = json.dumps({"version": "mmad", "results": results, "external_data": dict(told or {})}, allow_nan=False)
    except ValueError as error:
        raise MmadError(
            f"predictions for {path} hold a time or score that is not finite; look for a diverged training"
        ) from error
    write_whole(path, text.encode())


def read_predictions(path: Path, *, taxonomy: Taxonomy) -> dict[str, Segments]:
    """Reads predictions; what the file is, is seen from its content.

    Args:
        path: our JSON, ActivityNet or OpenTAD results, the challenge's `prediction.csv`, or a zip with it.
        taxonomy: the classes.

    Returns:
        Predictions of each clip: float64 seconds and scores, in file order. Segments that end before they
        start are dropped with a warning.

    Raises:
        MmadError: the file is missing, is none of these, or holds what cannot be a prediction.
    """
    path, source = Path(path), str(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MmadError(f"{path} does not exist; check the path") from None
    except IsADirectoryError:
        raise MmadError(f"{path} is a folder, expected a file of predictions; name the file in it") from None
    if content.startswith(b"PK"):
        return parse_challenge(unzip_challenge(content, source=source), taxonomy=taxonomy, source=source)
    text = decode(content, source=source)
    if text.lstrip().startswith(("{", "[")):
        return parse_results(parse_json(text, source=source), taxonomy=taxonomy, source=source)
    return parse_challenge(text, taxonomy=taxonomy, source=source)
