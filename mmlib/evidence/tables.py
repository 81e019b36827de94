"""What pages show of recorded runs: cells with a mean and its interval, and tables of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from mmlib.evidence.estimates import difference, estimate
from mmlib.evidence.runs import counted

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


def counted_apart(metrics: Iterable[str], runs: list[dict[str, float]]) -> tuple[str, list[str]]:
    """A column of metrics over the runs that have each: of how many most are, and the cells.

    The number is for the column's title, so that cells are narrow; a cell of other runs counts
    its own. It is empty where no run has any of the metrics.

    >>> runs = [{"a": 1.0, "b": 5.0, "d": 0.0}, {"a": 2.0, "d": 0.0}, {"a": 3.0, "d": 0.0}]
    >>> counted_apart(["a", "b", "c", "d"], runs)
    ('3 runs', ['2.00 ± 2.48', '5.00 (1 run)', 'not run here', '0.00'])
    """
    values = [[run[metric] for run in runs if metric in run] for metric in metrics]
    count = Counter(len(found) for found in values if found)
    most = max(count, key=lambda n: (count[n], n), default=0)

    def cell(found: list[float]) -> str:
        if not found:
            return "not run here"
        return estimate(found).uncounted + (f" ({counted(found)})" if len(found) != most else "")

    return counted(range(most)) if most else "", [cell(found) for found in values]


def less(a: str, b: str, runs: list[dict[str, float]], level: float = 0.95) -> str:
    """Metric ``a`` less ``b`` within a run, and whether that is told from 0; a dash without runs.

    >>> less("a", "b", [{"a": 3.0, "b": 1.0}, {"a": 9.0, "b": 7.1}, {"a": 5.0, "b": 3.0}])
    '+1.97 ± 0.14, decided'
    """
    found = difference(a, b, runs, level)
    return f"{found:+z.2f}, {found.decided}" if found else "–"


def cells(rows: dict[str, str | tuple[str, str]], runs: list[dict[str, float]]) -> dict[str, str]:
    """Mean and interval of each of a column's rows; a caption says how many runs.

    A row is a metric or, with its sign, a pair: the first one less the second within a run.

    >>> runs = [{"a": 1.0, "b": 0.0}, {"a": 2.0, "b": 0.9}, {"a": 3.0, "b": 1.9}]
    >>> cells({"first": "a", "less the second": ("a", "b"), "third": "c"}, runs)
    {'first': '2.00 ± 2.48', 'less the second': '+1.1 ± 0.1', 'third': 'not run here'}
    """

    def cell(row: str | tuple[str, str]) -> str:
        if isinstance(row, str):
            return counted_apart([row], runs)[1][0]
        gap = difference(*row, runs)
        return f"{gap:+.1f}" if gap else "not run here"

    return {title: cell(row) for title, row in rows.items()}


class Column(NamedTuple):
    """Of a :func:`table`: whose metrics, which one (braces are the row's name), and how written."""

    runs: list[dict[str, float]]
    metric: str = "{}"
    spec: str = "z.2f"


def table(rows: Mapping[str, str], columns: Mapping[str | tuple[str, ...], Column]) -> pd.DataFrame:
    """Mean and interval of each row in each column; a dash where no run has the metric.

    Args:
        rows: the name that stands for each row in metrics, by the row's title.
        columns: by title; a tuple has titles one above the other.

    >>> runs = [{"left.mem_3": 0.5, "left.em": 0.1}, {"left.mem_3": 0.6}, {"left.mem_3": 0.7}]
    >>> table({"MEM-3": "mem_3", "EM": "em"}, {"scenes": Column(runs, "left.{}")})
                scenes
    MEM-3  0.60 ± 0.25
    EM            0.10
    """
    import pandas as pd

    shown = {
        title: [over_seeds(metric.format(name), runs, "–", spec) for name in rows.values()]
        for title, (runs, metric, spec) in columns.items()
    }
    return pd.DataFrame(shown, index=list(rows))


def points(rows: Mapping[str, str], columns: Mapping[str, Column]) -> pd.DataFrame:
    """What a :func:`table` has the means of: ``row``, ``column`` and ``value`` of each run.

    >>> points({"MEM-3": "mem_3"}, {"scenes": Column([{"left.mem_3": 0.5}], "left.{}")})
         row  column  value
    0  MEM-3  scenes    0.5
    """
    import pandas as pd

    found = [
        (row, column, run[metric.format(name)])
        for row, name in rows.items()
        for column, (runs, metric, _) in columns.items()
        for run in runs
        if metric.format(name) in run
    ]
    frame = pd.DataFrame(found, columns=["row", "column", "value"])
    kept = {"row": pd.CategoricalDtype(list(rows)), "column": pd.CategoricalDtype(list(columns))}
    return frame.astype(kept)
