"""Mechanisms as frozen objects: what is drawn, and what that costs under either notion.

Each has ``cost(notion, order)``, a :class:`~mmlib.label_dp.accounting.Guarantee`, and
``draw(labels, generator, **public)``, the released labels and whose image each record shows: an
index below N is a record's, from N on an image's of a public pool, and None everybody's own.
Where no finite bound holds the cost is infinite and its reason says why.

``notion`` is "standard" (the image is known anyway) or "population" (it is private too); ``order``
is alpha, from 1 to infinity. ``public`` must owe nothing to the private labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mmlib._checks import check_choice, check_range
from mmlib.label_dp.accounting import Guarantee, epsilon_of
from mmlib.label_dp.bounds import floor_epsilon, mismatch_cost
from mmlib.label_dp.coins import Generator
from mmlib.label_dp.mechanisms import randomized_response, swap_images
from mmlib.label_dp.variants import coupled_rr

Drawn = tuple[Tensor, Tensor | None]
_NO_POOL = "an image that is in no pool was kept, and that tells its class"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all mechanisms have: K classes, and what becomes of further columns such as a table.

    ``table`` is "none", "stays" (each record keeps its own) or "moves" (with the image).
    """

    n_classes: int
    table: str = "none"

    def __post_init__(self) -> None:
        check_range("n_classes", self.n_classes, 2)
        check_choice("table", self.table, ("none", "stays", "moves"))

    def cost(self, notion: str, order: float = math.inf) -> Guarantee:
        """The bound on what it tells of a label; see the module."""
        check_choice("notion", notion, ("standard", "population"))
        check_range("order", order, 1.0)
        if notion == "population" and self.table == "stays":
            return Guarantee(math.inf, order, "the table stays as it is and may tell the label")
        return self._cost(notion, order)


@dataclass(frozen=True, kw_only=True)
class LabelOnly(Terms):
    """A mechanism that releases the image as it is; a subclass says what its label costs."""

    def _cost(self, notion: str, order: float) -> Guarantee:
        if notion == "population":
            reason = "the image is released as it is and may tell the label"
            return Guarantee(math.inf, order, reason)
        reason = "the released label is all that depends on the label"
        return Guarantee(self._label_cost(order), order, reason)


@dataclass(frozen=True, kw_only=True)
class LabelRR(LabelOnly):
    """Randomized response of the label; its image stays as it is.

    >>> round(LabelRR(n_classes=286, noise=0.659878).cost("standard").epsilon, 4)
    5.0
    """

    noise: float
    name: ClassVar[str] = "label randomized response"

    def _label_cost(self, order: float) -> float:
        return epsilon_of(self.noise, self.n_classes, order=order)

    def draw(self, labels: Tensor, generator: Generator) -> Drawn:
        return randomized_response(labels, self.noise, self.n_classes, generator=generator), None


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
        check_range("divergence", self.divergence, 0.0)
        if self.neighbours is not None:
            check_range("neighbours", self.neighbours, 1)
        elif self.largest_pool is not None:
            raise ValueError("largest_pool needs neighbours: it is of nearest draws")
        if self.floor and self.largest_pool is None:
            raise ValueError("floor needs neighbours and largest_pool, which its bound depends on")

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
            return _NO_POOL
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


@dataclass(frozen=True, kw_only=True)
class CoupledRR(Terms):
    """One coin for label and image; ``draw`` takes ``pool_labels`` (P,) of a public pool.

    ``divergence`` is of the pool from the classes, as in :class:`DoubleRR`.

    >>> terms = CoupledRR(n_classes=4, noise=0.5, divergence=0.0)
    >>> round(terms.cost("population").epsilon, 4), terms.cost("standard").epsilon
    (1.6094, inf)
    """

    noise: float
    divergence: float = math.inf
    name: ClassVar[str] = "coupled randomized response"

    def _cost(self, notion: str, order: float) -> Guarantee:
        if self.noise < 1 and notion == "standard":
            reason = "an image left in place tells that the released label is true"
            return Guarantee(math.inf, order, reason)
        if self.noise < 1 and math.isinf(self.divergence):
            return Guarantee(math.inf, order, _NO_POOL)
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
