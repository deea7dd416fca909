"""How checkpoints are written and read: whole or not at all, and as plain data."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from mmad.formats.whole_file import write_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Files that replace an old one only once they are complete, and are read without running code from them.

    Raises:
        MmadError: a file cannot be written, such as on a full disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes beside the file, then takes its place: a kill leaves the old one or the new one."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(Path(path), content.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads tensors and plain data, nothing else, whatever is asked for; on the CPU, as everything goes on from."""
        return torch.load(path, map_location="cpu", weights_only=True)
