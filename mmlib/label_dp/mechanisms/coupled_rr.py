"""Coupled randomized response: one coin for label and image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.bounds import mismatch_cost
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.mechanisms.swap_images import IN_NO_POOL, swap_images
from mmlib.label_dp.terms import Drawn, Guarantee, Terms


def coupled_rr(
    labels: Tensor,
    noise: float,
    n_classes: int,
    *,
    include_self: bool = False,
    records: Tensor | None = None,
    pool_labels: Tensor | None = None,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """One coin for label and image: keep both, or draw a class and show an image of that class.

    The image always belongs to the released label, so given this label it tells nothing more: half
    the cost of double RR where images are private too. To whoever knows the images an image left in
    place tells that the label is true: no finite epsilon under the standard notion.

    Args:
        labels: integers (N,) from 0 to K - 1, of the N records that make the pools.
        noise: lambda, from 0 to 1.
        n_classes: K, at least 2.
        include_self: whether a record may be drawn from its own class's pool.
        records: indices (Q,) of the records to draw for. Default: all N, each once.
        pool_labels: classes (P,) of images to draw from in place of the records; image p is index
            N + p.
        generator: the privacy noise's own.

    Returns released labels (Q,) and indices (Q,) into the N records, from N on into the pool.
    Raises ``ValueError`` for values out of range and for a class whose pool is empty.

    Source: this book's audit of label-DP; compare Busa-Fekete et al. 2023.

    >>> g = torch.Generator().manual_seed(0)
    >>> labels = torch.arange(100_000) % 4
    >>> released, source = coupled_rr(labels, 0.8, 4, generator=g)
    >>> bool((labels[source] == released).all())
    True
    """
    source = swap_images(
        labels,
        noise,
        n_classes,
        include_self=include_self,
        records=records,
        pool_labels=pool_labels,
        generator=generator,
    )
    of = labels if pool_labels is None else torch.cat([labels, pool_labels.to(labels.dtype)])
    return of[source], source  # a kept image is of the own class, and any other of the drawn one


@dataclass(frozen=True, kw_only=True)
class CoupledRR(Terms):
    """One coin for label and image; ``draw`` takes ``pool_labels`` (P,) of a public pool.

    ``divergence`` is of the pool from the classes, as in
    :class:`mmlib.label_dp.mechanisms.double_rr.DoubleRR`.

    >>> terms = CoupledRR(n_classes=4, noise=0.5, divergence=0.0)
    >>> round(terms.cost("population").epsilon, 4), terms.cost("standard").epsilon
    (1.6094, inf)
    """

    noise: float
    divergence: float = math.inf
    name: ClassVar[str] = "coupled randomized response"

    @property
    def may_show_own(self) -> bool:
        return self.noise < 1

    def _cost(self, notion: str, order: float) -> Guarantee:
        if self.noise < 1 and notion == "standard":
            reason = "an image left in place tells that the released label is true"
            return Guarantee(math.inf, order, reason)
        if self.noise < 1 and math.isinf(self.divergence):
            return Guarantee(math.inf, order, IN_NO_POOL)
        if self.divergence:
            reason = "the released label, and how far the pool is from the classes; the pure cost"
            cost = mismatch_cost(self.noise, self.n_classes, self.divergence)
            return Guarantee(cost, order, reason)
        reason = "the image follows from the released label"
        return Guarantee(epsilon_of(self.noise, self.n_classes, order=order), order, reason)

    def draw(self, labels: Tensor, generator: Generator, *, pool_labels: Tensor) -> Drawn:
        return coupled_rr(
            labels, self.noise, self.n_classes, pool_labels=pool_labels, generator=generator
        )
