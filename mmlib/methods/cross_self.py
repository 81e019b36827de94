"""Cross+Self: align modalities with each other and each with its own augmentations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmlib import losses
from mmlib.methods import Transform, by_batch, check_lengths, mean_match, transformed
from mmlib.methods.fused import FusedEncoder, Mask
from mmlib.methods.towers import Towers


class CrossSelf(Towers):
    """One encoder and one head per modality; no fusion. The probe sees the encoders' outputs.

    Args (the others are :class:`mmlib.methods.towers.Towers`'):
        align: one transform per modality that makes the views aligned across modalities.
        temperature: of all terms.

    Each step makes three views of each modality, two of them by ``augment``, for alignment with
    itself; a projection serves both kinds of term.

    Source: CoMM, released code, baseline Cross+Self.
    """

    def __init__(self, *parts, align: Sequence[Transform], temperature: float = 0.1, **others):
        super().__init__(*parts, **others)
        check_lengths(len(self.encoders), align=align)
        self.align = align
        self.temperature = temperature

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss across plus mean loss within modalities, and matches across them (percent)."""
        cross, view1, view2 = (
            self.project(transformed(transforms, batch, generator))
            for transforms in (self.align, self.augment, self.augment)
        )
        loss = losses.cross_self(
            *cross, self_pairs=list(zip(view1, view2, strict=True)), temperature=self.temperature
        )
        return {"loss": loss, "match": mean_match(cross)}

    def encode(self, modality: int, batch: Tensor) -> Tensor:
        """The output (B, C) of one modality's encoder, of the samples as they are."""
        return self.encoders[modality](self.prepare[modality](batch, None))

    def aligned(self, modality: int, inputs: Tensor) -> Tensor:
        """The head's outputs (N, D) for one modality of N samples as they are.

        The head takes the statistics of all N, as :func:`mmlib.methods.by_batch` says.
        """
        features = torch.cat([self.encode(modality, part) for part in inputs.split(512)])
        return by_batch(self.projections[modality], features)


class SelfAlone(Towers):
    """Self-supervision of each modality, and no term across: Cross+Self without its alignment.

    The arguments are :class:`CrossSelf`'s, but for ``align``. A probe sees the encoders' outputs.
    """

    def __init__(self, *parts, temperature: float = 0.1, **others):
        super().__init__(*parts, **others)
        self.temperature = temperature

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Mean over modalities of the loss between two views, and their matches (percent)."""
        views = (self.project(transformed(self.augment, batch, generator)) for _ in range(2))
        pairs = list(zip(*views, strict=True))
        within = [losses.nt_xent(a, b, temperature=self.temperature) for a, b in pairs]
        match = torch.stack([losses.match_accuracy(a, b) for a, b in pairs]).mean()
        return {"loss": torch.stack(within).mean(), "match": match}

    encode, aligned = CrossSelf.encode, CrossSelf.aligned


class FusedCrossSelf(FusedEncoder):
    """Cross+Self with CoMM's fusion: a control that tells the fusion from the loss.

    Each modality's vector is the head's output for the fusion of its tokens alone; the probe sees
    the fusion of all, which no term of the loss has seen. ``align`` is Cross+Self's.
    """

    def __init__(self, *parts, align: Sequence[Transform], **others):
        super().__init__(*parts, **others)
        check_lengths(2, encoders=self.encoders, align=align)
        self.align = align

    loss = CrossSelf.loss
    masks = ((True, False), (False, True))

    def project(self, view: Sequence[Tensor], masks: Sequence[Mask] = masks) -> list[Tensor]:
        """One output of the head per mask, by default for each modality alone."""
        return super().project(view, masks)
