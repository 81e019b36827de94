"""Views of texts, ids (B, T) of which the first five are :data:`mmlib.data.text.SPECIAL`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.data.text import MASK, SPECIAL


@dataclass(frozen=True)
class MaskTokens:
    """Replace each word by the mask token with probability ``p``; special tokens stay.

    Source: CoMM, MM-IMDb experiments (p = 0.15).

    >>> MaskTokens(p=1.0)(torch.tensor([[1, 7, 9, 2, 0]]), torch.Generator().manual_seed(0))
    tensor([[1, 4, 4, 2, 0]])
    """

    p: float = 0.15

    def __post_init__(self) -> None:
        check_range("p", self.p, 0, 1)

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.rand(batch.shape, generator=generator, device=batch.device) < self.p
        return batch.masked_fill(drawn & (batch >= len(SPECIAL)), MASK)
