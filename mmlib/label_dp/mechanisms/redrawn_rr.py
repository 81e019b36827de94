"""Randomized response twice: of the label, and of the class that an image is always drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mmlib.label_dp._checks import check_labels
from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.pools import draw_members, pool_sizes
from mmlib.label_dp.terms import Drawn, Guarantee, Terms


@dataclass(frozen=True, kw_only=True)
class RedrawnRR(Terms):
    """Double randomized response of which no image is kept: the second response names a class.

    An image of that class is drawn uniformly from a public pool; ``draw`` takes its classes
    ``pool_labels`` (P,). All that is shown follows from the two responses, whatever the pool is. So
    known images help no attacker, and the bound needs no pool that is like its class, unlike that
    of :class:`mmlib.label_dp.mechanisms.double_rr.DoubleRR`.

    Source: this book's audit of label-DP; compare Busa-Fekete et al. 2023.

    >>> terms = RedrawnRR(n_classes=4, noise_label=0.5, noise_image=0.5)
    >>> [round(terms.cost(notion).epsilon, 4) for notion in ("standard", "population")]
    [3.2189, 3.2189]
    """

    noise_label: float
    noise_image: float
    name: ClassVar[str] = "randomized response with images redrawn"

    def _cost(self, notion: str, order: float) -> Guarantee:
        noises = self.noise_label, self.noise_image
        cost = sum(epsilon_of(noise, self.n_classes, order=order) for noise in noises)
        return Guarantee(cost, order, "two responses of the label; images follow from the second")

    def draw(self, labels: Tensor, generator: Generator, *, pool_labels: Tensor) -> Drawn:
        check_labels(pool_labels, self.n_classes)
        released, drawn = (
            randomized_response(labels, noise, self.n_classes, generator=generator)
            for noise in (self.noise_label, self.noise_image)
        )
        sizes = pool_sizes(pool_labels, self.n_classes, include_self=True)
        none = torch.full_like(drawn, -1, dtype=torch.long)
        return released, len(labels) + draw_members(pool_labels, sizes, drawn, none, generator)
