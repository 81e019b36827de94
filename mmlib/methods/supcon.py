"""SupCon: the fused embedding learned from labels, a reference for methods that have none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmlib import losses
from mmlib.methods import transformed
from mmlib.methods.fused import FusedEncoder


class SupCon(FusedEncoder):
    """Two views of each sample through the fusion; all rows of one class are to be alike.

    The batch of :meth:`loss` has one more entry than there are modalities: the labels (B,),
    integers. :meth:`embed` takes the modalities alone, as for every other method.

    Source: Khosla et al. 2020; CoMM, released code (two augmented views).
    """

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The supervised contrastive loss, and how many views match their own other (percent)."""
        modalities, labels = self.with_labels(batch)
        full = [[True] * len(self.encoders)]
        z1, z2 = (
            self.project(transformed(self.augment, modalities, generator), full)[0]
            for _ in range(2)
        )
        loss = losses.supcon(torch.stack([z1, z2], dim=1), labels, temperature=self.temperature)
        return {"loss": loss, "match": losses.match_accuracy(z1, z2)}
