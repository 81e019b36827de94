"""More of :mod:`mmlib.label_dp.terms`: images near a query, and mechanisms of the label alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp.accounting import Guarantee, epsilon_of
from mmlib.label_dp.bounds import query_cost
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.mechanisms import randomized_response
from mmlib.label_dp.priors import laplace_labels, rr_with_prior, two_stage_rr
from mmlib.label_dp.terms import Drawn, LabelOnly, Terms
from mmlib.label_dp.variants import draw_near, privatised


@dataclass(frozen=True, kw_only=True)
class Anchored(Terms):
    """A response of the label, and a public image near a public anchor of the released class.

    ``draw`` takes ``anchors`` (K, D), ``pool_labels`` (P,) and ``pool_features`` (P, D).
    """

    noise: float
    neighbours: int
    name: ClassVar[str] = "randomized response with images near an anchor"

    def _cost(self, notion: str, order: float) -> Guarantee:
        reason = "all that is shown follows from the released label and from public images"
        return Guarantee(epsilon_of(self.noise, self.n_classes, order=order), order, reason)

    def draw(
        self,
        labels: Tensor,
        generator: Generator,
        *,
        anchors: Tensor,
        pool_labels: Tensor,
        pool_features: Tensor,
    ) -> Drawn:
        released = randomized_response(labels, self.noise, self.n_classes, generator=generator)
        queries = anchors[released.long()]
        shown = draw_near(
            released,
            queries,
            pool_labels,
            pool_features,
            self.n_classes,
            self.neighbours,
            generator=generator,
        )
        return released, len(labels) + shown


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


@dataclass(frozen=True, kw_only=True)
class _AtEpsilon(LabelOnly):
    """One that takes its pure epsilon."""

    epsilon: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("epsilon", self.epsilon, 0.0)

    def _label_cost(self, order: float) -> float:
        return self.epsilon


@dataclass(frozen=True, kw_only=True)
class PriorRR(_AtEpsilon):
    """Response among the likely classes; ``draw`` takes the ``prior``, (N, K) or (K,)."""

    name: ClassVar[str] = "randomized response with a prior"

    def draw(self, labels: Tensor, generator: Generator, *, prior: Tensor) -> Drawn:
        check_shape("prior", prior.reshape(-1, prior.shape[-1]), "N K", K=self.n_classes)
        return rr_with_prior(labels, prior, self.epsilon, generator=generator), None


@dataclass(frozen=True, kw_only=True)
class TwoStageRR(_AtEpsilon):
    """LP-2ST; ``draw`` takes ``first`` (N,) and ``predict``, see ``two_stage_rr``."""

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


@dataclass(frozen=True, kw_only=True)
class Laplace(_AtEpsilon):
    """ALIBI: one-hot labels with Laplace noise, (N, K)."""

    name: ClassVar[str] = "one-hot labels with Laplace noise"

    def draw(self, labels: Tensor, generator: Generator) -> Drawn:
        return laplace_labels(labels, self.n_classes, self.epsilon, generator=generator), None
