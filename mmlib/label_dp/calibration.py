"""Noise from epsilon, for every mechanism that has a bound.

A plain response has a formula, :func:`mmlib.label_dp.accounting.noise_for`, and some mechanisms
take their epsilon as it is. What all others cost falls with their noise, and is inverted here by
bisection, from above: what is found never costs more than was asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from mmlib._checks import check_range
from mmlib.label_dp.mechanisms.noisy_query import NoisyQuery
from mmlib.label_dp.terms import Terms, total_cost


def noise_at(
    epsilon: float,
    terms: Callable[[float], Terms],
    notion: str,
    *,
    order: float = math.inf,
    delta: float = 0.0,
) -> float:
    """The least noise at which a mechanism costs ``epsilon``.

    Args:
        epsilon: nats; pure, or of a finite ``order``, or holding but for a chance ``delta``, as in
            :func:`mmlib.label_dp.terms.total_cost`.
        terms: from a noise, up to 1, to the mechanism, which has to cost the less the more it is.
        notion: "standard" or "population".

    Raises ``ValueError`` for an ``epsilon`` that no noise reaches.

    >>> from mmlib.label_dp.mechanisms.coupled_rr import CoupledRR
    >>> from mmlib.label_dp.mechanisms.double_rr import DoubleRR
    >>> round(noise_at(5.0, lambda x: CoupledRR(n_classes=286, noise=x, divergence=1.0),
    ...       "population"), 4)  # K e / (K e + e^5 - 1)
    0.8406
    >>> def double(x):
    ...     return DoubleRR(
    ...         n_classes=286, noise_label=x, noise_image=x, pools="given", divergence=0.0
    ...     )
    >>> [round(noise_at(5.0, double, "population", delta=d), 4) for d in (0.0, 1e-3)]
    [0.9624, 0.9527]
    """

    def cost(noise: float) -> float:
        return total_cost((terms(noise),), notion, order=order, delta=delta).epsilon

    check_range("epsilon", epsilon, cost(1.0))
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        if cost(middle) > epsilon:
            low = middle
        else:
            high = middle
    return high


def query_at(
    epsilon: float,
    share: float,
    *,
    n_classes: int,
    neighbours: int,
    clip: float,
    order: float = math.inf,
    delta: float = 0.0,
) -> NoisyQuery:
    """A response and a noisy query that cost ``epsilon`` together, population notion.

    The query by itself costs ``share`` of it, between 0 and 1, and the label gets what is left
    over: at a finite ``order`` the other part, with a ``delta`` somewhat more, as costs of equal
    order add up and not what they imply. One of the two has to be given: Gaussian noise has no
    finite pure cost.

    >>> terms = query_at(8.0, 0.5, n_classes=286, neighbours=10, clip=1.0, order=8.0)
    >>> round(terms.sigma, 6), round(terms.cost("population", order=8.0).epsilon, 6)
    (2.0, 8.0)
    """
    check_range("share", share, 0.0, 1.0, open_low=True, open_high=True)
    spent = {"notion": "population", "order": order, "delta": delta}

    def terms(noise: float, far: float) -> NoisyQuery:
        """``far`` goes from 0 to 1 where sigma goes from 0 without end."""
        sigma = clip * far / max(1 - far, 2.0**-53)
        return NoisyQuery(
            n_classes=n_classes, noise=noise, neighbours=neighbours, clip=clip, sigma=sigma
        )

    far = noise_at(share * epsilon, lambda x: terms(1.0, x), **spent)
    return terms(noise_at(epsilon, lambda x: terms(x, far), **spent), far)
