"""Video Swin Transformer on torchvision's blocks, ordinary or rewired by Re2TAL.

Modules are named as in torchvision. One thing is not torchvision's (nor mmaction2's): where a feature map is smaller
than the window, both look up the position bias in the first rows of the table's index, which is right for a window that
is cut in time and wrong for one that is cut in space, as the last stage's is below 224 pixels. Here it is looked up by
place.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models.swin_transformer import PatchMerging, SwinTransformerBlock
from torchvision.models.video.swin_transformer import PatchEmbed3d, ShiftedWindowAttention3d

from mmad.backbones.checkpoints import LoadReport, fill
from mmad.backbones.layouts import RE2TAL_SWIN, SWIN
from mmad.backbones.reversible import Branch, rewired
from mmad.backbones.whole_clips import IMAGENET, Pixels, at_own_length, check_settings, resized, settle
from mmad.errors import MmadError
from mmad.layers.drop import kept

WINDOW = (8, 7, 7)  # tokens in time and space
TUBELET = 2  # frames of a token

LayerNorm = partial(nn.LayerNorm, eps=1e-5)


class WindowAttention(ShiftedWindowAttention3d):
    """Attention in shifted windows whose position bias is right for windows of any size up to its own."""

    def get_relative_position_bias(self, window_size: list[int]) -> Tensor:
        """The bias (1, heads, N, N) of the N places of a window."""
        t, h, w = window_size
        places = torch.arange(self.relative_position_index.shape[0], device=self.relative_position_index.device)
        places = places.view(*self.window_size)[:t, :h, :w].flatten()
        index = self.relative_position_index[places[:, None], places]
        return self.relative_position_bias_table[index].permute(2, 0, 1)[None]


class Swin(nn.Module):
    """A Video Swin Transformer up to its last norm, pooled over space.

    Norms keep their weights, as in published training of detectors.

    Args:
        embed_dim: channels of the last stage; 768 is Swin-T.
        depths, heads: blocks and attention heads of each stage.
        patch: side of a token in pixels, 4 as published.
        frames_per_step: video frames per feature step; tokens of two frames are resized to that, see `resized`.
        drop_path: rate of dropped residual branches at the last block, rising linearly from 0.
        rewired: skip connections reach one block further, as in Re2TAL; the same weights, another function.
        checkpointing: compute blocks again in the backward pass instead of keeping their activations; rewired, from the
            stage's output backwards, so that nothing else is kept.
        adapter: None.
        trains: "nothing" or "everything", which is all but the norms.
        weights: file with weights (see `mmad.backbones.layouts`), or None to start at random.

    Raises:
        MmadError: on values that do not fit together, or weights that do not fit the model.

    Source: Liu et al., "Video Swin Transformer" (CVPR 2022); Zhao et al., Re2TAL (CVPR 2023).
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        depths: Sequence[int],
        heads: Sequence[int],
        frames_per_step: int,
        patch: int = 4,
        drop_path: float = 0.0,
        rewired: bool = False,
        checkpointing: bool = False,
        adapter: Callable[[int], nn.Module] | None = None,
        trains: str = "everything",
        weights: str | None = None,
    ) -> None:
        super().__init__()
        check_settings(adapter, trains, frames_per_step)
        width, left = divmod(embed_dim, 2 ** (len(depths) - 1))
        if left or any(width * 2**stage % each for stage, each in enumerate(heads)):
            raise MmadError(
                f"backbone.embed_dim={embed_dim} does not divide into {len(depths)} stages that double their channels, "
                f"for heads={list(heads)}; take 768 for Swin-T."
            )
        self.embed_dim, self.frames_per_step = embed_dim, frames_per_step
        self.rewired, self.checkpointing = rewired, checkpointing
        self.pixels = Pixels(*IMAGENET)
        self.patch_embed = PatchEmbed3d([TUBELET, patch, patch], embed_dim=width, norm_layer=LayerNorm)
        self.features = nn.ModuleList()
        for stage, (depth, each) in enumerate(zip(depths, heads, strict=True)):
            if stage > 0:
                self.features.append(PatchMerging(width * 2 ** (stage - 1), LayerNorm))
            blocks = nn.Sequential()
            for i in range(depth):
                shift = [size // 2 if i % 2 else 0 for size in WINDOW]
                channels = width * 2**stage
                blocks.append(
                    SwinTransformerBlock(
                        channels, each, list(WINDOW), shift, norm_layer=LayerNorm, attn_layer=WindowAttention
                    )
                )
            self.features.append(blocks)
        self.norm = LayerNorm(embed_dim)
        last = sum(depths) - 1
        drop_path = 0.0 if trains == "nothing" else drop_path
        self.rates = [drop_path * i / max(last, 1) for i in range(last + 1)]
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        settle(self, trains)
        layouts = (*RE2TAL_SWIN, *SWIN) if rewired else SWIN
        self.load_report: LoadReport | None = (
            None if weights is None else fill(self, weights, layouts, name="Video Swin")
        )

    def forward(self, video_BCFHW: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """Turn video into features.

        Args:
            video_BCFHW: (B, 3, F, H, W) uint8 or float RGB in 0..255; F is a multiple of 16 frames.
            mask_BT: (B, F / frames_per_step) bool, True for valid feature steps, which come first.

        Returns:
            (B, embed_dim, F / frames_per_step) float32 features, zero where `mask_BT` is False.

        Raises:
            MmadError: the video is not RGB, or its length is not a multiple of 16.
        """
        # Of the whole batch, so that a clip's draw does not depend on the lengths of others.
        stays = [self._drawn(len(video_BCFHW), rate) for rate in self.rates]
        return at_own_length(
            partial(self._features, stays=stays),
            video_BCFHW,
            mask_BT,
            embed_dim=self.embed_dim,
            frames_per_step=self.frames_per_step,
        )

    def _drawn(self, clips: int, rate: float) -> Tensor | None:
        """What stays of a block's two branches in each clip, (2, B, 1, 1, 1, 1); None for everything."""
        if not self.training or rate == 0:
            return None
        return kept(clips, 2, 1, 1, 1, 1, rate=rate, like=self.norm.weight).transpose(0, 1)

    def _features(self, video_BCFHW: Tensor, rows: Tensor, *, stays: Sequence[Tensor | None]) -> Tensor:
        x_BTHWC = self.patch_embed(self.pixels(video_BCFHW))
        left = iter(stays)
        for part in self.features:
            if isinstance(part, PatchMerging):
                x_BTHWC = part(x_BTHWC)
                continue
            branches = []
            for block in part.children():
                assert isinstance(block, SwinTransformerBlock)
                stay = next(left)
                attention, mlp = (None, None) if stay is None else stay[:, rows]
                branches.append(
                    Branch.of(partial(_attention, block, attention), block.get_submodule("norm1"), block.attn)
                )
                branches.append(Branch.of(partial(_mlp, block, mlp), block.get_submodule("norm2"), block.mlp))
            x_BTHWC = self._stage(branches, x_BTHWC)
        feats_BCT = self.norm(x_BTHWC).mean((2, 3)).transpose(1, 2)
        return resized(feats_BCT, video_BCFHW.shape[2] // self.frames_per_step)

    def _stage(self, branches: Sequence[Branch], x: Tensor) -> Tensor:
        if self.rewired:
            return rewired(x, branches, reversible=self.checkpointing)
        for attention, mlp in zip(branches[::2], branches[1::2], strict=True):
            run = partial(_block, attention, mlp)
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x = run(x)
        return x


def _block(attention: Branch, mlp: Branch, x: Tensor) -> Tensor:
    x = x + attention.run(x)
    return x + mlp.run(x)


def _attention(block: SwinTransformerBlock, stays: Tensor | None, x: Tensor) -> Tensor:
    branch = block.attn(block.norm1(x))
    return branch if stays is None else branch * stays


def _mlp(block: SwinTransformerBlock, stays: Tensor | None, x: Tensor) -> Tensor:
    branch = block.mlp(block.norm2(x))
    return branch if stays is None else branch * stays
