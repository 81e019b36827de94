"""Two-stage randomized response: a model of the first labels is the prior of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmlib._checks import check_shape
from mmlib.label_dp._checks import check_labels
from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.mechanisms.prior_rr import rr_with_prior
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.terms import AtEpsilon, Drawn


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

    >>> import torch
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


@dataclass(frozen=True, kw_only=True)
class TwoStageRR(AtEpsilon):
    """LP-2ST; ``draw`` takes ``first`` (N,) and ``predict``, see :func:`two_stage_rr`."""

    name: ClassVar[str] = "two-stage randomized response"

    def draw(
        self,
        labels: Tensor,
        generator: Generator,
        *,
        first: Tensor,
        predict: Callable[[Tensor], Tensor],
    ) -> Drawn:
        released = two_stage_rr(
            labels, first, predict, self.n_classes, self.epsilon, generator=generator
        )
        return released, None
