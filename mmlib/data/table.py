"""What the columns of a table are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.device import constant


@dataclass(frozen=True)
class TableSchema:
    """What the columns of a table are: ``n_continuous`` numbers, then one code per cardinality.

    A batch of rows is one float tensor (B, C), C = n_continuous + len(cardinalities). A code of a
    column with cardinality K is an integer from 0 to K - 1.

    >>> schema = TableSchema(n_continuous=2, cardinalities=(3,))
    >>> schema.one_hot(torch.tensor([[0.5, -1.0, 2.0]]))
    tensor([[ 0.5000, -1.0000,  0.0000,  0.0000,  1.0000]])
    """

    n_continuous: int
    cardinalities: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_range("n_continuous", self.n_continuous, 0)
        for cardinality in self.cardinalities:
            check_range("cardinality", cardinality, 1)
        check_range("number of columns", self.n_columns, 1)

    @property
    def n_columns(self) -> int:
        """Columns of a batch, C."""
        return self.n_continuous + len(self.cardinalities)

    @property
    def n_features(self) -> int:
        """Columns after one-hot coding."""
        return self.n_continuous + sum(self.cardinalities)

    def one_hot(self, rows: Tensor) -> Tensor:
        """(B, C) -> (B, n_features). Raises ``ValueError`` if a code is out of its range."""
        check_shape("rows", rows, "B C", C=self.n_columns)
        codes = rows[:, self.n_continuous :].long()
        sizes = constant(self.cardinalities, rows.device, torch.long)
        wrong = (codes < 0) | (codes >= sizes)
        if wrong.any():
            row, column = wrong.nonzero()[0].tolist()
            check_range(
                f"code in column {self.n_continuous + column}",
                codes[row, column].item(),
                0,
                self.cardinalities[column] - 1,
            )
        parts = [F.one_hot(c, k) for c, k in zip(codes.T, self.cardinalities, strict=True)]
        return torch.cat([rows[:, : self.n_continuous], *(p.to(rows.dtype) for p in parts)], dim=1)
