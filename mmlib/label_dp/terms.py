"""What every mechanism's object has: what is drawn, what that costs, and how costs add up.

Each, in a file of :mod:`mmlib.label_dp.mechanisms`, has ``cost(notion, order)``, a
:class:`Guarantee`, and ``draw(labels, generator, **public)``, the released labels and whose image
each record shows: an index below N is a record's, from N on an image's of a public pool, and None
everybody's own. Where no finite bound holds the cost is infinite and its reason says why; without
any noise it is infinite, too. Two releases that may both show a record's own image have none
together where it is private: :func:`total_cost`.

``notion`` is "standard" (the image is known anyway) or "population" (it is private too); ``order``
is alpha, from 1 to infinity. ``public`` must owe nothing to the private labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from mmlib._checks import check_choice, check_range
from mmlib.label_dp.accounting import approximate_epsilon

Drawn = tuple[Tensor, Tensor | None]
NOTIONS = ("standard", "population")
_RANGES = {  # of the numbers that mechanisms take
    "n_classes": (2, math.inf),
    "noise": (0.0, 1.0),
    "noise_label": (0.0, 1.0),
    "noise_image": (0.0, 1.0),
    "neighbours": (1, math.inf),
    "floor": (0.0, 1.0),
    "largest_pool": (1, math.inf),
    "divergence": (0.0, math.inf),
    "epsilon": (0.0, 700.0),  # beyond, its exponential is no number
}
_ORDERS = [1 + 2 ** (i / 4 - 5) for i in range(61)]  # 1.03 to 1025


@dataclass(frozen=True)
class Guarantee:
    """What a mechanism promises: ``epsilon`` at ``order`` (infinite: nothing), and why.

    ``delta``, the chance of failure, is 0 unless a Rényi cost was converted.
    """

    epsilon: float
    order: float
    reason: str
    delta: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all mechanisms have: K classes, and what becomes of further columns such as a table.

    ``table`` is "none", "stays" (each record keeps its own) or "moves" (with the image). Raises
    ``ValueError`` for a value out of range, so that a ledger is charged for no impossible release.
    """

    n_classes: int
    table: str = "none"

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name in _RANGES and value is not None:
                check_range(name, value, *_RANGES[name])
        check_choice("table", self.table, ("none", "stays", "moves"))

    @property
    def may_show_own(self) -> bool:
        """Whether a record may show its own image: see :func:`total_cost`."""
        return False

    def cost(self, notion: str, order: float = math.inf) -> Guarantee:
        """The bound on what it tells of a label; see the module."""
        check_choice("notion", notion, NOTIONS)
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
class AtEpsilon(LabelOnly):
    """A mechanism of the label alone that takes its pure epsilon."""

    epsilon: float

    def _label_cost(self, order: float) -> float:
        return self.epsilon


def total_cost(
    terms: tuple[Terms, ...], notion: str, *, order: float = math.inf, delta: float = 0.0
) -> Guarantee:
    """Cost of several releases of the same labels, each with coins of its own: they add.

    Costs of equal order do. With ``delta`` above 0, the least epsilon that a Rényi cost of any
    order implies, or the pure one; ``order`` of the result is the one that gave it. No release
    costs nothing.

    Under the population notion they add only if at most one of them may show a record's own image.
    Given the label alone two such are not independent, as they are of one image: one that comes out
    twice was kept, which tells its class the more surely the more images a class has.

    >>> from mmlib.label_dp.mechanisms.randomized_response import LabelRR
    >>> once = LabelRR(n_classes=4, noise=0.5)
    >>> round(total_cost((once, once), "standard").epsilon, 4)  # 2 log 5
    3.2189
    """
    check_range("delta", delta, 0.0, 1.0, open_high=True)
    check_choice("notion", notion, NOTIONS)
    if not terms:
        return Guarantee(0.0, order, "nothing has been released", delta)
    if delta == 0:
        costs = [t.cost(notion, order) for t in terms]
        if notion == "population" and sum(t.may_show_own for t in terms) > 1:
            costs.append(Guarantee(math.inf, order, "an image that comes out twice was kept"))
        reasons = dict.fromkeys(c.reason for c in costs)
        if any(math.isinf(c.epsilon) for c in costs):  # say what makes it so
            reasons = dict.fromkeys(c.reason for c in costs if math.isinf(c.epsilon))
        return Guarantee(sum(c.epsilon for c in costs), order, "; ".join(reasons))
    found = []
    for a in (math.inf, *_ORDERS):
        cost = total_cost(terms, notion, order=a)
        epsilon = approximate_epsilon(cost.epsilon, a, delta)
        found.append(replace(cost, epsilon=epsilon, delta=delta))
    return min(found, key=lambda cost: cost.epsilon)
