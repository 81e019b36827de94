"""Views of table rows (B, C): continuous columns and categorical codes alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape


@dataclass(frozen=True, eq=False)
class Corrupt:
    """Replace int(rate * C) columns of each row by values that the column has elsewhere.

    Which columns is drawn for each row, without replacement; each value comes from a random row of
    ``marginals`` (N, C), of its own for each column, so columns keep their distributions and codes
    stay valid. ``marginals`` is the training table, on the device of the batch.
    Source: SCARF; label-DP paper's code base (rate 0.3).

    >>> table = torch.tensor([[0.0, 10.0], [1.0, 11.0]])
    >>> Corrupt(0.5, table)(table, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 2])
    """

    rate: float
    marginals: Tensor

    def __post_init__(self) -> None:
        check_range("rate", self.rate, 0, 1)
        check_shape("marginals", self.marginals, "N C")

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        n, c = self.marginals.shape
        check_shape("batch", batch, "B C", C=c)
        where = {"generator": generator, "device": batch.device}
        corrupted = torch.rand(batch.shape, **where).argsort(dim=1) < int(self.rate * c)
        rows = torch.randint(n, batch.shape, **where)
        return torch.where(corrupted, self.marginals.gather(0, rows), batch)
