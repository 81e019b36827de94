"""Randomized response among the classes that a prior thinks likely."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp._checks import check_labels, prior_of_each
from mmlib.label_dp.coins import Generator, coins, uniform
from mmlib.label_dp.terms import AtEpsilon, Drawn


def rr_with_prior(labels: Tensor, prior: Tensor, epsilon: float, *, generator: Generator) -> Tensor:
    """Randomized response among each record's most likely classes.

    Of the k classes that the prior thinks most likely, a label among them is kept with chance e^eps
    / (e^eps + k - 1) and else becomes another of them; any other label becomes one of the k,
    uniformly. The k (a record's own) makes the released label right as often as possible.

    Args:
        labels: integers (N,) from 0 to K - 1.
        prior: chances (N, K) of the classes for each record, or (K,) for all.
        epsilon: pure cost of each label, from 0.
        generator: the privacy noise's own.

    Returns released labels (N,). Raises ``ValueError`` for values out of range and a prior of other
    records.

    Source: Ghazi et al. 2021, Algorithms 2 and 3.

    >>> g = torch.Generator().manual_seed(0)
    >>> prior = torch.tensor([0.49, 0.49, 0.01, 0.01])
    >>> labels = torch.zeros(100_000, dtype=torch.long)
    >>> released = rr_with_prior(labels, prior, math.log(3), generator=g)
    >>> [round(share, 2) for share in (released.bincount(minlength=4) / 1e5).tolist()]
    [0.75, 0.25, 0.0, 0.0]
    """
    prior = prior_of_each(prior, len(labels))
    check_labels(labels, prior.shape[1])
    k, ranked = best_k(prior, epsilon)
    rank = (ranked == labels[:, None]).int().argmax(1)
    # Keeping with chance e^eps / (e^eps + k - 1) is a coin for a draw with the own class included.
    noise = torch.where(rank < k, k / (k.double() - 1 + math.exp(epsilon)), 1.0)
    drawn = ranked.gather(1, uniform(k, k, generator)[:, None]).squeeze(1).to(labels.dtype)
    return torch.where(coins(noise, labels, generator), drawn, labels)


def best_k(prior: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """Among how many of the most likely classes to respond (N,), and the classes ranked (N, K).

    Source: Ghazi et al. 2021, Algorithm 3.

    >>> best_k(torch.tensor([[0.1, 0.6, 0.3], [0.34, 0.33, 0.33]]), 0.1)[0]
    tensor([1, 3])
    """
    check_shape("prior", prior, "N K")
    check_range("epsilon", epsilon, 0.0, 700.0)  # beyond, its exponential is no number
    if len(prior):
        check_range("smallest prior", prior.min().item(), 0.0)
    likely, ranked = prior.double().sort(dim=1, descending=True, stable=True)
    k = torch.arange(1, prior.shape[1] + 1, device=prior.device)
    right = likely.cumsum(1) / (1 + (k - 1) * math.exp(-epsilon))
    return right.argmax(1) + 1, ranked


def prior_likelihood(released: Tensor, prior: Tensor, epsilon: float) -> Tensor:
    """How likely each label that :func:`rr_with_prior` released is, in each class: (N, K).

    Args:
        released: integers (N,) from 0 to K - 1.
        prior, epsilon: as they were for the release.

    Raises ``ValueError`` for a label that cannot have come out with this prior.

    >>> prior = torch.tensor([0.49, 0.49, 0.01, 0.01])
    >>> prior_likelihood(torch.tensor([1]), prior, math.log(3))
    tensor([[0.2500, 0.7500, 0.5000, 0.5000]], dtype=torch.float64)
    """
    prior = prior_of_each(prior, len(released))
    check_labels(released, prior.shape[1])
    k, ranked = best_k(prior, epsilon)
    rank, own = ranked.argsort(1), released.long()[:, None]
    if (rank.gather(1, own).squeeze(1) >= k).any():
        raise ValueError("released has a label that this prior and epsilon never release")
    k, kept = k.double()[:, None], math.exp(epsilon)
    told = torch.where(rank < k, 1 / (kept + k - 1), 1 / k)
    return told.scatter(1, own, kept / (kept + k - 1))


@dataclass(frozen=True, kw_only=True)
class PriorRR(AtEpsilon):
    """Response among the likely classes; ``draw`` takes the ``prior``, (N, K) or (K,)."""

    name: ClassVar[str] = "randomized response with a prior"

    def draw(self, labels: Tensor, generator: Generator, *, prior: Tensor) -> Drawn:
        prior = prior_of_each(prior, len(labels), K=self.n_classes)
        return rr_with_prior(labels, prior, self.epsilon, generator=generator), None
