"""ALIBI: one-hot labels with Laplace noise, and what these tell of the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp._checks import check_labels
from mmlib.label_dp.coins import Generator, random
from mmlib.label_dp.terms import AtEpsilon, Drawn

GRID = 2.0**-10  # of the noise; ones and zeros lie on it


def laplace_labels(
    labels: Tensor, n_classes: int, epsilon: float, *, generator: Generator
) -> Tensor:
    """ALIBI's release: one-hot labels with Laplace noise of scale 2 / ``epsilon`` on each number.

    One label changes two numbers by one each. The noise is Laplace's on the grid of 2^-10 (a
    difference of two geometric numbers), which costs the same and shows no last bits.

    That is of exact numbers. Drawn from 53 bits the noise ends 73.5 / ``epsilon`` away from 0, 14.7
    at 5: up to 1 beyond that, what one label can release another cannot. So strictly no pure
    epsilon is kept, but (``epsilon``, delta) is: at 5 with a delta of 7e-15 for any K, counted out
    over all steps of the geometric numbers. Canonne, Kamath and Steinke 2020 sample exactly.

    Args:
        labels: integers (N,) from 0 to K - 1.
        n_classes: K, at least 2.
        epsilon: pure cost of each label, above 0.
        generator: the privacy noise's own.

    Returns (N, K) in float64. Source: Malek et al. 2021.

    >>> g = torch.Generator().manual_seed(0)
    >>> noisy = laplace_labels(torch.zeros(100_000, dtype=torch.long), 2, 5.0, generator=g)
    >>> [round(x, 1) for x in (*noisy.mean(0).tolist(), *noisy.std(0).tolist())]  # 2 sqrt(2) / 5
    [1.0, 0.0, 0.6, 0.6]
    """
    check_labels(labels, n_classes)
    check_range("epsilon", epsilon, 0.0, 700.0, open_low=True)
    one_hot = torch.zeros(len(labels), n_classes, dtype=torch.float64, device=labels.device)
    one_hot[torch.arange(len(labels), device=labels.device), labels.long()] = 1.0
    rate = epsilon / 2 * GRID  # a geometric number exceeds n with chance exp(-rate (n + 1))

    def geometric() -> Tensor:
        return (-torch.log1p(-random(one_hot, generator)) / rate).floor()

    return one_hot + GRID * (geometric() - geometric())


def laplace_posterior(noisy: Tensor, epsilon: float) -> Tensor:
    """Chances (N, K) of the classes, all alike before, given what :func:`laplace_labels` released.

    Source: Malek et al. 2021.

    >>> import math
    >>> laplace_posterior(torch.tensor([[1.0, 0.0, 0.0]]), 2 * math.log(2))
    tensor([[0.6667, 0.1667, 0.1667]], dtype=torch.float64)
    """
    check_shape("noisy", noisy, "N K")
    noisy = noisy.double()
    # |x_c| - |x_c - 1| over the scale: the class's log-likelihood but for what all have in common.
    return ((noisy.abs() - (noisy - 1).abs()) * epsilon / 2).softmax(1)


@dataclass(frozen=True, kw_only=True)
class Laplace(AtEpsilon):
    """ALIBI: one-hot labels with Laplace noise, (N, K)."""

    name: ClassVar[str] = "one-hot labels with Laplace noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("epsilon", self.epsilon, 0.0, open_low=True)

    def draw(self, labels: Tensor, generator: Generator) -> Drawn:
        return laplace_labels(labels, self.n_classes, self.epsilon, generator=generator), None
