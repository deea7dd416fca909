"""Files of weights: what they hold, without running code that they may hold, and what came of loading one."""

import hashlib
import pickle
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from mmad.errors import MmadError


class WeightsFile(NamedTuple):
    """What a file of weights holds.

    Args:
        path: of the file.
        tensors: by name, without the `module.` of parallel training; the averaged ones where there are such.
        metadata: of a safetensors file; empty for others.
        sha256: of the file's bytes.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]
    sha256: str


@dataclass(frozen=True)
class LoadReport:
    """What came of loading a file of weights.

    Args:
        source: the file, or `builtin:NAME`.
        format: layout of the file.
        loaded: number of the model's tensors that were filled.
        missing: the model's tensors that keep their initial values; never one of the published ViT's.
        dropped: names in the file (in our spelling) that the model has no use for.
        sha256: of the file's bytes.
        why: reason for what is missing, where it is not plain.
    """

    source: str
    format: str
    loaded: int
    missing: tuple[str, ...]
    dropped: tuple[str, ...]
    sha256: str
    why: str = ""

    def __str__(self) -> str:
        text = f"{self.source} ({self.format} layout, sha256 {self.sha256[:12]}): {self.loaded} tensors loaded"
        if self.missing:
            text += f"; left as initialised: {_summary(self.missing)}{f', {self.why}' if self.why else ''}"
        if self.dropped:
            text += f"; not used: {_summary(self.dropped)}"
        return text


def weights_path(source: str | Path, *, option: str) -> Path:
    """Where a file of weights is.

    Args:
        source: the file.
        option: that names it, for the error message.

    Raises:
        MmadError: there is none.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        raise MmadError(f"{path} is a folder; pass the file of weights in it, such as {path / 'model.safetensors'}.")
    if not path.is_file():
        raise MmadError(f"There is no file of weights at {path}; correct {option} or download the file there.")
    return path


def read_weights(source: str | Path, *, option: str) -> WeightsFile:
    """What a .safetensors file or one that `torch.load` reads holds.

    Args:
        source: the file.
        option: that names it, for the error message.

    Raises:
        MmadError: the file is missing, damaged, or something else than tensors by name.
    """
    path = weights_path(source, option=option)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as opened:
                metadata = opened.metadata() or {}
            return WeightsFile(path, load_file(path), metadata, sha256)
        except SafetensorError as error:
            raise MmadError(f"{path} is not a whole safetensors file ({error}); download it again.") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise MmadError(
                f"{path} holds Python objects beside its tensors, and loading those may run foreign code; if "
                "you trust the file, load it yourself with weights_only=False and save only its state_dict "
                "with torch.save."
            ) from error
        raise MmadError(f"{path} is not a PyTorch file of weights; pass a .pth, .pt, .bin or .safetensors.") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise MmadError(f"{path} is not a whole PyTorch file of weights; download it again.") from error
    for wrapper in ("state_dict_ema", "state_dict", "model", "module"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict):
        raise MmadError(f"{path} holds a {type(content).__name__} where a dictionary of tensors was expected.")
    tensors = {
        str(key).removeprefix("module."): value for key, value in content.items() if isinstance(value, torch.Tensor)
    }
    return WeightsFile(path, tensors, {}, sha256)


def _summary(names: tuple[str, ...]) -> str:
    """Names by their first word, such as "head (2), decoder (52)"."""
    return ", ".join(f"{word} ({n})" for word, n in Counter(name.split(".")[0] for name in names).items())
