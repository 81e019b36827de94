"""Cross+Self: align modalities with each other and each with its own augmentations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmlib import losses
from mmlib._checks import check_range
from mmlib.methods import Transform, check_lengths, mean_match, transformed
from mmlib.methods.fused import FusedEncoder


class CrossSelf(nn.Module):
    """One encoder and one head per modality; no fusion.

    Args:
        encoders, heads: one of each per modality, of two or more; a head serves both kinds of term.
        align: one transform per modality that makes the views aligned across modalities.
        augment: one random transform per modality, drawn twice for alignment with itself.
        prepare: one transform per modality that makes the encoder's input without chance.
        temperature: of all terms.

    Each step makes three views of each modality. Source: CoMM, released code, baseline Cross+Self.
    """

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        heads: Sequence[nn.Module],
        *,
        align: Sequence[Transform],
        augment: Sequence[Transform],
        prepare: Sequence[Transform],
        temperature: float = 0.1,
    ):
        super().__init__()
        check_range("number of modalities", len(encoders), 2)
        parts = {"heads": heads, "align": align, "augment": augment, "prepare": prepare}
        check_lengths(len(encoders), **parts)
        self.encoders = nn.ModuleList(encoders)
        self.heads = nn.ModuleList(heads)
        self.align = align
        self.augment = augment
        self.prepare = prepare
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

    def project(self, view: Sequence[Tensor]) -> list[Tensor]:
        """The heads' outputs (B, D) of modalities that are transformed already."""
        parts = zip(self.heads, self.encoders, view, strict=True)
        return [head(encoder(x)) for head, encoder, x in parts]

    def embed(self, batch: Sequence[Tensor]) -> Tensor:
        """All encoders' outputs side by side (B, C1 + C2 + ...), of the samples as they are."""
        return self.combine([self.encode(k, x) for k, x in enumerate(batch)])

    def encode(self, modality: int, batch: Tensor) -> Tensor:
        """The output (B, C) of one modality's encoder, of the samples as they are."""
        return self.encoders[modality](self.prepare[modality](batch, None))

    def combine(self, parts: Sequence[Tensor]) -> Tensor:
        """All outputs side by side."""
        return torch.cat(parts, dim=1)


class FusedCrossSelf(FusedEncoder):
    """Cross+Self with CoMM's fusion: a control that tells the fusion from the loss.

    Each modality's vector is the head's output for the fusion of its tokens alone; the probe sees
    the fusion of all, which no term of the loss has seen. ``align`` is Cross+Self's.
    """

    def __init__(self, *parts, align: Sequence[Transform], **others):
        super().__init__(*parts, **others)
        check_lengths(2, encoders=self.encoders, align=align)
        self.align = align

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss across plus mean loss within modalities, and matches across them (percent)."""
        alone = [[True, False], [False, True]]
        cross, view1, view2 = (
            self.project(transformed(transforms, batch, generator), alone)
            for transforms in (self.align, self.augment, self.augment)
        )
        loss = losses.cross_self(
            *cross, self_pairs=list(zip(view1, view2, strict=True)), temperature=self.temperature
        )
        return {"loss": loss, "match": mean_match(cross)}
