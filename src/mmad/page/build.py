"""Writes the report page: numbers, charts, tables and a clip viewer in one HTML file."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from mmad.diagnosis.records import Comparison, Diagnosis, Numbers, ShownClip
from mmad.errors import MmadError
from mmad.formats.whole_file import write_whole
from mmad.page.packing import pack_clips
from mmad.taxonomy import Taxonomy

SCRIPTS = ("draw.js", "charts.js", "matrix.js", "tables.js", "findings.js", "viewer.js", "timeline.js", "app.js")


def write_page(
    path: Path,
    *,
    title: str,
    numbers: Numbers,
    diagnosis: Diagnosis,
    clips: Sequence[ShownClip],
    taxonomy: Taxonomy,
    comparison: Comparison | None = None,
    about: Mapping[str, str],
) -> Path:
    """Writes one HTML file that holds its styles, script and data, and fetches nothing but the clips' videos.

    The file appears whole or not at all. Its content security policy lets only the page's own script and style run,
    so that no name in a user's file can.

    Args:
        path: the HTML file; its folder is made.
        title: heading of the page.
        numbers: Detection-mAP and what goes with it.
        diagnosis: the error analysis.
        clips: what the clip viewer shows.
        taxonomy: names of the classes.
        comparison: with another result; None where there is none.
        about: rows for the foot of the page, such as command, versions and date.

    Returns:
        The path.

    Raises:
        MmadError: a number is not finite.
    """
    data = {
        "title": title,
        "numbers": numbers,
        "diagnosis": diagnosis,
        "comparison": comparison,
        "about": dict(about),
        "taxonomy": {
            "actions": taxonomy.actions,
            "codes": taxonomy.codes,
            "bodies": taxonomy.bodies,
            "body_of": taxonomy.body_of,
        },
        "shown": pack_clips(clips, diagnosis=diagnosis, taxonomy=taxonomy),
    }
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise MmadError(
            f"the numbers for {path} hold one that is not finite; write None for a value that does not exist"
        ) from error
    style = _asset("style.css")
    script = "(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in SCRIPTS) + "})();\n"
    parts = {
        "title": html.escape(title).encode("ascii", "xmlcharrefreplace").decode(),
        "policy": "; ".join(
            [
                "default-src 'none'",
                f"script-src '{_digest(script)}'",
                f"style-src '{_digest(style)}'",
                "img-src data:",
                "media-src 'self' data: file: blob:",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
        "style": style,
        "script": script,
        # Without "<", no string in it can end the script element or open a comment.
        "data": text.replace("<", "\\u003c"),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("template.html"))
    write_whole(Path(path), page.encode())
    return Path(path)


def _asset(name: str) -> str:
    return resources.files("mmad.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
