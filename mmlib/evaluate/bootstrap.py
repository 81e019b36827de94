"""Intervals of a score when samples share units, as pairs share images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape


@dataclass(frozen=True)
class Interval:
    """The 2.5 % and 97.5 % quantile of a score over resamples, and its standard deviation.

    A number's format is that of both ends.

    >>> around = Interval(0.5, 2.0, 0.4)
    >>> f"{around:+.1f}", around.side(), around.side(1.0), around.side(3.0)
    ('+0.5 to +2.0', 1, 0, -1)
    """

    low: float
    high: float
    deviation: float

    def side(self, value: float = 0.0) -> int:
        """1 or -1 where it lies wholly above or below ``value``, else 0."""
        return (self.low > value) - (self.high < value)

    def __format__(self, spec: str) -> str:
        return f"{self.low:{spec}} to {self.high:{spec}}"


def bootstrap(
    score: Callable[[Tensor], float],
    n: int,
    *,
    repeats: int,
    generator: torch.Generator,
    units: Sequence[Tensor] = (),
) -> Interval:
    """95 % percentile interval of ``score`` over resamples of ``n`` samples.

    Without ``units`` the samples are drawn, with replacement. With them the units are: a sample
    then counts as often as all of its units were drawn, the product of their counts. Use it where
    samples share units, since samples are then not independent and an interval over samples is too
    narrow.

    Args:
        score: of the places (R,) of a resample's samples, which may repeat; nan where it is not
            defined, which leaves the resample out.
        units: for each role a long (n,), the unit that a sample has in it, from 0; both images of
            each pair, for example.
        generator: on the device on which ``score`` gets its places.

    Raises ``ValueError`` on other shapes and if the score is defined on fewer than two resamples.
    Source: Owen 2007 (the pigeonhole bootstrap), with one draw of units for all roles.

    >>> right = torch.arange(100) % 2 == 0
    >>> interval = bootstrap(
    ...     lambda rows: right[rows].float().mean().item(), 100,
    ...     repeats=200, generator=torch.Generator().manual_seed(0),
    ... )
    >>> interval.low < 0.45 < 0.55 < interval.high
    True
    """
    check_range("n", n, 1)
    check_range("repeats", repeats, 2)
    for unit in units:
        check_shape("units", unit, "N", N=n)
    device = generator.device
    places = torch.arange(n, device=device)
    roles = [unit.to(device) for unit in units] or [places]
    count = 1 + max(int(role.max()) for role in roles)
    known = torch.cat(roles).unique()
    scores = []
    for _ in range(repeats):
        drawn = known[torch.randint(len(known), (len(known),), generator=generator, device=device)]
        times = torch.bincount(drawn, minlength=count)
        weights = torch.stack([times[role] for role in roles]).prod(dim=0)
        scores.append(score(places.repeat_interleave(weights)) if weights.any() else torch.nan)
    values = torch.tensor(scores, dtype=torch.float64)
    values = values[~values.isnan()]
    if len(values) < 2:
        raise ValueError(f"the score is defined on {len(values)} resamples; allowed: 2 or more")
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Interval(low, high, values.std().item())


def difference(
    one: Callable[[Tensor], float], other: Callable[[Tensor], float], n: int, **options
) -> tuple[float, Interval]:
    """How far ``one`` scores above ``other`` on ``n`` samples, and the interval of that.

    Both see the same resamples, so what they share does not widen it; where either is nan, the
    difference is, too. ``options`` are :func:`bootstrap`'s.

    >>> right = torch.arange(100) % 2 == 0
    >>> gap, around = difference(
    ...     lambda rows: right[rows].double().mean().item() + 0.25,
    ...     lambda rows: right[rows].double().mean().item(), 100,
    ...     repeats=200, generator=torch.Generator().manual_seed(0),
    ... )
    >>> gap, f"{around:.2f}"
    (0.25, '0.25 to 0.25')
    """

    def gap(places: Tensor) -> float:
        return one(places) - other(places)

    return gap(torch.arange(n, device=options["generator"].device)), bootstrap(gap, n, **options)
