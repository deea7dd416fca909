"""VideoMAE's pre-training: rebuild the masked tubes of a 16-frame chunk from the few visible ones."""

from functools import partial
from math import floor

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import nn

from mmad.backbones.checkpoints import LoadReport, load_decoder
from mmad.backbones.videomae import PUBLISHED_SIZE, TUBELET, VideoMAE, init_linear, interpolate_table, sincos_table
from mmad.errors import MmadError
from mmad.timebase import CHUNK

DECODERS = {384: (192, 4, 3), 768: (384, 4, 6), 1024: (512, 12, 8), 1280: (640, 12, 8), 1408: (512, 4, 8)}
"""Width, depth and heads of the published decoders, by the width of the encoder."""

SMALL_DECODER = (96, 2, 3)
"""Those for any other encoder."""

STEPS = CHUNK // TUBELET
"""Tokens of a chunk along time."""


def tube_masks(chunks: int, *, places: int, ratio: float, generator: torch.Generator) -> torch.Tensor:
    """Draws which places of each chunk are masked, the same at all its times.

    Args:
        chunks: P, number of masks.
        places: S, tokens of a frame.
        ratio: share of the places that is masked, rounded down to whole places.
        generator: on the CPU.

    Returns:
        (P, S) bool, True where masked; each row has as many.

    Raises:
        MmadError: nothing would be masked, or nothing visible.

    Source: Tong et al., section 3.3, and its code's rounding.
    """
    # 0.7 of 10 places is 7, though the product of the two floats is a little less.
    masked = floor(round(ratio * places, 6))
    if not 0 < masked < places:
        raise MmadError(
            f"objective.mask_ratio={ratio:g} masks {masked} of the {places} patches of a frame, expected some but not "
            f"all; choose another ratio, or enlarge data.resolution."
        )
    order = torch.rand(chunks, places, generator=generator).argsort(dim=1)
    return torch.zeros(chunks, places, dtype=torch.bool).scatter_(1, order[:, :masked], True)


def valid_chunks(video_BCFHW: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """The chunks of a batch of windows that are not all padding.

    Args:
        video_BCFHW: (B, 3, F, H, W); F is a multiple of 16 frames.
        mask_BT: (B, T) bool, True for valid feature steps.

    Returns:
        (P, 3, 16, H, W), first the chunks of the first window.
    """
    chunks = video_BCFHW.unflatten(2, (-1, CHUNK)).transpose(1, 2)
    valid = mask_BT.unflatten(1, (chunks.shape[1], -1)).any(-1)
    return chunks[valid]


class PixelDecoder(nn.Module):
    """From the encoder's visible tokens to the pixels of the masked ones.

    Args:
        embed_dim: width of the encoder.
        width, depth, heads: of the decoder.
        patch: side of a patch in pixels.
        space: patches per column and row.
        mlp_ratio: width of the MLPs divided by `width`.
    """

    position_table: torch.Tensor

    def __init__(
        self,
        embed_dim: int,
        *,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        patch: int,
        space: tuple[int, int],
    ) -> None:
        super().__init__()
        if width % heads:
            raise MmadError(
                f"objective.decoder_width={width} cannot be split into objective.decoder_heads={heads}; take a divisor "
                f"of {width}."
            )
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.embed_norm = norm(embed_dim)
        self.embed = nn.Linear(embed_dim, width, bias=False)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        self.blocks = nn.ModuleList(
            Block(width, heads, mlp_ratio=mlp_ratio, qkv_bias=True, norm_layer=norm)  # type: ignore[arg-type]
            for _ in range(depth)
        )
        self.norm = norm(width)
        self.head = nn.Linear(width, 3 * TUBELET * patch**2)
        self.apply(init_linear)
        table = interpolate_table(sincos_table(width, PUBLISHED_SIZE // patch), space)
        self.register_buffer("position_table", table, persistent=False)

    def forward(self, visible_PMC: torch.Tensor, visible: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
        """Normalised pixels of the masked tokens.

        Args:
            visible_PMC: (P, M, embed_dim) tokens of the encoder.
            visible: (P, M) their indices in the chunk.
            masked: (P, N) indices of the others.

        Returns:
            (P, N, 2 * patch * patch * 3); pixels in (time, row, column, colour) order.
        """
        seen = self.embed(self.embed_norm(visible_PMC)) + self.position_table[visible]
        x_PNC = torch.cat([seen, self.mask_token + self.position_table[masked]], dim=1)
        for block in self.blocks:
            x_PNC = block(x_PNC)
        return self.head(self.norm(x_PNC[:, -masked.shape[1] :]))


class MaskedAutoencoder(nn.Module):
    """A VideoMAE backbone and the decoder with which it is pre-trained.

    The encoder sees the visible tokens only. What is learned are the masked tokens' pixels, each colour of each token
    with its own mean and standard deviation taken out. Weights of the decoder are taken from the backbone's file where
    that is one of pre-training; `load_report` then says so.

    Args:
        backbone: what is pre-trained; all of it trains, but for its pooling map, which no token passes.
        width, depth, heads: of the decoder; None for the published ones of this backbone.

    Raises:
        MmadError: the backbone has adapters or frozen weights, or the decoder's sizes do not fit together.

    Source: Tong et al., VideoMAE, NeurIPS 2022.
    """

    def __init__(
        self,
        backbone: VideoMAE,
        *,
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
    ) -> None:
        super().__init__()
        if len(backbone.adapters) or backbone.trains != "everything":
            raise MmadError("Masked autoencoding trains the whole backbone and knows no adapters; use adapter=full.")
        usual = DECODERS.get(backbone.embed_dim, SMALL_DECODER)
        self.backbone = backbone
        if backbone.pool is not None:
            backbone.pool.requires_grad_(False)  # else processes that share gradients would wait for its
        self.decoder = PixelDecoder(
            backbone.embed_dim,
            width=usual[0] if width is None else width,
            depth=usual[1] if depth is None else depth,
            heads=usual[2] if heads is None else heads,
            mlp_ratio=backbone.mlp_ratio,
            patch=backbone.patch,
            space=backbone.space,
        )
        self.load_report: LoadReport | None = None
        if backbone.load_report is not None:
            self.load_report = load_decoder(self.decoder, backbone.load_report)

    @property
    def places(self) -> int:
        """Patches of a frame."""
        return self.backbone.space[0] * self.backbone.space[1]

    def forward(self, chunks_PCFHW: torch.Tensor, masked_PS: torch.Tensor) -> torch.Tensor:
        """Normalised pixels of the masked tokens.

        Args:
            chunks_PCFHW: (P, 3, 16, H, W) uint8 or float RGB in 0..255.
            masked_PS: (P, S) bool, True for masked places; as many in each row.

        Returns:
            (P, N, 2 * patch * patch * 3), the N masked tokens in (t, h, w) order.
        """
        visible = _tokens(~masked_PS)
        return self.decoder(self.backbone.some_tokens(chunks_PCFHW, visible), visible, _tokens(masked_PS))

    def loss(self, chunks_PCFHW: torch.Tensor, masked_PS: torch.Tensor) -> torch.Tensor:
        """Mean squared error of the normalised pixels of all masked tokens.

        Args:
            chunks_PCFHW, masked_PS: see `forward`.
        """
        found = self(chunks_PCFHW, masked_PS)
        # Half precision is enough for the model, but not for means of squares.
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        wanted, _, _ = normalised(_take(self._pixels(chunks_PCFHW), _tokens(masked_PS)).to(found.dtype) / 255)
        return F.mse_loss(found, wanted.flatten(2))

    @torch.no_grad()
    def rebuild(self, chunks_PCFHW: torch.Tensor, masked_PS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Chunks with their masked tokens greyed out, and filled in by the model.

        The model says a patch's pattern; its mean and standard deviation are those of the original, as in the
        published pictures.

        Args:
            chunks_PCFHW: (P, 3, 16, H, W) uint8; pixels beyond the last whole patch are left out.
            masked_PS: see `forward`.

        Returns:
            Two (P, 3, 16, h * patch, w * patch) uint8.
        """
        index = _tokens(masked_PS)
        pixels = self._pixels(chunks_PCFHW)
        _, mean, deviation = normalised(_take(pixels, index).float())
        found = self(chunks_PCFHW, masked_PS).float().unflatten(2, (-1, 3)) * deviation + mean
        where = index[..., None, None].expand_as(found)
        filled = pixels.scatter(1, where, found.round().clamp(0, 255).to(pixels.dtype))
        hidden = pixels.scatter(1, where, torch.full_like(found, 128).to(pixels.dtype))
        return self._video(hidden), self._video(filled)

    def _pixels(self, chunks_PCFHW: torch.Tensor) -> torch.Tensor:
        """(P, tokens, 2 * patch * patch, 3): the pixels of each token, in (time, row, column) order."""
        patch, (h, w) = self.backbone.patch, self.backbone.space
        cut = chunks_PCFHW[..., : h * patch, : w * patch]
        cut = cut.reshape(-1, 3, STEPS, TUBELET, h, patch, w, patch).permute(0, 2, 4, 6, 3, 5, 7, 1)
        return cut.reshape(-1, STEPS * h * w, TUBELET * patch**2, 3)

    def _video(self, pixels: torch.Tensor) -> torch.Tensor:
        """What `_pixels` took apart."""
        patch, (h, w) = self.backbone.patch, self.backbone.space
        parts = pixels.reshape(-1, STEPS, h, w, TUBELET, patch, patch, 3).permute(0, 7, 1, 4, 2, 5, 3, 6)
        return parts.reshape(-1, 3, CHUNK, h * patch, w * patch)


def normalised(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The pixels of tokens with the mean and standard deviation of each token and colour taken out.

    Args:
        pixels: (P, N, pixels, 3) float; the published scale is 0..1.

    Returns:
        The same shape, and (P, N, 1, 3) means and standard deviations.

    Source: the paper's code: the deviation is that of a sample, and 1e-6 is added to it.
    """
    deviation, mean = torch.std_mean(pixels, dim=-2, keepdim=True)
    return (pixels - mean) / (deviation + 1e-6), mean, deviation


def _tokens(places_PS: torch.Tensor) -> torch.Tensor:
    """Indices of the tokens of the marked places at all times of a chunk, ascending.

    Args:
        places_PS: (P, S) bool, as many True in each row.
    """
    rows, places = places_PS.shape
    marked = places_PS.nonzero()[:, 1].view(rows, 1, -1)
    times = torch.arange(STEPS, device=marked.device)[:, None] * places
    return (times + marked).flatten(1)


def _take(pixels: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return pixels.take_along_dim(index[..., None, None], dim=1)
