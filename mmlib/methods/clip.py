"""Two encoders with aligned outputs: CLIP for image and text, "Cross" in the CoMM paper."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmlib import losses
from mmlib._checks import check_range
from mmlib.methods import check_lengths, transformed
from mmlib.methods.towers import Towers

MAX_SCALE = 100.0


class DualEncoder(Towers):
    """One encoder and one projection per modality; a pair's two vectors are to match.

    Args (the others are :class:`mmlib.methods.towers.Towers`'):
        temperature: of the loss; where it is learned, its start.
        learn_temperature: learn the scale 1 / temperature, kept between 1 and 100 after each step.

    Source: CLIP, section 2.3; released code of CoMM and MEM.
    """

    def __init__(self, *parts, temperature: float = 0.07, learn_temperature: bool = True, **others):
        super().__init__(*parts, **others)
        check_lengths(2, encoders=self.encoders)
        check_range("temperature", temperature, 1 / MAX_SCALE, 1)
        log_scale = torch.tensor(-math.log(temperature))
        self.log_scale = nn.Parameter(log_scale, requires_grad=learn_temperature)

    @property
    def scale(self) -> Tensor:
        """1 / temperature, what cosines are multiplied with."""
        return self.log_scale.exp()

    def loss(self, batch: Sequence[Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of a view of each pair in both directions, and its matches (percent)."""
        with torch.no_grad():  # undoes what the step before did too much
            self.log_scale.clamp_(0, math.log(MAX_SCALE))
        z1, z2 = self.project(transformed(self.augment, batch, generator))
        # losses.clip up to rounding: its gradients differ in the last bits, and the records of all
        # trainings by it were made with these.
        temperature = 1 / self.scale
        loss = losses.info_nce(z1, z2, temperature=temperature)
        loss = (loss + losses.info_nce(z2, z1, temperature=temperature)) / 2
        return {"loss": loss, "match": losses.match_accuracy(z1, z2), "scale": self.scale.detach()}
