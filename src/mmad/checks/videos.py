"""Opens many videos at once, each in a child process that is ended when it hangs or breaks."""

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from pebble import ProcessExpired, ProcessPool
from tqdm.auto import tqdm

from mmad.checks.faults import Fault
from mmad.data.header import Header
from mmad.data.manifest import Manifest, Video, inspect
from mmad.data.video import decode_all
from mmad.errors import MmadError


def inspect_whole(path: Path) -> Video:
    """As `inspect`, and decodes every frame.

    Raises:
        MmadError: the file is absent, unreadable, or breaks off.
    """
    found = inspect(path)
    decoded = decode_all(path)
    if decoded != found.header.frames:
        raise MmadError(
            f"{path}: {decoded} of {found.header.frames} frames can be decoded; fetch the video again or re-encode it",
            kind="unreadable_video",
        )
    return replace(found, decoded=decoded)


def inspect_all(
    videos: Mapping[str, Path], manifest: Manifest, *, deep: bool, limit: float, progress: bool
) -> tuple[dict[str, Video], list[Fault]]:
    """Inspects the video of each clip; those that the manifest knows are not opened again.

    Args:
        videos: by id of the clip.
        manifest: what is known already.
        deep: whether every frame is decoded.
        limit: seconds after which a video counts as hanging.
        progress: whether to show a bar.

    Returns:
        What was found of each video that can be read, and the faults of the others.
    """
    found = {
        clip: known
        for clip, path in videos.items()
        if (known := manifest.get(path)) is not None and (known.decoded is not None or not deep)
    }
    faults: list[Fault] = []
    left = {clip: path for clip, path in videos.items() if clip not in found}
    if not left:
        return found, faults
    # Decoders are native code: a hanging one cannot be interrupted, and a broken one takes its process with it.
    context = multiprocessing.get_context("spawn")
    with ProcessPool(min(os.cpu_count() or 1, 8, len(left)), context=context) as pool:
        task = inspect_whole if deep else inspect
        clip_of: dict[Future, str] = {
            pool.schedule(task, args=[path], timeout=limit): clip for clip, path in left.items()
        }
        title = "decode videos" if deep else "open videos"
        for future in tqdm(
            as_completed(clip_of), total=len(left), desc=title, unit="clip", leave=False, disable=not progress
        ):
            clip = clip_of[future]
            try:
                found[clip] = future.result()
            except MmadError as error:
                faults.append(Fault.of(error, clip=clip))
            except (TimeoutError, ProcessExpired) as error:
                what = f"takes more than {limit:g} s" if isinstance(error, TimeoutError) else "crashes the decoder"
                faults.append(Fault("slow_video", f"{left[clip]}: {what}; fetch the video again or re-encode it", clip))
    return {clip: found[clip] for clip in videos if clip in found}, sorted(faults, key=lambda f: f.message)


def headers_of(videos: Mapping[str, Path], manifest: Manifest) -> tuple[dict[str, Header], list[Fault]]:
    """The header of each clip's video, read in this process, and the faults of those that have none.

    Args:
        videos: by id of the clip.
        manifest: what is known already.
    """

    def look(path: Path) -> Header | MmadError:
        try:
            return manifest.header(path)
        except MmadError as error:
            return error

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        looked = list(
            tqdm(pool.map(look, videos.values()), total=len(videos), desc="open videos", unit="clip", leave=False)
        )
    pairs = list(zip(videos, looked, strict=True))
    return (
        {clip: found for clip, found in pairs if isinstance(found, Header)},
        [Fault.of(found, clip=clip) for clip, found in pairs if isinstance(found, MmadError)],
    )


def oddities(videos: Mapping[str, Path], headers: Mapping[str, Header]) -> Iterator[Fault]:
    """Videos whose times or frames other tools read otherwise.

    Args:
        videos: by id of the clip.
        headers: of those that can be read.
    """
    for clip, header in headers.items():
        if header.variable:
            yield Fault(
                "variable_rate",
                f"{videos[clip]}: frames come at varying intervals, {header.fps:.3f} per second on average; frames are "
                f"chosen by their time stamps, but annotations in frames cannot be trusted: re-encode at a fixed rate",
                clip,
            )
        if header.reader != "decord":
            yield Fault(
                "slow_reader",
                f"{videos[clip]}: {' and '.join(_reasons(header))}; decord may read such files wrongly, so PyAV reads "
                f"it; re-encode it to H.264 mp4 to be faster here and safe elsewhere",
                clip,
            )


def _reasons(header: Header) -> Iterator[str]:
    if header.edited:
        yield "an edit list hides some of its frames"
    if header.container.startswith("mpeg"):
        yield "it is an MPEG stream"
    elif not header.timed:
        yield "some of its frames have no time"
    elif not header.edited:
        yield f"it is {header.codec} in {header.container.partition(',')[0]}"
