"""CoMM: one embedding of all modalities, contrasted with its own masked views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmlib import losses
from mmlib._checks import check_choice
from mmlib.fusion import FusionTransformer
from mmlib.methods import Transform, check_lengths, transformed

Mask = Sequence[bool]


def single_masks(n_modalities: int) -> list[list[bool]]:
    """CoMM's masks: each modality alone, then all of them.

    >>> single_masks(2)
    [[True, False], [False, True], [True, True]]
    """
    alone = [[i == j for j in range(n_modalities)] for i in range(n_modalities)]
    return [*alone, [True] * n_modalities]


class CoMM(nn.Module):
    """Encoders and adapters of M modalities, one fusion transformer, one projection head.

    Args:
        encoders, adapters: one of each per modality; an adapter turns its encoder's output into
            tokens.
        fusion, head: shared by all masks and views.
        augment: one random transform per modality, which makes a view.
        prepare: one transform per modality that makes the encoder's input without chance.
        temperature: of the loss.
        convention: ``"paper"`` encodes the masked samples as they are (prepared) and sums one-sided
            InfoNCE terms; ``"released"``, which the paper's numbers were made with, masks the
            augmented views and averages NT-Xent terms.
        masks: which modalities each term sees; the last sees all. By default each alone, and all.
        weights: of the terms, one per mask; by default all 1.

    Encoders run once for each view, whatever the number of masks. The head runs once for each view
    and mask, so each has its own batch statistics. Source: CoMM, released code.
    """

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        adapters: Sequence[nn.Module],
        fusion: FusionTransformer,
        head: nn.Module,
        *,
        augment: Sequence[Transform],
        prepare: Sequence[Transform],
        temperature: float = 0.1,
        convention: str = "paper",
        masks: Sequence[Mask] | None = None,
        weights: Sequence[float] | None = None,
    ):
        super().__init__()
        check_lengths(len(encoders), adapters=adapters, augment=augment, prepare=prepare)
        self.masks = single_masks(len(encoders)) if masks is None else masks
        for mask in self.masks:
            check_lengths(len(encoders), mask=mask)
        if not all(self.masks[-1]):
            raise ValueError(f"the last mask is {list(self.masks[-1])}; allowed: all True")
        self.encoders = nn.ModuleList(encoders)
        self.adapters = nn.ModuleList(adapters)
        self.fusion = fusion
        self.head = head
        self.augment = augment
        self.prepare = prepare
        self.temperature = temperature
        self.convention = check_choice("convention", convention, ("paper", "released"))
        self.weights = weights

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The loss on two random views of each sample, and how many full views match (percent)."""
        view1 = transformed(self.augment, batch, generator)
        view2 = transformed(self.augment, batch, generator)
        if self.convention == "released":
            z1, z2 = self.project(view1, self.masks), self.project(view2, self.masks)
        else:
            masked = self.project(transformed(self.prepare, batch, None), self.masks[:-1])
            z1 = masked + self.project(view1, self.masks[-1:])
            z2 = masked + self.project(view2, self.masks[-1:])
        loss = losses.comm(
            z1,
            z2,
            temperature=self.temperature,
            convention=self.convention,
            weights=self.weights,
        )
        return {"loss": loss, "match": losses.match_accuracy(z1[-1], z2[-1])}

    def embed(self, batch: Sequence[Tensor], mask: Mask | None = None) -> Tensor:
        """The fused embedding (B, D) of the samples as they are; neither projected nor normalised.

        With ``mask``, of the modalities it keeps; the others may be None.
        """
        mask = self.masks[-1] if mask is None else mask
        parts = zip(self.prepare, batch, mask, strict=True)
        return self.fuse([t(x, None) if keep else None for t, x, keep in parts], [mask])[0]

    def project(self, view: Sequence[Tensor], masks: Sequence[Mask]) -> list[Tensor]:
        """One output of the head per mask, of modalities that are transformed already."""
        return [self.head(embedding) for embedding in self.fuse(view, masks)]

    def fuse(self, view: Sequence[Tensor], masks: Sequence[Mask]) -> list[Tensor]:
        """One embedding (B, D) per mask, of modalities that are transformed already."""
        seen = [any(entries) for entries in zip(*masks, strict=True)]
        parts = zip(self.encoders, self.adapters, view, seen, strict=True)
        tokens = [adapter(encoder(x)) if used else None for encoder, adapter, x, used in parts]
        return [self.fusion(tokens, mask) for mask in masks]
