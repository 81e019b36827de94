"""What methods with a fusion share: encoders and adapters of M modalities, fusion, head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmlib.data.text import PAD
from mmlib.fusion import FusionTransformer, PooledFusion
from mmlib.methods import Transform, by_batch, check_lengths

Mask = Sequence[bool]


class FusedEncoder(nn.Module):
    """Encoders and adapters of M modalities, one fusion, one projection head.

    Args:
        encoders, adapters: one of each per modality; an adapter turns its encoder's output into
            tokens.
        fusion, head: shared by all masks and views.
        augment: one random transform per modality, which makes a view.
        prepare: one transform per modality that makes the encoder's input without chance.
        temperature: of the loss.
        trains_on_padding: whether a fusion that is padded sees padding in training nevertheless.

    Where a text has a token for each of its ids, a padded fusion sees none of padding.
    The head runs once for each view and mask, so each has its own batch statistics.
    """

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        adapters: Sequence[nn.Module],
        fusion: FusionTransformer | PooledFusion,
        head: nn.Module,
        *,
        augment: Sequence[Transform],
        prepare: Sequence[Transform],
        temperature: float = 0.1,
        trains_on_padding: bool = False,
    ):
        super().__init__()
        check_lengths(len(encoders), adapters=adapters, augment=augment, prepare=prepare)
        self.encoders = nn.ModuleList(encoders)
        self.adapters = nn.ModuleList(adapters)
        self.fusion = fusion
        self.head = head
        self.augment = augment
        self.prepare = prepare
        self.temperature = temperature
        self.trains_on_padding = trains_on_padding

    def embed(self, batch: Sequence[Tensor], mask: Mask | None = None) -> Tensor:
        """The fused embedding (B, D) of the samples as they are; neither projected nor normalised.

        With ``mask``, of the modalities it keeps; the others may be None.
        """
        mask = [True] * len(self.encoders) if mask is None else mask
        parts = enumerate(zip(batch, mask, strict=True))
        return self.fusion([self.encode(k, x) if keep else None for k, (x, keep) in parts], mask)

    def encode(self, modality: int, batch: Tensor) -> Tensor:
        """Tokens (B, T, D) of one modality of the samples as they are."""
        x = self.prepare[modality](batch, None)
        return self._tokens(modality, x, hide=self.fusion.padded)

    def aligned(self, modality: int, inputs: Tensor) -> Tensor:
        """The head's outputs (N, D) for one modality alone of N samples as they are.

        The head takes the statistics of all N, as :func:`mmlib.methods.by_batch` says.
        """
        mask = [k == modality for k in range(len(self.encoders))]
        seen = ([part if keep else None for keep in mask] for part in inputs.split(512))
        return by_batch(self.head, torch.cat([self.embed(parts, mask) for parts in seen]))

    def combine(self, parts: Sequence[Tensor]) -> Tensor:
        """The embedding (B, D) of all modalities' tokens."""
        return self.fusion(parts)

    def project(self, view: Sequence[Tensor], masks: Sequence[Mask]) -> list[Tensor]:
        """One output of the head per mask, of modalities that are transformed already."""
        return [self.head(embedding) for embedding in self.fuse(view, masks)]

    def fuse(self, view: Sequence[Tensor], masks: Sequence[Mask]) -> list[Tensor]:
        """One embedding (B, D) per mask, of modalities that are transformed already.

        Encoders run once, whatever the number of masks.
        """
        seen = [any(entries) for entries in zip(*masks, strict=True)]
        parts = enumerate(zip(view, seen, strict=True))
        hide = self.fusion.padded and not self.trains_on_padding
        tokens = [self._tokens(k, x, hide=hide) if used else None for k, (x, used) in parts]
        return self.fusion.under_masks(tokens, masks)

    def with_labels(self, batch: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Modalities and labels of a batch that ends with labels; ``ValueError`` for another."""
        n = len(self.encoders)
        if len(batch) != n + 1:
            raise ValueError(f"batch has {len(batch)} entries; allowed: {n} modalities and labels")
        *modalities, labels = batch
        return modalities, labels

    def _tokens(self, modality: int, x: Tensor, *, hide: bool = False) -> Tensor:
        tokens = self.adapters[modality](self.encoders[modality](x))
        if hide and x.dtype == torch.long and x.shape == tokens.shape[:2]:  # a token for each id
            tokens = tokens.masked_fill((x == PAD).unsqueeze(2), -torch.inf)
        return tokens
