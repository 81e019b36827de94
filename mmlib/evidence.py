"""Numbers of recorded runs over seeds: which runs count, their curves, mean and interval."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mmlib.presets import grid

if TYPE_CHECKING:
    import pandas as pd


PRESETS = ("paper", "desk", "quick")  # by weight of evidence; smoke is never evidence
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

    def __str__(self) -> str:
        if self.n == 1:
            return digits(self.mean)
        mean = self.mean if abs(self.mean) > 1e-9 * self.half_width else 0.0
        width = f" ± {digits(self.half_width)}" if self.half_width else ""
        return f"{digits(mean)}{width} ({self.n} runs)"

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


def recorded(
    chapter: str, experiment: str, preset: str, loaded: list[dict]
) -> list[dict[str, float]]:
    """Metrics of each record of an experiment at one preset, one for each seed.

    Where ``results`` and ``build/runs`` both hold a seed, the kept record in ``results`` counts.
    """
    return [
        {name: metric["value"] for name, metric in record["metrics"].items()}
        for record in one_a_seed(chapter, experiment, preset, loaded)
    ]


def by_experiment(
    chapter: str, preset: str, loaded: list[dict]
) -> dict[str, list[dict[str, float]]]:
    """What :func:`recorded` gives, for each experiment that a chapter has records of."""
    asked = (chapter, preset)
    names = dict.fromkeys(
        record["experiment"] for record in loaded if (record["chapter"], record["preset"]) == asked
    )
    return {name: recorded(chapter, name, preset, loaded) for name in names}


def level(chapter: str, experiment: str, preset: str) -> float:
    """Of the intervals by which a row's runs decide: those of all looks together err in 5 %.

    Who adds seeds after a look at others has a further chance to err, so each look has its share.
    """
    return 1 - 0.05 / grid.rows().get((chapter, experiment, preset), {}).get("looks", 1)


class Deciding(NamedTuple):
    """The runs by which something is decided; ``preset`` is empty where there are none."""

    preset: str
    runs: list[dict[str, float]]
    enough: bool
    level: float


def deciding(
    chapter: str,
    experiment: str,
    loaded: list[dict],
    *,
    exact: bool,
    metrics: Collection[str] = (),
) -> Deciding:
    """Which runs decide, whether they are enough, and of what level their intervals have to be.

    The runs are of the largest preset of which there are enough that have all ``metrics``: three
    where chance plays a part, one where it is ``exact``. Where none has enough, it is the largest
    that has any.
    """
    found = {
        preset: [
            run
            for run in recorded(chapter, experiment, preset, loaded)
            if run.keys() >= set(metrics)
        ]
        for preset in PRESETS
    }
    for fewest in (1 if exact else FEWEST, 1):
        for preset, runs in found.items():
            if len(runs) >= fewest:
                enough = exact or fewest == FEWEST
                return Deciding(preset, runs, enough, level(chapter, experiment, preset))
    return Deciding("", [], False, level(chapter, experiment, ""))


def curves(
    names: Sequence[str],
    chapter: str,
    experiment: str,
    preset: str,
    loaded: list[dict],
    *,
    required: bool = True,
) -> pd.DataFrame:
    """Points of the curves ``names`` in the records that :func:`recorded` reads.

    Returns one row a point: curve, step, value, the curves' labels, and the seed; no row where
    there is no record. Raises ``ValueError`` for a curve that is in none of the records there are,
    unless it is not ``required``: a chapter has curves that older records lack.
    """
    import pandas as pd

    found = one_a_seed(chapter, experiment, preset, loaded)
    parts = [pd.DataFrame(columns=["curve", "step", "value", "seed"])]
    for record in found:
        path = record["path"] / "metrics.csv"
        if path.is_file():  # only an empty cell is missing: a label may well be called "None"
            rows = pd.read_csv(path, keep_default_na=False, na_values=[""])
            parts.append(rows.assign(seed=record["seed"]))
    points = pd.concat(parts[1:] or parts, ignore_index=True)
    known = list(dict.fromkeys(points["curve"]))
    for name in names:
        if required and found and name not in known:
            raise ValueError(
                f"curve is {name!r}; the {len(found)} records of {chapter}/{experiment}/{preset} "
                f"have: {', '.join(known) or 'none'}"
            )
    points = points[points["curve"].isin(names)].reset_index(drop=True)
    return points.dropna(axis=1, how="all") if found else points


def over_seeds(
    metric: str, runs: list[dict[str, float]], absent: str = "not run here", spec: str = ""
) -> str:
    """Mean and interval of a metric over the runs that have it, or ``absent`` where none has.

    ``spec`` is of a number's format, and leaves out how many runs there are.

    >>> over_seeds("a", [{"a": 1.0}, {"a": 2.0}, {"a": 3.0}], spec=".1f")
    '2.0 ± 2.5'
    """
    values = [run[metric] for run in runs if metric in run]
    return format(estimate(values), spec) if values else absent


def column(rows: dict[str, str | tuple[str, str]], runs: list[dict[str, float]]) -> dict[str, str]:
    """Mean and interval of each of a table's rows; a caption says how many runs.

    A row is a metric or, with its sign, a pair: the first one less the second within a run.

    >>> runs = [{"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 0.9}, {"a": 3.0, "b": 1.9}]
    >>> column({"first": "a", "less the second": ("a", "b"), "third": "c"}, runs)
    {'first': '2.00 ± 2.48', 'less the second': '+1.1 ± 0.1', 'third': 'not run here'}
    """

    def cell(row: str | tuple[str, str]) -> str:
        if isinstance(row, str):
            return over_seeds(row, runs).split(" (")[0]
        gap = difference(*row, runs)
        return f"{gap:+.1f}" if gap else "not run here"

    return {title: cell(row) for title, row in rows.items()}


def table(
    runs: list[dict[str, float]],
    metric: str,
    rows: Mapping[str, str],
    columns: Mapping[str, str],
    spec: str = ".1f",
) -> pd.DataFrame:
    """Mean and interval of a metric for each row and column, which map a name to its title.

    ``metric`` has a place for either name; ``spec`` is of a number's format.

    >>> rows, columns = {"x": "of X", "y": "of Y"}, {"a": "A"}
    >>> table([{"a.x": 1.0}, {"a.x": 2.0}], "{column}.{row}", rows, columns)
                  A
    of X  1.5 ± 6.4
    of Y          –
    """
    import pandas as pd

    cells = {
        title: {
            called: over_seeds(metric.format(row=row, column=column), runs, "–", spec)
            for column, called in columns.items()
        }
        for row, title in rows.items()
    }
    return pd.DataFrame(cells).T


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


def order(gap: Estimate, theirs: float | None) -> str:
    """In words, whether runs decide the order of two, and how another's difference compares.

    A difference of zero has no order that ours could be the same as, or the opposite of.

    >>> order(Estimate(2.0, 1.0, 3), None), order(Estimate(2.0, 1.0, 3), 2.5)
    ('our runs decide the order', 'the same order')
    >>> order(Estimate(2.0, 1.0, 3), -2.0)
    "**the opposite order**, and the paper's difference lies outside our interval"
    """
    if not gap.sign:
        told = "our runs leave the order open"
    elif not theirs:
        told = "our runs decide the order"
    else:
        told = "the same order" if gap.mean * theirs > 0 else "**the opposite order**"
    if theirs is not None and abs(theirs - gap.mean) > gap.half_width:
        told += ", and the paper's difference lies outside our interval"
    return told


def unpaired(a: list[float], b: list[float]) -> Estimate:
    """Mean of ``a`` less that of ``b``, of runs that share nothing, and Welch's 95 % interval.

    As many runs count as the smaller side has. Raises ``ValueError`` for a single run on a side.

    >>> f"{unpaired([3.0, 4.0, 5.0], [1.0, 1.1, 0.9]):+.1f}"
    '+3.0 ± 2.5'
    """
    from scipy.stats import ttest_ind

    n = min(len(a), len(b))
    if n < 2:
        raise ValueError(f"runs are {len(a)} and {len(b)}; allowed: two or more on either side")
    low, high = ttest_ind(a, b, equal_var=False).confidence_interval()
    return Estimate(float(low + high) / 2, float(high - low) / 2, n)


def counted(runs: list) -> str:
    """How many runs, in words."""
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def one_a_seed(chapter: str, experiment: str, preset: str, loaded: list[dict]) -> list[dict]:
    """The records of an experiment at one preset, by seed; a kept one before a run of its seed.

    >>> place = {"chapter": "comm", "experiment": "overview", "preset": "desk"}
    >>> both = [place | {"seed": 3, "kept": True}, place | {"seed": 3, "kept": False}]
    >>> one_a_seed("comm", "overview", "desk", both) == both[:1]
    True
    """
    by_seed = {}
    for record in sorted(loaded, key=lambda record: record["kept"]):
        place = (record["chapter"], record["experiment"], record["preset"])
        if place == (chapter, experiment, preset):
            by_seed[record["seed"]] = record
    return [by_seed[seed] for seed in sorted(by_seed)]


def digits(value: float) -> str:
    """Two decimals, or more where the number is small."""
    if value == 0 or not math.isfinite(value) or abs(value) >= 0.1:
        return f"{value:.2f}"
    return f"{value:.2g}"
