"""Spending the same epsilon on a label better: with a prior, in two stages, with a posterior.

Images stay as they are, so all of these are private under the standard notion only. A prior must
owe nothing to the label it is used for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.coins import Generator, coins, random, uniform
from mmlib.label_dp.mechanisms import check_labels, randomized_response

GRID = 2.0**-10  # of the Laplace noise; ones and zeros lie on it


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

    Returns released labels (N,). Raises ``ValueError`` for values out of range.

    Source: Ghazi et al. 2021, Algorithms 2 and 3.

    >>> g = torch.Generator().manual_seed(0)
    >>> prior = torch.tensor([0.49, 0.49, 0.01, 0.01])
    >>> labels = torch.zeros(100_000, dtype=torch.long)
    >>> released = rr_with_prior(labels, prior, math.log(3), generator=g)
    >>> [round(share, 2) for share in (released.bincount(minlength=4) / 1e5).tolist()]
    [0.75, 0.25, 0.0, 0.0]
    """
    n_classes = prior.shape[-1]
    check_labels(labels, n_classes)
    prior = prior.expand(len(labels), n_classes)
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
    n_classes = prior.shape[-1]
    check_labels(released, n_classes)
    k, ranked = best_k(prior.expand(len(released), n_classes), epsilon)
    rank, own = ranked.argsort(1), released.long()[:, None]
    if (rank.gather(1, own).squeeze(1) >= k).any():
        raise ValueError("released has a label that this prior and epsilon never release")
    k, kept = k.double()[:, None], math.exp(epsilon)
    told = torch.where(rank < k, 1 / (kept + k - 1), 1 / k)
    return told.scatter(1, own, kept / (kept + k - 1))


def two_stage_rr(
    labels: Tensor,
    first: Tensor,
    predict: Callable[[Tensor], Tensor],
    n_classes: int,
    epsilon: float,
    *,
    generator: Generator,
) -> Tensor:
    """LP-2ST: some labels by plain response; a model trained on them is the prior of the others.

    Each label is used in one response alone, so the total is ``epsilon``.

    Args:
        labels: integers (N,) from 0 to K - 1.
        first: booleans (N,), whose labels the first stage releases.
        predict: from these released labels, in order, to chances (M, K) for the M other records.
            It must not touch ``labels``.
        n_classes: K, at least 2.
        epsilon: pure cost of each label, from 0.
        generator: the privacy noise's own.

    Returns released labels (N,). Source: Ghazi et al. 2021, Algorithm 4 with two stages.

    >>> g = torch.Generator().manual_seed(0)
    >>> labels = torch.ones(1000, dtype=torch.long)
    >>> def most_frequent(released):
    ...     return torch.eye(3)[released.mode().values].expand(500, 3)
    >>> first = torch.arange(1000) < 500
    >>> released = two_stage_rr(labels, first, most_frequent, 3, 2.0, generator=g)
    >>> bool((released[500:] == 1).all())
    True
    """
    check_labels(labels, n_classes)
    check_shape("first", first, "N", N=len(labels))
    noise = noise_for(epsilon, n_classes)
    released = labels.clone()
    released[first] = randomized_response(labels[first], noise, n_classes, generator=generator)
    prior = predict(released[first])
    check_shape("prior", prior, "M K", M=int((~first).sum()), K=n_classes)
    released[~first] = rr_with_prior(labels[~first], prior, epsilon, generator=generator)
    return released


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


def laplace_posterior(noisy: Tensor, epsilon: float, prior: Tensor | None = None) -> Tensor:
    """Chances (N, K) of the classes given what :func:`laplace_labels` released.

    ``prior`` (N, K) or (K,): for ALIBI the model's own prediction; by default all are alike. These
    are the soft targets to train on.

    Source: Malek et al. 2021.

    >>> laplace_posterior(torch.tensor([[1.0, 0.0, 0.0]]), 2 * math.log(2))
    tensor([[0.6667, 0.1667, 0.1667]], dtype=torch.float64)
    """
    check_shape("noisy", noisy, "N K")
    noisy = noisy.double()
    # |x_c| - |x_c - 1| over the scale: the class's log-likelihood but for what all have in common.
    logits = (noisy.abs() - (noisy - 1).abs()) * epsilon / 2
    if prior is not None:
        logits = logits + prior.double().log()
    return logits.softmax(1)
