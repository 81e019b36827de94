"""A hacker on the way: what it scores on clean pairs while it trains, and where it would stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from mmlib._checks import check_choice, check_range
from mmlib.mem.hacker import evaluate
from mmlib.mem.pairs import Pairs


@dataclass(frozen=True)
class Point:
    """What :func:`mmlib.mem.hacker.evaluate` gives after ``step`` steps, on parts that are clean.

    ``test`` is what results are measured on. ``known`` is for choices, and None where a chapter has
    no such part.
    """

    step: int
    test: dict[str, float]
    known: dict[str, float] | None


class Course:
    """An ``on_step`` that tests ``model`` about ``times`` times in ``steps``, and at the end.

    Called with 0 it tests before the first step. Raises ``ValueError`` for no test or no step.

    Attributes:
        points: a :class:`Point` for each test, in their order.
    """

    def __init__(self, model: nn.Module, pairs: Pairs, steps: int, times: int):
        check_range("times", times, 1)
        check_range("steps", steps, 1)
        self.model, self.pairs, self.steps = model, pairs, steps
        self.every = max(1, steps // times)
        self.points: list[Point] = []

    def __call__(self, step: int) -> None:
        if step % self.every == 0 or step == self.steps:
            known = evaluate(self.model, *self.pairs.known) if self.pairs.known else None
            self.points.append(Point(step, evaluate(self.model, *self.pairs.test), known))


def best(points: Sequence[Point], part: str) -> Point:
    """The first of the points with the smallest product of a part's median ranks.

    A hacker who stops there by ``"known"`` pairs uses no test pair; by ``"test"`` it is the best
    that any stopping could reach. Raises ``ValueError`` for another part, and for one that was not
    scored.

    >>> def point(step, test, known):
    ...     test, known = ({f"median_rank.{d}": r for d in ("i2t", "t2i")} for r in (test, known))
    ...     return Point(step, test, known)
    >>> points = [point(1, 9, 9), point(2, 3, 8), point(3, 5, 7)]
    >>> best(points, "test").step, best(points, "known").step
    (2, 3)
    """
    check_choice("part", part, ("test", "known"))
    if any(getattr(point, part) is None for point in points):
        raise ValueError(f"part is {part!r}, which was not scored; allowed: one that was")

    def product(point: Point) -> float:
        scores = getattr(point, part)
        return scores["median_rank.i2t"] * scores["median_rank.t2i"]

    return min(points, key=product)
