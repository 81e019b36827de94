"""Randomized response of the label.

``noise`` is always the paper's lambda as its Algorithm 1 prints it: the chance that the label is
drawn anew, uniformly from all K classes *with the own one*. The paper's prose draws one of the
*other* classes instead; that is the same mechanism with (K - 1) / K of this lambda.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmlib.label_dp._checks import check_labels
from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.coins import Generator, coins, uniform
from mmlib.label_dp.terms import Drawn, LabelOnly


def randomized_response(
    labels: Tensor, noise: float, n_classes: int, *, generator: Generator
) -> Tensor:
    """Released labels: each is kept, or with chance ``noise`` drawn uniformly from all classes.

    Args:
        labels: integers (N,) from 0 to K - 1.
        noise: lambda, from 0 (nothing changes) to 1 (nothing of the label is left).
        n_classes: K, at least 2.
        generator: the privacy noise's own, on the device of ``labels``.

    Returns released labels (N,). Raises ``ValueError`` for a label, K or ``noise`` out of range.

    Source: Warner 1965; label-DP paper, Algorithm 1, step 2.

    >>> g = torch.Generator().manual_seed(0)
    >>> released = randomized_response(torch.full((100_000,), 3), 0.8, 4, generator=g)
    >>> [round(share, 2) for share in (released.bincount() / 1e5).tolist()]  # 0.2 + 0.8 / 4 kept
    [0.2, 0.2, 0.2, 0.4]
    """
    check_labels(labels, n_classes)
    fallen = coins(noise, labels, generator)
    return torch.where(fallen, uniform(n_classes, labels, generator), labels)


@dataclass(frozen=True, kw_only=True)
class LabelRR(LabelOnly):
    """Randomized response of the label; its image stays as it is.

    >>> round(LabelRR(n_classes=286, noise=0.659878).cost("standard").epsilon, 4)
    5.0
    """

    noise: float
    name: ClassVar[str] = "label randomized response"

    def _label_cost(self, order: float) -> float:
        return epsilon_of(self.noise, self.n_classes, order=order)

    def draw(self, labels: Tensor, generator: Generator) -> Drawn:
        return randomized_response(labels, self.noise, self.n_classes, generator=generator), None
