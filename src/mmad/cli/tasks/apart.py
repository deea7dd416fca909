"""Keeps what a task writes apart from the data set that it reads."""

from pathlib import Path

from mmad.errors import MmadError


def check_apart(output: Path, root: Path, *, nested: bool) -> None:
    """Refuses an output that would change the data set.

    Args:
        output: folder to write into.
        root: folder of the data set.
        nested: whether a folder inside the data set is right; videos and ELAN files are searched for in all of them.

    Raises:
        MmadError: the output is the data set's folder, or lies in it.
    """
    if output.resolve() == root.resolve():
        raise MmadError(f"output={output} is the data set itself; name another folder")
    if not nested and output.resolve().is_relative_to(root.resolve()):
        raise MmadError(
            f"output={output} lies in the data set {root}, which would hold its clips twice; name a folder outside"
        )
