"""Randomized response, and an image that is near to a public anchor of the released class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.pools import draw_near
from mmlib.label_dp.terms import Drawn, Guarantee, Terms


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
