"""Double randomized response: one response of the label, one that is shown as an image.

The label goes through :mod:`mmlib.label_dp.mechanisms.randomized_response` and, by coins of its
own, the image through :mod:`mmlib.label_dp.mechanisms.swap_images`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmlib._checks import check_choice, check_range
from mmlib.label_dp._checks import records_or_all
from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.bounds import floor_epsilon, mismatch_cost
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.mechanisms.swap_images import IN_NO_POOL, swap_images
from mmlib.label_dp.terms import Drawn, Guarantee, Terms


def double_rr(
    labels: Tensor,
    noise: float,
    n_classes: int,
    *,
    neighbours: int | None = None,
    features: Tensor | None = None,
    include_self: bool = False,
    records: Tensor | None = None,
    generator: Generator,
) -> tuple[Tensor, Tensor]:
    """Double randomized response: released labels, and whose image each record shows.

    The label goes through :func:`randomized_response` and, by coins of its own, the image through
    :func:`swap_images`, which documents the arguments. Pools are formed by the true ``labels``.
    What this guarantees, and what nearest draws do not, says :meth:`DoubleRR.cost`.

    Returns labels (Q,) and indices (Q,) into the N records; Q = N unless ``records`` says else.

    Source: label-DP paper, Algorithm 1; Busa-Fekete et al. 2023.

    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> labels = torch.arange(100_000) % 4
    >>> released, source = double_rr(labels, 0.8, 4, generator=g)
    >>> round((labels[source] == released).double().mean().item(), 2)  # 0.4^2 + 3 * 0.2^2
    0.28
    """
    records = records_or_all(labels, records)
    released = randomized_response(labels[records], noise, n_classes, generator=generator)
    source = swap_images(
        labels,
        noise,
        n_classes,
        neighbours=neighbours,
        features=features,
        include_self=include_self,
        records=records,
        generator=generator,
    )
    return released, source


@dataclass(frozen=True, kw_only=True)
class DoubleRR(Terms):
    """Double randomized response, with uniform draws or nearest ones.

    Attributes:
        noise_label, noise_image: lambda of each coin.
        pools: where images are drawn from: "given" (a public pool; ``draw`` takes ``pool_labels``
            and, for nearest draws, ``pool_features``), "released" (the records, grouped by their
            released labels) or "records" (grouped by their true ones).
        neighbours: k of the nearest draw; without it draws are uniform.
        floor: gamma, chance of a uniform draw nevertheless.
        largest_pool: images of the largest class's pool, for ``neighbours``. Where it is not said,
            each pool may have more than k; with a floor it has to be.
        divergence: of given pools, the largest log-ratio of a class's own distribution to its
            pool's. 0 is the theorem's assumption. Infinite, the default, is what any image that
            can be kept and is not in the pool makes it.

    >>> terms = DoubleRR(n_classes=286, noise_label=0.962372, noise_image=0.962372, pools="given")
    >>> terms.cost("population").reason
    'an image that is in no pool was kept, and that tells its class'
    """

    noise_label: float
    noise_image: float
    pools: str
    neighbours: int | None = None
    floor: float = 0.0
    largest_pool: int | None = None
    divergence: float = math.inf
    name: ClassVar[str] = "double randomized response"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("pools", self.pools, ("given", "released", "records"))
        if self.neighbours is None and self.largest_pool is not None:
            raise ValueError("largest_pool needs neighbours: it is of nearest draws")
        if self.floor and self.largest_pool is None:
            raise ValueError("floor needs neighbours and largest_pool, which its bound depends on")

    @property
    def may_show_own(self) -> bool:
        return self.noise_image < 1

    def _cost(self, notion: str, order: float) -> Guarantee:
        k = self.n_classes
        near = self.neighbours is not None and self.neighbours < (self.largest_pool or math.inf)
        label, image = (
            epsilon_of(noise, k, order=order) for noise in (self.noise_label, self.noise_image)
        )
        if lost := self._lost(notion, near):
            return Guarantee(math.inf, order, lost)
        if notion == "standard":
            reason = "the released image owes nothing to the label; the released label does"
            return Guarantee(label, order, reason)
        if near:
            image = floor_epsilon(
                self.noise_image, k, self.floor, self.neighbours, self.largest_pool, noise_label=1.0
            )
            reason = "a response of the label, and one shown as an image by a draw with a floor"
        elif self.divergence:
            image = min(  # neither bound is always the lower one
                mismatch_cost(self.noise_image, k, self.divergence, order=a)
                for a in (order, math.inf)
            )
            reason = "a response of the label, and one shown as an image of a model of the class"
        else:
            reason = (
                "two independent randomized responses of the label, one of them shown as an image"
            )
        return Guarantee(label + image, order, reason)

    def _lost(self, notion: str, near: bool) -> str:
        """Why no finite bound holds; empty where one does. ``near``: draws look at distances."""
        population, always = notion == "population", near and self.floor == 0
        if population and self.pools == "released":
            return "the image itself turns up in place of other records' images"
        if population and always:
            return (
                "an image of the own class that is near to no image of another class comes out "
                "only if the own class is the true one"
            )
        if self.pools == "records" and always:
            return (
                "the label decides whom the image is near to in its class, and with that whether "
                "another record can show it at all"
            )
        if self.pools == "records":
            return (
                "every other record's draw tells a little, and with the number of records it adds "
                "up without limit"
            )
        if population and math.isinf(self.divergence) and self.noise_image < 1:
            return IN_NO_POOL
        if population and near and self.divergence:
            return "the floor's bound needs pools that are the classes themselves"
        return ""

    def draw(
        self,
        labels: Tensor,
        generator: Generator,
        *,
        features: Tensor | None = None,
        pool_labels: Tensor | None = None,
        pool_features: Tensor | None = None,
    ) -> Drawn:
        if (self.pools == "given") != (pool_labels is not None):
            raise ValueError(
                f"pools is {self.pools!r}; pool_labels go with 'given', and only there"
            )
        released = randomized_response(
            labels, self.noise_label, self.n_classes, generator=generator
        )
        by = released if self.pools == "released" else labels
        if self.largest_pool is not None:
            largest = int((by if pool_labels is None else pool_labels).bincount().max())
            check_range("size of the largest pool", largest, 1, self.largest_pool)
        source = swap_images(
            by,
            self.noise_image,
            self.n_classes,
            neighbours=self.neighbours,
            features=features,
            floor=self.floor,
            pool_labels=pool_labels,
            pool_features=pool_features,
            generator=generator,
        )
        return released, source
