"""Bounds where images are not drawn from the classes' own distributions.

All are population costs: of the image half alone where it says so, else of label and image. Noise
from epsilon: :mod:`mmlib.label_dp.calibration`.
"""

from __future__ import annotations

import math

import numpy as np

from mmlib._checks import check_range
from mmlib.label_dp.accounting import epsilon_of


def floor_epsilon(
    noise: float,
    n_classes: int,
    floor: float,
    neighbours: int,
    largest_pool: int,
    *,
    noise_label: float | None = None,
) -> float:
    """Pure cost of double RR whose draw is uniform with chance ``floor``, else among the nearest.

    It holds where a class's images are its pool, each as likely (an image that is in no pool was
    kept, and is told by that). With ``floor`` 1, or k as large as every pool, it is double RR's.

    Args:
        noise: lambda of the image, and of the label unless ``noise_label`` is given.
        n_classes: K, at least 2.
        floor: gamma, from 0 (epsilon is infinite) to 1.
        neighbours: k, at least 1.
        largest_pool: images of the largest class, at least 1.
        noise_label: lambda of the label.

    Source: this book's audit of label-DP.

    >>> [round(floor_epsilon(0.962372, 286, g, 10, 1980), 2) for g in (0.2, 0.5, 1.0)]
    [9.24, 7.9, 5.0]
    """
    check_range("floor", floor, 0.0, 1.0)
    check_range("neighbours", neighbours, 1)
    check_range("largest_pool", largest_pool, 1)
    label = epsilon_of(noise if noise_label is None else noise_label, n_classes)
    if neighbours >= largest_pool:
        floor = 1.0
    if floor == 0 or check_range("noise", noise, 0.0, 1.0) == 0:
        return math.inf
    kept = n_classes * (1 - noise) / noise / floor
    near = (1 - floor) / floor * largest_pool / neighbours
    return label + math.log1p(kept + near)


def mismatch_cost(
    noise: float, n_classes: int, divergence: float, *, order: float = math.inf
) -> float:
    """Cost of the image half when images are drawn from a model of each class, not from the class.

    Add the label half, :func:`mmlib.label_dp.accounting.epsilon_of` once.

    Args:
        noise: lambda of the image, from 0 to 1.
        n_classes: K, at least 2.
        divergence: largest Rényi divergence, over classes and of the same order, of a class from
            its model. Infinite at infinite order if the class has an image that the model lacks.
        order: alpha, from 1 to infinity.

    Source: this book's audit of label-DP; after Busa-Fekete et al. 2023 ("realistic" data).

    >>> exact = epsilon_of(0.9, 10)
    >>> round(mismatch_cost(0.9, 10, 0.0) - exact, 12), mismatch_cost(0.9, 10, math.inf)
    (0.0, inf)
    """
    check_range("noise", noise, 0.0, 1.0)
    check_range("n_classes", n_classes, 2)
    check_range("divergence", divergence, 0.0)
    check_range("order", order, 1.0)
    if noise == 0 or (divergence == math.inf and noise < 1):
        return math.inf
    if noise == 1:
        return 0.0
    odds = math.log1p(-noise) - math.log(noise) + math.log(n_classes) + divergence
    if order == math.inf:
        return float(np.logaddexp(0, odds))
    if order == 1:
        return (1 - noise) * (math.log(n_classes) + divergence) - math.log(noise)
    kept = math.log1p(-noise) + (order - 1) * (math.log(n_classes) + divergence)
    return float(np.logaddexp(kept, math.log(noise))) / (order - 1) - math.log(noise)


def query_cost(clip: float, sigma: float, order: float) -> float:
    """Rényi cost of a feature of length at most ``clip`` released with Gaussian noise.

    Two features differ by 2 ``clip`` at most. Infinite at infinite ``order``.

    Source: Mironov 2017, Proposition 7.

    >>> query_cost(1.0, 2.0, order=8.0)
    4.0
    """
    check_range("clip", clip, 0.0, open_low=True)
    check_range("sigma", sigma, 0.0)
    check_range("order", order, 1.0)
    infinite = sigma == 0 or order == math.inf
    return math.inf if infinite else order * 2 * (clip / sigma) ** 2
