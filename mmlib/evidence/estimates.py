"""Means of independent runs and their intervals, of a metric and of a difference."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

FEWEST = 3  # runs that decide where chance plays a part


@dataclass(frozen=True)
class Estimate:
    """Mean of ``n`` runs and the half width of its interval (nan for a single run).

    As text it counts its runs; a number's format gives both numbers alone, the mean with its sign.
    What is the same in all runs has no interval to show.

    >>> str(Estimate(-9.5e-15, 1.04, 3))  # a sum of rounding errors
    '0.00 ± 1.04 (3 runs)'
    >>> f"{Estimate(2.0, 1.04, 3):+.1f}", f"{Estimate(2.0, math.nan, 1):+.1f}"
    ('+2.0 ± 1.0', '+2.0')
    >>> str(Estimate(2.0, 0.0, 3)), f"{Estimate(2.0, 0.0, 3):.1f}"
    ('2.00 (3 runs)', '2.0')
    """

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        """The interval's lower end; nan for a single run."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.mean + self.half_width

    @property
    def sign(self) -> int:
        """1 or -1 where the interval of enough runs lies on that side of zero, else 0."""
        if self.n < FEWEST or not abs(self.mean) > self.half_width:  # nan tells nothing
            return 0
        return 1 if self.mean > 0 else -1

    @property
    def decided(self) -> str:
        """Whether it is told from zero, in words."""
        return "decided" if self.sign else "not decided"

    @property
    def uncounted(self) -> str:
        """Its text without how many runs there are, for where a title says that."""
        if self.n == 1:
            return digits(self.mean)
        mean = self.mean if abs(self.mean) > 1e-9 * self.half_width else 0.0
        return digits(mean) + (f" ± {digits(self.half_width)}" if self.half_width else "")

    def __str__(self) -> str:
        return self.uncounted + (f" ({self.n} runs)" if self.n > 1 else "")

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        shown = self.n > 1 and self.half_width
        width = f" ± {self.half_width:{spec.removeprefix('+')}}" if shown else ""
        return f"{self.mean:{spec}}{width}"


def estimate(values: list[float], level: float = 0.95) -> Estimate:
    """Mean and t interval of independent runs, which holds the truth with probability ``level``.

    Of equal values it has no width at all.

    >>> estimate([1.0, 2.0, 3.0])
    Estimate(mean=2.0, half_width=2.484..., n=3)
    """
    n = len(values)
    if n > 1 and values.count(values[0]) == n:
        return Estimate(values[0], 0.0, n)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, math.nan, 1)
    from scipy.stats import t

    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return Estimate(mean, float(t.ppf((1 + level) / 2, n - 1)) * deviation / math.sqrt(n), n)


def difference(
    a: str, b: str, runs: list[dict[str, float]], level: float = 0.95
) -> Estimate | None:
    """Of metric ``a`` less metric ``b`` within a run, over the runs that have both; None without.

    Runs of one seed share what chance made, so their differences vary less than either metric.

    >>> runs = [{"a": 3.0, "b": 1.0}, {"a": 9.0, "b": 7.1}, {"a": 5.0, "b": 3.0}]
    >>> found = difference("a", "b", runs)
    >>> f"{found:+.2f}, {found.decided}"
    '+1.97 ± 0.14, decided'
    """
    values = [run[a] - run[b] for run in runs if a in run and b in run]
    return estimate(values, level) if values else None


def unpaired(a: list[float], b: list[float]) -> Estimate:
    """Mean of ``a`` less that of ``b``, of runs that share nothing, and Welch's 95 % interval.

    As many runs count as the smaller side has. Raises ``ValueError`` for a single run on a side.

    >>> f"{unpaired([3.0, 4.0, 5.0], [1.0, 1.1, 0.9]):+.1f}"
    '+3.0 ± 2.5'
    """
    n = min(len(a), len(b))
    if n < 2:
        raise ValueError(f"runs are {len(a)} and {len(b)}; allowed: two or more on either side")
    mean = math.fsum(a) / len(a) - math.fsum(b) / len(b)
    shares = [statistics.variance(side) / len(side) for side in (a, b)]
    total = sum(shares)
    if not total:
        return Estimate(mean, 0.0, n)
    from scipy.stats import t

    degrees = total**2 / sum(v**2 / (len(s) - 1) for v, s in zip(shares, (a, b), strict=True))
    return Estimate(mean, float(t.ppf(0.975, degrees)) * math.sqrt(total), n)


def digits(value: float) -> str:
    """Two decimals, or more where the number is small."""
    if value == 0 or not math.isfinite(value) or abs(value) >= 0.1:
        return f"{value:.2f}"
    return f"{value:.2g}"
