"""CMC: any number of encoders whose outputs are aligned pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmlib import losses
from mmlib.methods import mean_match, transformed
from mmlib.methods.towers import Towers


class CMC(Towers):
    """One encoder and one projection per modality; all vectors of a sample are to match.

    Each pair of modalities is aligned by NT-Xent at a fixed ``temperature``. What any one pair does
    not share earns nothing, however many modalities there are.

    Source: Tian et al. 2020; CoMM, released code (three modalities, bias-free projections).
    """

    def __init__(self, *parts, temperature: float = 0.1, **others):
        super().__init__(*parts, **others)
        self.temperature = temperature

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Mean loss over all pairs of modalities, and how many rows match (percent)."""
        z = self.project(transformed(self.augment, batch, generator))
        return {"loss": losses.cmc(z, temperature=self.temperature), "match": mean_match(z)}
