"""VideoMAE: a plain ViT on 16-frame chunks, with room for an adapter after each block.

Attention stays inside a chunk. Only the temporal convolution of an adapter, which sees the tokens of the
whole window, passes information over the border between two chunks.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import nn
from torch.utils.checkpoint import checkpoint

from mmad.backbones.checkpoints import LoadReport, load_weights
from mmad.errors import MmadError
from mmad.layers.drop import DropPath
from mmad.layers.token_conv import TokenGrid
from mmad.timebase import CHUNK

TUBELET = 2  # frames per token
PUBLISHED_SIZE = 224  # pixels for which the published position table was made
MEAN = (123.675, 116.28, 103.53)  # of ImageNet, RGB, 0..255
STD = (58.395, 57.12, 57.375)


class PatchEmbed(nn.Module):
    """Linear map of non-overlapping 2 x patch x patch tubelets of normalised video.

    The weight keeps the shape of a 3-D convolution, as published; the product with unfolded pixels is the
    same and escapes the slow half-precision kernels of 3-D convolutions.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, embed_dim: int, patch: int) -> None:
        super().__init__()
        size = (TUBELET, patch, patch)
        self.proj = nn.Conv3d(3, embed_dim, size, stride=size)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None], persistent=False)

    def forward(self, video_BCFHW: torch.Tensor) -> torch.Tensor:
        """Tokens (B, N, C) of RGB video in 0..255; pixels beyond the last whole patch are left out."""
        frames, height, width = video_BCFHW.shape[2:]
        patch = self.proj.kernel_size[1]
        t, h, w = frames // TUBELET, height // patch, width // patch
        pixels = video_BCFHW[..., : h * patch, : w * patch].reshape(-1, 3, t, TUBELET, h, patch, w, patch)
        # Unfold first: as uint8 that copies a quarter of the bytes.
        pixels = pixels.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(-1, t * h * w, 3, TUBELET * patch**2)
        # Subtracting from bytes takes about twice as long on a CPU.
        normalised = (pixels.to(self.mean.dtype) - self.mean).div_(self.std).flatten(2)
        return F.linear(normalised.to(self.proj.weight.dtype), self.proj.weight.flatten(1), self.proj.bias)


class VideoMAE(nn.Module):
    """A VideoMAE (v1 or v2) encoder from video to one feature vector per time step.

    There is no final norm: the features are the residual stream, pooled over space, as AdaTAD has them.

    Args:
        embed_dim: width of the tokens.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: width of the MLP divided by `embed_dim`.
        patch: side of a patch in pixels.
        resolution: height and width of the video in pixels; one number for a square.
        frames_per_step: video frames per feature step, 1 or 2. A token spans 2 frames; 1 doubles the tokens'
            rate.
        position: "sincos", the published fixed table, interpolated to `resolution`; or "learned", a learnable
            vector per place plus one per time in the chunk, for small models trained from scratch.
        pooling: over space, "mean" as published, or "grid": one linear map of all places' tokens together.
            The map trains whatever `trains` says.
        drop_path: rate of dropped residual branches at the last block, rising linearly from 0; drawn per
            chunk.
        checkpointing: recompute each block and its adapter in the backward pass instead of keeping
            activations.
        adapter: builds the module after each block from `embed_dim`; None for no adapters.
        trains: "nothing", the "adapters" alone, or "everything".
        weights: file with weights (see `mmad.backbones.checkpoints`), `builtin:NAME`, or None to start at
            random.

    Raises:
        MmadError: on values that do not fit together, or weights that do not fit the model.

    Source: Tong et al., VideoMAE, NeurIPS 2022; Wang et al., VideoMAE V2, CVPR 2023; the use in detection
        follows Liu et al., AdaTAD, CVPR 2024.
    """

    position_table: torch.Tensor

    def __init__(
        self,
        *,
        embed_dim: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        patch: int = 16,
        resolution: int | Sequence[int],
        frames_per_step: int,
        position: Literal["sincos", "learned"] = "sincos",
        pooling: Literal["mean", "grid"] = "mean",
        drop_path: float = 0.0,
        checkpointing: bool = False,
        adapter: Callable[[int], nn.Module] | None = None,
        trains: Literal["nothing", "adapters", "everything"] = "everything",
        weights: str | None = None,
    ) -> None:
        super().__init__()
        height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
        _check("frames_per_step", frames_per_step, (1, 2))
        _check("position", position, ("sincos", "learned"))
        _check("pooling", pooling, ("mean", "grid"))
        _check("trains", trains, ("nothing", "adapters", "everything"))
        if embed_dim % heads:
            raise MmadError(f"embed_dim={embed_dim} cannot be split into heads={heads}; take a divisor of {embed_dim}.")
        if min(height, width) < patch:
            raise MmadError(f"resolution={height}x{width} is smaller than one patch of {patch} pixels; enlarge it.")
        if height % patch or width % patch:
            warnings.warn(
                f"resolution={height}x{width} cannot be cut into patches of {patch} pixels, so that the last rows or "
                f"columns are not seen; set data.resolution to multiples of {patch}, such as {16 * patch}",
                stacklevel=2,
            )
        if trains == "adapters" and adapter is None:
            raise MmadError(
                "The backbone has trains=adapters but adapter=null, so nothing in it would train; choose an "
                "adapter (adapter=standard, tia or dsta) or adapter=frozen."
            )
        self.embed_dim = embed_dim
        self.frames_per_step = frames_per_step
        self.resolution = (height, width)
        self.patch = patch
        self.mlp_ratio = mlp_ratio
        self.space = (height // patch, width // patch)
        self.position = position
        self.trains = trains
        self.checkpointing = checkpointing
        places = self.space[0] * self.space[1]

        self.patch_embed = PatchEmbed(embed_dim, patch)
        if position == "sincos":
            table = interpolate_table(sincos_table(embed_dim, PUBLISHED_SIZE // patch), self.space)
            self.register_buffer("position_table", table, persistent=False)
        else:
            self.pos_space = nn.Parameter(torch.randn(1, places, embed_dim) * 0.5)
            self.pos_time = nn.Parameter(torch.randn(1, CHUNK // TUBELET, embed_dim) * 0.5)
        drop_path = 0.0 if trains == "nothing" else drop_path
        self.blocks = nn.ModuleList(
            Block(
                embed_dim,
                heads,
                mlp_ratio=mlp_ratio,
                qkv_bias=True,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),  # type: ignore[arg-type]
            )
            for _ in range(depth)
        )
        for i, block in enumerate(self.blocks):
            if drop_path * i > 0:
                block.drop_path1 = DropPath(drop_path * i / max(depth - 1, 1))
                block.drop_path2 = DropPath(drop_path * i / max(depth - 1, 1))
        self.blocks.apply(init_linear)
        self.adapters = nn.ModuleList(adapter(embed_dim) for _ in range(depth) if adapter is not None)
        self.pool = nn.Linear(places * embed_dim, embed_dim) if pooling == "grid" else None

        for name, parameter in self.named_parameters():
            of_adapter = trains == "adapters" and name.startswith("adapters.")
            parameter.requires_grad_(trains == "everything" or of_adapter or name.startswith("pool."))
        self.load_report: LoadReport | None = load_weights(self, weights) if weights is not None else None

    def forward(self, video_BCFHW: torch.Tensor, mask_BT: torch.Tensor | None = None) -> torch.Tensor:
        """Turn video into features.

        Args:
            video_BCFHW: (B, 3, F, H, W) uint8 or float RGB in 0..255; F is a multiple of 16 frames.
            mask_BT: (B, F / frames_per_step) bool, True for valid feature steps, which come first. A 16-frame
                chunk without a valid step changes no valid feature, so the padded length does not matter; the
                frames that fill up the last valid chunk do.

        Returns:
            (B, embed_dim, F / frames_per_step) float32 features, zero where `mask_BT` is False.

        Raises:
            MmadError: when the video has another size or a length that is not a multiple of 16.
        """
        frames = video_BCFHW.shape[2]
        valid_BT = None if mask_BT is None else self._valid_tubelets(mask_BT, frames // TUBELET)
        x_BNC = self.tokens(video_BCFHW, valid_BT)
        x_BTSC = x_BNC.unflatten(1, (-1, self.space[0] * self.space[1]))
        feats_BTC = x_BTSC.mean(2) if self.pool is None else self.pool(x_BTSC.flatten(2))
        feats_BCT = feats_BTC.float().transpose(1, 2)
        if self.frames_per_step < TUBELET:
            if valid_BT is not None:
                # The last valid token stands for all later ones, as interpolation does at a clip's end.
                last_B1 = valid_BT.sum(1, keepdim=True).clamp(min=1) - 1
                index_BT = torch.arange(valid_BT.shape[1], device=last_B1.device).minimum(last_B1)
                feats_BCT = feats_BCT.gather(2, index_BT[:, None].expand_as(feats_BCT))
            steps = frames // self.frames_per_step
            feats_BCT = F.interpolate(feats_BCT, size=steps, mode="linear", align_corners=False)
        return feats_BCT if mask_BT is None else feats_BCT.masked_fill(~mask_BT[:, None], 0.0)

    def tokens(self, video_BCFHW: torch.Tensor, valid_BT: torch.Tensor | None = None) -> torch.Tensor:
        """The residual stream after the last block.

        Args:
            video_BCFHW: (B, 3, F, H, W) uint8 or float RGB in 0..255; F is a multiple of 16 frames.
            valid_BT: (B, F / 2) bool tubelets that the adapters' temporal convolutions may read.

        Returns:
            (B, N, embed_dim) tokens, N = F / 2 * h * w in (t, h, w) order.

        Raises:
            MmadError: when the video has another size or a length that is not a multiple of 16.
        """
        self._check_video(video_BCFHW)
        frames = video_BCFHW.shape[2]
        grid = (frames // TUBELET, *self.space)
        grad = torch.is_grad_enabled()
        # Nothing before the first trainable part needs to be kept for the backward pass.
        with torch.set_grad_enabled(grad and self.trains == "everything"):
            x_BNC = self._embed(video_BCFHW)
            if self.trains == "adapters":
                x_BNC = self._attend(x_BNC, 0)
        with torch.set_grad_enabled(grad and self.trains != "nothing"):
            for i in range(len(self.blocks)):
                if self.checkpointing and torch.is_grad_enabled():
                    x_BNC = checkpoint(self._layer, x_BNC, i, grid, valid_BT, use_reentrant=False)
                else:
                    x_BNC = self._layer(x_BNC, i, grid, valid_BT)
        return x_BNC

    def some_tokens(self, chunks_PCFHW: torch.Tensor, index_PM: torch.Tensor) -> torch.Tensor:
        """The residual stream after the last block, where only some tokens of each chunk exist.

        Args:
            chunks_PCFHW: (P, 3, 16, H, W) uint8 or float RGB in 0..255.
            index_PM: (P, M) places of the tokens in their chunk's (t, h, w) order.

        Returns:
            (P, M, embed_dim) tokens; adapters, which need all tokens, are left out.

        Raises:
            MmadError: when the video has another size.
        """
        self._check_video(chunks_PCFHW)
        x_PMC = self._embed(chunks_PCFHW).take_along_dim(index_PM[..., None], dim=1)
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                x_PMC = checkpoint(block, x_PMC, use_reentrant=False)
            else:
                x_PMC = block(x_PMC)
        return x_PMC

    def _check_video(self, video_BCFHW: torch.Tensor) -> None:
        _, channels, frames, height, width = video_BCFHW.shape
        if (channels, height, width) != (3, *self.resolution):
            raise MmadError(
                f"The backbone is built for RGB video of {self.resolution[0]}x{self.resolution[1]} pixels "
                f"(height x width) but got {channels} channels of {height}x{width}; resize the video or set "
                "backbone.resolution."
            )
        if frames == 0 or frames % CHUNK:
            raise MmadError(
                f"The backbone reads chunks of {CHUNK} frames but got {frames} frames; pad the window to a "
                f"multiple of {CHUNK}."
            )

    def _embed(self, video_BCFHW: torch.Tensor) -> torch.Tensor:
        x_BNC = self.patch_embed(video_BCFHW)
        if self.position == "learned":
            table = (self.pos_time[:, :, None] + self.pos_space[:, None]).flatten(1, 2)
        else:
            table = self.position_table
        return (x_BNC.unflatten(1, (-1, table.shape[-2])) + table).flatten(1, 2)

    def _attend(self, x_BNC: torch.Tensor, i: int) -> torch.Tensor:
        """Block i on each chunk by itself; chunks of a clip are adjacent, so both reshapes are views."""
        tokens = CHUNK // TUBELET * self.space[0] * self.space[1]
        x_PNC = x_BNC.view(-1, tokens, self.embed_dim)
        for part in self.blocks[i].children():
            if isinstance(part, DropPath):
                part.rows = x_BNC.shape[1] // tokens
        return self.blocks[i](x_PNC).view_as(x_BNC)

    def _layer(self, x_BNC: torch.Tensor, i: int, grid: TokenGrid, valid_BT: torch.Tensor | None) -> torch.Tensor:
        """Block i, unless it came before the first trainable part, and its adapter."""
        if i > 0 or self.trains != "adapters":
            x_BNC = self._attend(x_BNC, i)
        return self.adapters[i](x_BNC, grid, valid_BT) if self.adapters else x_BNC

    def _valid_tubelets(self, mask_BT: torch.Tensor, tubelets: int) -> torch.Tensor:
        """(B, tubelets) bool, True in every chunk that has at least one valid feature step."""
        chunks_B = -(-mask_BT.sum(1) * self.frames_per_step // CHUNK)
        return torch.arange(tubelets, device=mask_BT.device) < chunks_B[:, None] * (CHUNK // TUBELET)


def sincos_table(embed_dim: int, side: int) -> torch.Tensor:
    """VideoMAE's fixed position table: sines and cosines of the flat index of a token in its chunk.

    Args:
        embed_dim: width of the tokens.
        side: tokens per row and per column.

    Returns:
        (8, side, side, embed_dim) float32.

    >>> sincos_table(384, 14).reshape(1568, 384)[1, :2]
    tensor([0.8415, 0.5403])
    """
    tokens = CHUNK // TUBELET * side * side
    index = torch.arange(embed_dim, dtype=torch.float64) // 2
    angle = torch.arange(tokens, dtype=torch.float64)[:, None] / 10000 ** (2 * index / embed_dim)
    table = torch.where(torch.arange(embed_dim) % 2 == 0, angle.sin(), angle.cos())
    return table.float().view(-1, side, side, embed_dim)


def interpolate_table(table_THWC: torch.Tensor, space: tuple[int, int]) -> torch.Tensor:
    """Resize a position table to another grid as mmaction2 and OpenTAD do, never recompute it.

    Args:
        table_THWC: (t, h, w, C) table.
        space: new (h, w), in tokens.

    Returns:
        (t * h * w, C) table.
    """
    table_TCHW = table_THWC.permute(0, 3, 1, 2)
    if table_TCHW.shape[-2:] != space:
        table_TCHW = F.interpolate(table_TCHW, size=space, mode="bicubic", align_corners=False)
    return table_TCHW.permute(0, 2, 3, 1).flatten(0, 2)


def init_linear(module: nn.Module) -> None:
    """The published initial weights of a linear map; other modules stay."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _check(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise MmadError(f"The backbone has {name}={value}; choose one of {', '.join(map(str, known))}.")
