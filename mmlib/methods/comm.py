"""CoMM: one embedding of all modalities, contrasted with its own masked views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmlib import losses
from mmlib.device import compiled
from mmlib.fusion import FusionTransformer, PooledFusion
from mmlib.methods import check_lengths, transformed
from mmlib.methods.fused import FusedEncoder, Mask


def single_masks(n_modalities: int) -> list[list[bool]]:
    """CoMM's masks: each modality alone, then all of them.

    >>> single_masks(2)
    [[True, False], [False, True], [True, True]]
    """
    alone = [[i == j for j in range(n_modalities)] for i in range(n_modalities)]
    return [*alone, [True] * n_modalities]


def subset_masks(n_modalities: int) -> list[list[bool]]:
    """Every choice of modalities, all of them last: 2^M - 1 masks, of which CoMM has M + 1.

    What only two of three modalities tell together has a term of its own here.

    >>> [sum(mask) for mask in subset_masks(3)]
    [1, 1, 1, 2, 2, 2, 3]
    """
    codes = sorted(range(1, 2**n_modalities), key=int.bit_count)
    return [[bool(code >> k & 1) for k in range(n_modalities)] for code in codes]


class CoMM(FusedEncoder):
    """The fused embedding of a view is contrasted with those of the other view's masks.

    Args (the others are :class:`mmlib.methods.fused.FusedEncoder`'s):
        convention: ``"paper"`` encodes the masked samples as they are (prepared) and sums one-sided
            InfoNCE terms; ``"released"``, which the paper's numbers were made with, masks the
            augmented views and averages NT-Xent terms; or another of
            :data:`mmlib.losses.CONVENTIONS`.
        masks: which modalities each term sees; the last sees all. By default
            :func:`single_masks`; :func:`subset_masks` is the other choice.
        weights: of the terms, one per mask; by default all 1.

    Source: CoMM, released code.
    """

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        adapters: Sequence[nn.Module],
        fusion: FusionTransformer | PooledFusion,
        head: nn.Module,
        *,
        convention: str = "paper",
        masks: Sequence[Mask] | None = None,
        weights: Sequence[float] | None = None,
        **others,
    ):
        super().__init__(encoders, adapters, fusion, head, **others)
        self.masks = single_masks(len(encoders)) if masks is None else masks
        for mask in self.masks:
            check_lengths(len(encoders), mask=mask)
        if not all(self.masks[-1]):
            raise ValueError(f"the last mask is {list(self.masks[-1])}; allowed: all True")
        losses.convention_of(convention)
        self.convention = convention
        self.weights = weights

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The loss on two random views of each sample, and how many full views match (percent)."""
        view1 = transformed(self.augment, batch, generator)
        view2 = transformed(self.augment, batch, generator)
        on_views = losses.convention_of(self.convention).masked == "views"
        samples = None if on_views else transformed(self.prepare, batch, None)
        images = all(x.ndim == 4 for x in view1)  # an encoder of text asks for lengths
        contrasted = compiled(CoMM.contrasted) if images else CoMM.contrasted
        return contrasted(self, view1, view2, samples)

    def contrasted(
        self, view1: Sequence[Tensor], view2: Sequence[Tensor], samples: Sequence[Tensor] | None
    ) -> dict[str, Tensor]:
        """The loss and the match of two views; masks are laid on ``samples``, or on the views."""
        if samples is None:
            z1, z2 = self.project(view1, self.masks), self.project(view2, self.masks)
        else:
            masked = self.project(samples, self.masks[:-1])
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
