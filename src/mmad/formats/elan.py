"""ELAN's .eaf: one file per clip, one tier per class or per annotator, times in whole milliseconds."""

import itertools
import math
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from mmad.errors import MmadError, OnFault, refuse
from mmad.formats.annotated import Annotations, check_name
from mmad.formats.marks import Mark, clip_of
from mmad.formats.table import read_text
from mmad.formats.whole_file import write_whole
from mmad.taxonomy import Taxonomy

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
# The schema demands a date: with the present one, equal marks would give different files.
_DATE = "2000-01-01T00:00:00+00:00"
_TYPE = "default-lt"
_MIME = {
    ".avi": "video/x-msvideo",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mpg": "video/mpeg",
    ".webm": "video/webm",
}
_LATEST = 2**32 - 1
_NUMBERED = re.compile(r"(.+) \((?:[2-9]|[1-9][0-9]+)\)", re.DOTALL)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_elan(
    path: Path, *, labels: str = "auto", taxonomy: Taxonomy | None = None, on_fault: OnFault = refuse
) -> Annotations:
    """The annotations of one clip; its id is the name of the linked video, or else that of the file.

    A tier's PARTICIPANT is the subject and its ANNOTATOR the annotator. Annotations that refer to others instead of
    to times (dependent, symbolic ones) are passed over.

    Times are those of the video. ELAN's offset of a video (TIME_ORIGIN, milliseconds) is the place in the video at
    which the time line begins, as its menu entry "copy current time ignoring offset" shows: time in the video = time
    of the annotation + offset.

    Args:
        path: the .eaf file; times are whole milliseconds.
        labels: where the label is: `tier`, the tier's name, and a value that is a number is a score; `value`, each
            annotation's value; `auto`, `tier` if all values are empty, numbers or the tier's name, else `value`.
        taxonomy: classes whose code a tier's name may begin with: `B3 turning head` is then `turning head`.
        on_fault: told of annotations without times, without a label, or that do not last.

    Returns:
        One clip, and its marks in the file's order: tier by tier. Tiers `name` and `name (2)` are one class.

    Raises:
        MmadError: the file is no ELAN file, its video has no usable name, or `labels` is none of the three.
    """
    path = Path(path)
    if labels not in ("auto", "tier", "value"):
        raise MmadError(f"labels is {labels!r}, expected 'auto', 'tier' or 'value'; choose one of them")
    root = _document(path)
    clip, origin = _video(root, path)
    check_name(clip, what="the name of the video", where=str(path))
    slots = _time_slots(root, path)
    tiers = [(tier.get("TIER_ID", "").strip(), tier) for tier in root.findall("TIER")]
    names = _plain_names([name for name, _ in tiers], taxonomy)
    rows = [
        (name, tier, annotation, annotation.findtext("ANNOTATION_VALUE", "").strip())
        for name, tier in tiers
        for annotation in tier.findall("ANNOTATION/ALIGNABLE_ANNOTATION")
    ]
    if labels == "auto":
        plain = all(value in ("", name, names[name]) or _score(value) is not None for name, _, _, value in rows)
        labels = "tier" if plain else "value"
    marks = []
    for name, tier, annotation, value in rows:
        where = f"{path}, tier {name!r}, annotation {annotation.get('ANNOTATION_ID')}"
        try:
            label = names[name] if labels == "tier" else value
            if not label:
                raise MmadError(f"{where}: the {labels} is empty, expected a label; write one or remove the annotation")
            check_name(label, what="label", where=where)
            start, end = ((_time(annotation, side, slots, where) + origin) / 1000 for side in (1, 2))
            if not 0 <= start < end:
                raise MmadError(
                    f"{where}: segment [{start:g}, {end:g}] s of the video, expected 0 <= start < end; correct it",
                    kind="segment",
                )
        except MmadError as fault:
            fault.clip = clip
            on_fault(fault)
            continue
        subject, annotator = (tier.get(key, "").strip() or None for key in ("PARTICIPANT", "ANNOTATOR"))
        score = _score(value) if labels == "tier" else None
        marks.append(Mark(clip, start, end, label, subject, annotator, score, where))
    return Annotations(marks, [clip])


def write_elan(path: Path, marks: Sequence[Mark], *, video: Path | None, taxonomy: Taxonomy | None = None) -> None:
    """Writes the marks of one clip as EAF 3.0: one tier per class, its name with the code before it.

    `read_elan` gives the same marks back, in the order of tiers, times rounded to milliseconds and lasting at least
    one. ELAN allows no overlap in a tier, and one participant and annotator: a class with more has further tiers
    `name (2)`, `name (3)`. The tier's type is the body group; a score is the annotation's value.

    Args:
        path: the .eaf file; its folder is made.
        marks: of one clip, in any order; equal ones give equal bytes.
        video: the clip's video, linked relative to the file if on the same drive; None for no link.
        taxonomy: gives codes, body groups and the order of tiers; read the file with the same one.

    Raises:
        MmadError: the marks are of several clips, the clip's id is not the name that would be read back, a mark does
            not last, or a label cannot be a tier's name.
    """
    path = Path(path)
    clip = clip_of(marks, path=path)
    source = path if video is None else Path(video)
    # A file system may keep a name in another case, see `find_videos`.
    if clip is not None and source.stem.lower() != clip.lower():
        raise MmadError(f"{source} does not bear the name of its clip {clip!r}, which is read from it; rename it")
    root = ET.Element("ANNOTATION_DOCUMENT", AUTHOR="mmad", DATE=_DATE, FORMAT="3.0", VERSION="3.0")
    root.set(f"{{{_XSI}}}noNamespaceSchemaLocation", "http://www.mpi.nl/tools/elan/EAFv3.0.xsd")
    header = ET.SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if video is not None:
        ET.SubElement(header, "MEDIA_DESCRIPTOR", _link(source, path))
    ET.SubElement(header, "PROPERTY", NAME="lastUsedAnnotationId").text = str(len(marks))
    _add_tiers(root, _lanes(marks, taxonomy), taxonomy)
    ET.indent(root, "    ")
    text = ET.tostring(root, encoding="unicode")
    if wrong := _NOT_XML.search(text):
        raise MmadError(
            f"a name in clip {clip!r} holds the character {wrong[0]!r}, which XML, and so {path}, cannot; rename it"
        )
    write_whole(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode())


def milliseconds(mark: Mark) -> tuple[int, int]:
    """Start and end of a mark in whole milliseconds, at least one apart.

    Raises:
        MmadError: the mark does not last, or lasts beyond 2^32 ms (49 days), the end of ELAN's time.
    """
    if not 0 <= mark.start < mark.end <= _LATEST / 1000:
        raise MmadError(
            f"clip {mark.clip!r}: segment [{mark.start:g}, {mark.end:g}] s of {mark.label!r}, expected "
            f"0 <= start < end <= {_LATEST // 1000}; correct it"
        )
    start = round(mark.start * 1000)
    return start, max(round(mark.end * 1000), start + 1)


def _document(path: Path) -> ET.Element:
    text = read_text(path)
    # A document type can define entities that blow up to gigabytes; ELAN writes none.
    if "<!DOCTYPE" in text:
        raise MmadError(f"{path} declares a document type, which ELAN's files do not; save it with ELAN")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise MmadError(f"{path} is not readable XML ({error}); save it with ELAN") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise MmadError(f"{path} is {root.tag!r}, expected ELAN's ANNOTATION_DOCUMENT; name an .eaf file")
    return root


def _video(root: ET.Element, path: Path) -> tuple[str, int]:
    """The clip's id, and how many milliseconds of its video lie before the time line."""
    header = root.find("HEADER")
    units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if units != "milliseconds":
        raise MmadError(f"{path} counts time in {units!r}, expected milliseconds; save it with ELAN")
    links = root.findall("HEADER/MEDIA_DESCRIPTOR")
    # The sound may be linked too, and before the video.
    link = next((link for link in links if link.get("MIME_TYPE", "").startswith("video")), links[0] if links else None)
    if link is None:
        return path.stem, 0
    origin = link.get("TIME_ORIGIN", "0").strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", origin):
        raise MmadError(f"{path}: TIME_ORIGIN is {origin!r}, expected whole milliseconds; correct it")
    url = link.get("RELATIVE_MEDIA_URL") or link.get("MEDIA_URL") or ""
    return PurePosixPath(unquote(re.split(r"[/\\]", url)[-1])).stem or path.stem, int(origin)


def _time_slots(root: ET.Element, path: Path) -> dict[str, str | None]:
    """The text of each time slot's TIME_VALUE, None where it has none."""
    slots: dict[str, str | None] = {}
    for slot in root.findall("TIME_ORDER/TIME_SLOT"):
        name = slot.get("TIME_SLOT_ID", "")
        if name in slots:
            raise MmadError(f"{path}: time slot {name!r} is there twice, expected once; save it with ELAN")
        slots[name] = slot.get("TIME_VALUE")
    return slots


def _time(annotation: ET.Element, side: int, slots: dict[str, str | None], where: str) -> int:
    """Milliseconds of an annotation's start (1) or end (2)."""
    name = annotation.get(f"TIME_SLOT_REF{side}", "")
    if name not in slots:
        raise MmadError(f"{where}: there is no time slot {name!r}, expected one of the file's; save it with ELAN")
    time = slots[name]
    if time is None:
        raise MmadError(
            f"{where}: time slot {name!r} has no time and is only shown between its neighbours, expected a time; "
            f"align the annotation in ELAN or remove it"
        )
    if not re.fullmatch(r"[0-9]{1,10}", time.strip()):
        raise MmadError(f"{where}: time slot {name!r} is at {time!r}, expected whole milliseconds; correct it")
    return int(time)


def _score(value: str) -> float | None:
    """The number that a value is, None if it is another text."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _plain_names(names: Collection[str], taxonomy: Taxonomy | None) -> dict[str, str]:
    """The class that each tier's name stands for: without the code of a class, and without the number of a further
    tier if the first one is there.
    """
    classes = {} if taxonomy is None else dict(zip(taxonomy.actions, taxonomy.actions, strict=True))
    coded = {} if taxonomy is None else {_coded(name, taxonomy): name for name in taxonomy.actions}
    known = coded | classes
    first = {*names, *known}
    plain = {}
    for name in names:
        short = name
        while short not in known and (numbered := _NUMBERED.fullmatch(short)) and numbered[1] in first:
            short = numbered[1]
        plain[name] = known.get(short, short)
    return plain


def _coded(label: str, taxonomy: Taxonomy | None) -> str:
    index = None if taxonomy is None else taxonomy.index_of.get(label)
    return label if taxonomy is None or index is None else f"{taxonomy.codes[index]} {label}"


def _type(label: str, taxonomy: Taxonomy | None) -> str:
    index = None if taxonomy is None else taxonomy.index_of.get(label)
    return _TYPE if taxonomy is None or index is None else taxonomy.bodies[taxonomy.body_of[index]]


def _add_tiers(root: ET.Element, lanes: Sequence[tuple[str, list[Mark]]], taxonomy: Taxonomy | None) -> None:
    """Adds the time slots, the tiers that refer to them, and the types that the tiers refer to."""
    marks = [mark for _, lane in lanes for mark in lane]
    spans = [milliseconds(mark) for mark in marks]
    # Where one annotation ends as another begins, the end comes first: slots are in the order of a tier.
    times = sorted((span[1 - begins], begins, n) for n, span in enumerate(spans) for begins in (0, 1))
    slots = ET.SubElement(root, "TIME_ORDER")
    slot_of = {}
    for number, (time, begins, n) in enumerate(times, start=1):
        slot_of[n, begins] = f"ts{number}"
        ET.SubElement(slots, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=str(time))
    types: dict[str, None] = {}
    numbers = itertools.count()
    for name, lane in lanes:
        kind = _type(lane[0].label, taxonomy)
        types[kind] = None
        tier = ET.SubElement(root, "TIER", LINGUISTIC_TYPE_REF=kind, TIER_ID=name)
        for key, who in (("PARTICIPANT", lane[0].subject), ("ANNOTATOR", lane[0].annotator)):
            if who:
                tier.set(key, who)
        for mark in lane:
            n = next(numbers)
            annotation = ET.SubElement(ET.SubElement(tier, "ANNOTATION"), "ALIGNABLE_ANNOTATION")
            annotation.set("ANNOTATION_ID", f"a{n + 1}")
            annotation.set("TIME_SLOT_REF1", slot_of[n, 1])
            annotation.set("TIME_SLOT_REF2", slot_of[n, 0])
            value = ET.SubElement(annotation, "ANNOTATION_VALUE")
            value.text = None if mark.score is None else repr(float(mark.score))
    for kind in types or (_TYPE,):
        ET.SubElement(root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID=kind, TIME_ALIGNABLE="true")


def _lanes(marks: Sequence[Mark], taxonomy: Taxonomy | None) -> list[tuple[str, list[Mark]]]:
    """Name and marks of each tier: of one class, subject and annotator, and none overlaps another."""
    place = {} if taxonomy is None else taxonomy.index_of
    of_label: dict[str, list[Mark]] = {}
    for mark in sorted(marks, key=lambda mark: (place.get(mark.label, len(place)), mark.label, _rank(mark))):
        of_label.setdefault(mark.label, []).append(mark)
    lanes: list[tuple[str, list[Mark]]] = []
    for label, found in of_label.items():
        mine: list[list[Mark]] = []
        for mark in found:
            lane = next((lane for lane in mine if _fits(mark, lane[-1])), None)
            if lane is None:
                mine.append([mark])
            else:
                lane.append(mark)
        name = _coded(label, taxonomy)
        lanes += [(f"{name} ({n})" if n > 1 else name, lane) for n, lane in enumerate(mine, start=1)]
    plain = _plain_names([name for name, _ in lanes], taxonomy)
    for name, lane in lanes:
        label = lane[0].label
        if not label or label != label.strip() or plain[name] != label:
            raise MmadError(
                f"label {label!r} would be read back from its tier as {plain[name].strip()!r}, expected the same; "
                f"rename it"
            )
    return lanes


def _rank(mark: Mark) -> tuple:
    if mark.score is not None and not math.isfinite(mark.score):
        raise MmadError(f"clip {mark.clip!r}: a score of {mark.label!r} is {mark.score}, expected a finite number")
    return (mark.subject or "", mark.annotator or "", milliseconds(mark), mark.score is not None, mark.score or 0.0)


def _fits(mark: Mark, last: Mark) -> bool:
    """Whether a mark can follow the last one of a tier."""
    same = all((getattr(mark, who) or "") == (getattr(last, who) or "") for who in ("subject", "annotator"))
    return same and milliseconds(last)[1] <= milliseconds(mark)[0]


def _link(video: Path, path: Path) -> dict[str, str]:
    """Attributes that link a video.

    ELAN writes a path as it is, blanks included; only what would be taken for an escape or a folder is escaped.
    """
    whole = os.path.abspath(video)
    link = {"MEDIA_URL": f"file:///{_escaped(whole).lstrip('/')}"}
    link["MIME_TYPE"] = _MIME.get(video.suffix.lower(), "unknown")
    try:
        relative = _escaped(os.path.relpath(whole, os.path.abspath(path.parent)))
    except ValueError:  # on another drive
        return link
    return link | {"RELATIVE_MEDIA_URL": relative if relative.startswith("../") else f"./{relative}"}


def _escaped(name: str) -> str:
    return Path(name).as_posix().replace("%", "%25").replace("\\", "%5C")
