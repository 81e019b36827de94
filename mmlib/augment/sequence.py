"""Views of sequences (B, T, F) and of vectors (B, F); each sample is changed with probability p."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range

_MOST = 0.8  # of the steps that a view may lose


@dataclass(frozen=True)
class Noise:
    """Add N(0, sd^2) to every entry of a sample. Source: CoMM, MultiBench experiments.

    >>> Noise(p=1.0)(torch.zeros(2, 3, 4), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 4])
    """

    sd: float = 0.1
    p: float = 0.5

    def __post_init__(self) -> None:
        check_range("sd", self.sd, 0)
        check_range("p", self.p, 0, 1)

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        where = {"generator": generator, "device": batch.device}
        changed = torch.rand(len(batch), *[1] * (batch.ndim - 1), **where) < self.p
        noise = self.sd * torch.randn(batch.shape, dtype=batch.dtype, **where)
        return batch + noise * changed


@dataclass(frozen=True)
class Drop:
    """Zero a random share of a sample's time steps; of its entries where a sample is a vector.

    The share is uniform in [0, 0.8], rounded down to whole steps; which steps is drawn
    without replacement. Source: CoMM, MultiBench experiments.

    >>> view = Drop(p=1.0)(torch.ones(1, 5, 2), torch.Generator().manual_seed(0))
    >>> bool((view == 0).all(dim=2).sum() <= 4)  # at most 0.8 of 5 steps
    True
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        check_range("p", self.p, 0, 1)

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        where = {"generator": generator, "device": batch.device}
        b, t = batch.shape[:2]
        changed = torch.rand(b, 1, **where) < self.p
        count = (torch.rand(b, 1, **where) * _MOST * t).long() * changed
        dropped = torch.rand(b, t, **where).argsort(dim=1) < count
        return batch.masked_fill(dropped.view(b, t, *[1] * (batch.ndim - 2)), 0)


@dataclass(frozen=True)
class Chain:
    """One transform after the other; CoMM's views of sequences are ``Chain([Drop(), Noise()])``.

    >>> Chain([Drop(p=0.0), Noise(p=0.0)])(torch.ones(1, 2), torch.Generator().manual_seed(0))
    tensor([[1., 1.]])
    """

    transforms: Sequence[Callable[[Tensor, torch.Generator], Tensor]]

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        for transform in self.transforms:
            batch = transform(batch, generator)
        return batch
