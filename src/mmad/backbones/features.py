"""Features that were extracted before, in the place of a backbone."""

from collections.abc import Callable

from torch import Tensor, nn

from mmad.errors import MmadError


class Features(nn.Module):
    """Passes features on as they are, zero beyond each clip's end.

    Args:
        embed_dim: their channels.
        adapter, weights: None, since nothing of a backbone is left that could be adapted or loaded.

    Raises:
        MmadError: an adapter or weights are asked for.
    """

    frames_per_step = 1
    load_report = None

    def __init__(
        self, *, embed_dim: int, adapter: Callable[[int], nn.Module] | None = None, weights: str | None = None
    ) -> None:
        super().__init__()
        if adapter is not None:
            raise MmadError("Adapters need a backbone, and features have none; use adapter=frozen, or data of videos.")
        if weights is not None:
            raise MmadError(f"backbone.weights={weights}: features come without a backbone; leave the setting out.")
        self.embed_dim = embed_dim

    def forward(self, feats_BCT: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        """The features.

        Args:
            feats_BCT: (B, C, T).
            mask_BT: (B, T) bool, True for valid steps.

        Returns:
            (B, C, T), zero where `mask_BT` is False.

        Raises:
            MmadError: they have another width, or are no features.
        """
        if feats_BCT.ndim != 3 or feats_BCT.shape[1] != self.embed_dim:
            raise MmadError(
                f"The head is built for features of {self.embed_dim} channels but got an input of shape "
                f"{tuple(feats_BCT.shape)}; use the features that it was trained on."
            )
        return feats_BCT if mask_BT is None else feats_BCT.masked_fill(~mask_BT[:, None], 0.0)
