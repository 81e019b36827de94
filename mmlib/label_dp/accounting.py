"""What randomized response costs: epsilon from the noise, and the noise from epsilon.

One response of the label among K classes keeps it with chance a = 1 - noise + noise / K and shows
any other given class with chance b = noise / K. Its privacy loss is L = log(a / b); the Rényi
divergence of order alpha between its laws for two labels is, with all factors positive,

    D = log(1 + b (1 - exp(-(alpha - 1) L)) (exp(alpha L) - 1)) / (alpha - 1),

which is computed here from logarithms, so nothing cancels for small losses and nothing overflows
for large ones. Independent responses of the same label add.

``order`` is alpha, from 1 (the Kullback-Leibler divergence) to infinity (pure epsilon); all costs
are in nats.
"""

from __future__ import annotations

import math

import numpy as np

from mmlib._checks import check_range


def epsilon_of(
    noise: float, n_classes: int, *, responses: int = 1, order: float = math.inf
) -> float:
    """Cost of ``responses`` independent randomized responses of one label among K classes.

    Double randomized response is 2 responses where images count as private, see
    :class:`mmlib.label_dp.mechanisms.double_rr.DoubleRR`.
    A label drawn anew in every epoch is as many responses as there are epochs; private images that
    are drawn anew do not add like that, see :func:`mmlib.label_dp.terms.total_cost`.

    Args:
        noise: lambda, chance of a uniform draw (own class included), from 0 (epsilon is infinite)
            to 1 (epsilon is 0).
        n_classes: K, at least 2.
        responses: how many, at least 1.
        order: alpha, from 1 to infinity.

    Source: label-DP paper, condition on epsilon; Ghazi et al. 2021; Mironov 2017, Definition 4.

    >>> round(epsilon_of(0.962372, 286, responses=2), 3)
    5.0
    """
    _check(n_classes, responses, order)
    check_range("noise", noise, 0.0, 1.0)
    if noise == 0:
        return math.inf
    loss = math.log1p((n_classes - 1) * (1 - noise)) - math.log(noise)
    return responses * _divergence(loss, n_classes, order)


def noise_for(
    epsilon: float, n_classes: int, *, responses: int = 1, order: float = math.inf
) -> float:
    """The noise at which ``responses`` responses cost ``epsilon``: inverts :func:`epsilon_of`.

    >>> round(noise_for(5.0, 286), 6), round(noise_for(5.0, 286, responses=2), 6)
    (0.659878, 0.962372)
    """
    _check(n_classes, responses, order)
    check_range("epsilon", epsilon, 0.0)
    loss = _loss_for(epsilon / responses, n_classes, order)
    other = math.exp(-loss)  # chance of another given class over that of the own one
    return n_classes * other / (1 + (n_classes - 1) * other)


def readings(epsilon: float, n_classes: int) -> dict[str, float]:
    """The noise of both of double RR's coins, by each reading of a stated ``epsilon``.

    Of two responses: pure (``two_logs``, the theorem), or a Rényi cost of ``order_2``, ``order_1``.
    Of one response that serves both coins: ``one_log``. Each with K taken for 2 (``binary_``) and
    forgotten (``no_k_``), noise = exp(-epsilon / responses).

    >>> {name: round(noise, 4) for name, noise in readings(5.0, 286).items()}["order_2"]
    0.8221
    """
    return {
        "two_logs": noise_for(epsilon, n_classes, responses=2),
        "order_2": noise_for(epsilon, n_classes, responses=2, order=2),
        "order_1": noise_for(epsilon, n_classes, responses=2, order=1),
        "one_log": noise_for(epsilon, n_classes),
        "binary_two": noise_for(epsilon, 2, responses=2),
        "no_k_two": math.exp(-epsilon / 2),
        "binary_one": noise_for(epsilon, 2),
        "no_k_one": math.exp(-epsilon),
    }


def keep_probability(noise: float, n_classes: int) -> float:
    """Chance a that the released label is the true one.

    >>> round(keep_probability(0.659878, 286), 4)
    0.3424
    """
    check_range("n_classes", n_classes, 2)
    return 1 - check_range("noise", noise, 0.0, 1.0) * (n_classes - 1) / n_classes


def agreement(noise: float, n_classes: int) -> float:
    """Chance a^2 + (K - 1) b^2 that double RR's released label is the class of its image.

    >>> round(agreement(0.659878, 286), 3), round(agreement(0.962372, 286), 4)
    (0.119, 0.0049)
    """
    keep = keep_probability(noise, n_classes)
    return keep**2 + (n_classes - 1) * (noise / n_classes) ** 2


def approximate_epsilon(rdp: float, order: float, delta: float) -> float:
    """The epsilon of (epsilon, delta)-privacy that a Rényi cost ``rdp`` of ``order`` implies.

    ``order`` above 1, ``delta`` between 0 and 1. The best order is the reader's to find: each gives
    a valid epsilon.

    Source: Canonne, Kamath, Steinke 2020, Proposition 12 (never above Mironov 2017, Proposition 3).

    >>> order, delta = 8.0, 1e-5
    >>> approximate_epsilon(1.0, order, delta) < 1.0 + math.log(1 / delta) / (order - 1)
    True
    """
    check_range("rdp", rdp, 0.0)
    check_range("order", order, 1.0, open_low=True)
    check_range("delta", delta, 0.0, 1.0, open_low=True, open_high=True)
    if order == math.inf:
        return rdp
    saved = math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
    return max(0.0, rdp + saved)


def _check(n_classes: int, responses: int, order: float) -> None:
    check_range("n_classes", n_classes, 2)
    check_range("responses", responses, 1)
    check_range("order", order, 1.0)


def _divergence(loss: float, n_classes: int, order: float) -> float:
    """Rényi divergence of one response whose pure loss is ``loss``."""
    if loss == 0 or order == math.inf:
        return loss
    share = 1 + (n_classes - 1) * math.exp(-loss)  # 1 / a
    if order == 1:
        return -math.expm1(-loss) / share * loss  # (a - b) L
    log_b = -loss - math.log(share)
    log_first = math.log(-math.expm1(-(order - 1) * loss))
    log_second = order * loss + math.log(-math.expm1(-order * loss))
    return float(np.logaddexp(0, log_b + log_first + log_second)) / (order - 1)


def _loss_for(epsilon: float, n_classes: int, order: float) -> float:
    """The pure loss at which one response costs ``epsilon`` at ``order``, by bisection."""
    if epsilon == 0 or order == math.inf:
        return epsilon
    low, high = epsilon, 2 * epsilon  # the divergence never exceeds the pure loss
    while _divergence(high, n_classes, order) < epsilon:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if _divergence(middle, n_classes, order) <= epsilon:
            low = middle
        else:
            high = middle
    return low  # from below: never more than asked for
