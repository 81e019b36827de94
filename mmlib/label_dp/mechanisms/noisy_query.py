"""Randomized response, and an image that is near to the own one's features plus noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.bounds import query_cost
from mmlib.label_dp.coins import Generator, normal
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.pools import draw_near
from mmlib.label_dp.terms import Drawn, Guarantee, Terms


def privatised(features: Tensor, clip: float, sigma: float, *, generator: Generator) -> Tensor:
    """Features cut to length ``clip`` with Gaussian noise of standard deviation ``sigma`` added.

    Two inputs differ by at most 2 ``clip``, so of order alpha it costs alpha (2 clip)^2 / (2
    sigma^2), whatever the features are: :func:`mmlib.label_dp.bounds.query_cost`. In floating
    point the last bits of noisy numbers can tell more than that; what is only compared, as a
    neighbour search does, is safe to show, the numbers themselves are not.

    Args:
        features: (N, D).
        clip: largest length, above 0.
        sigma: standard deviation of the noise, 0 or more.
        generator: the privacy noise's own.

    Source: Dwork et al. 2006; Mironov 2017, Proposition 7.

    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> privatised(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), 1.0, 0.0, generator=g)
    tensor([[0.6000, 0.8000],
            [0.3000, 0.4000]])
    """
    check_shape("features", features, "N D")
    check_range("clip", clip, 0.0, open_low=True)
    check_range("sigma", sigma, 0.0)
    length = features.norm(dim=1, keepdim=True)
    cut = features * (clip / length.clamp(min=clip))
    return cut + (sigma * normal(features, generator)).to(features.dtype)


@dataclass(frozen=True, kw_only=True)
class NoisyQuery(Terms):
    """A response of the label, and a public image of that class near to the own one plus noise.

    ``draw`` takes ``features`` (N, D), ``pool_labels`` (P,) and ``pool_features`` (P, D).

    >>> terms = NoisyQuery(n_classes=286, noise=0.9, neighbours=10, clip=1.0, sigma=2.0)
    >>> terms.cost("population").epsilon, round(terms.cost("population", order=8.0).epsilon, 2)
    (inf, 7.17)
    """

    noise: float
    neighbours: int
    clip: float
    sigma: float
    name: ClassVar[str] = "randomized response with images near a noisy query"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("clip", self.clip, 0.0, open_low=True)
        check_range("sigma", self.sigma, 0.0, open_high=True)

    def _cost(self, notion: str, order: float) -> Guarantee:
        once = epsilon_of(self.noise, self.n_classes, order=order)
        if notion == "standard":
            return Guarantee(once, order, "the query is of the image, which is known anyway")
        query = query_cost(self.clip, self.sigma, order)
        reason = (
            "Gaussian noise has no finite pure cost, only one of finite order or with a delta"
            if order == math.inf
            else "the response of the label and the noise of the query"
        )
        return Guarantee(once + query, order, reason)

    def draw(
        self,
        labels: Tensor,
        generator: Generator,
        *,
        features: Tensor,
        pool_labels: Tensor,
        pool_features: Tensor,
    ) -> Drawn:
        released = randomized_response(labels, self.noise, self.n_classes, generator=generator)
        shown = draw_near(
            released,
            privatised(features, self.clip, self.sigma, generator=generator),
            pool_labels,
            pool_features,
            self.n_classes,
            self.neighbours,
            generator=generator,
        )
        return released, len(labels) + shown
