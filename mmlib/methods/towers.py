"""What methods without a fusion share: for each modality an encoder and a projection."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmlib._checks import check_range
from mmlib.methods import Transform, check_lengths


class Towers(nn.Module):
    """One encoder and one projection per modality, of two or more.

    Args:
        encoders, projections: one of each per modality.
        augment: one random transform per modality, for training.
        prepare: one transform per modality that makes the encoder's input without chance.
    """

    def __init__(
        self,
        encoders: Sequence[nn.Module],
        projections: Sequence[nn.Module],
        *,
        augment: Sequence[Transform],
        prepare: Sequence[Transform],
    ):
        super().__init__()
        check_range("number of modalities", len(encoders), 2)
        check_lengths(len(encoders), projections=projections, augment=augment, prepare=prepare)
        self.encoders = nn.ModuleList(encoders)
        self.projections = nn.ModuleList(projections)
        self.augment = augment
        self.prepare = prepare

    def project(self, view: Sequence[Tensor]) -> list[Tensor]:
        """The projected vectors (B, D) of modalities that are transformed already."""
        parts = zip(self.projections, self.encoders, view, strict=True)
        return [projection(encoder(x)) for projection, encoder, x in parts]

    def embed(self, batch: Sequence[Tensor]) -> Tensor:
        """What :meth:`encode` gives for all modalities side by side: (B, M D)."""
        return self.combine([self.encode(k, x) for k, x in enumerate(batch)])

    def encode(self, modality: int, batch: Tensor) -> Tensor:
        """The projected vector (B, D) of one modality of the samples as they are."""
        features = self.encoders[modality](self.prepare[modality](batch, None))
        return self.projections[modality](features)

    def aligned(self, modality: int, inputs: Tensor) -> Tensor:
        """The vectors (N, D) that the loss compares, of one modality of N samples as they are."""
        return torch.cat([Towers.encode(self, modality, part) for part in inputs.split(512)])

    def combine(self, parts: Sequence[Tensor]) -> Tensor:
        """All vectors side by side."""
        return torch.cat(parts, dim=1)
