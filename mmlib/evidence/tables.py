"""What pages show of recorded runs: cells with a mean and its interval, and tables of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mmlib.evidence.estimates import difference, estimate

if TYPE_CHECKING:
    import pandas as pd


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
