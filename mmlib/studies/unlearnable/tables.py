"""Recorded hackers of chapters 6, 11 and 12: their titles, tables, and scores on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from mmlib import evidence
from mmlib.mem.course import Point

TITLES = {  # what is published
    "clean": "clean",
    "mem_3": "MEM-3",
    "mem_5": "MEM-5",
    "mem_images": "MEM-3's images alone",
    "mem_words": "MEM-3's words alone",
    "text_only": "words made without noise",
    "random_tokens": "random words",
    "random_tokens_noise": "random words, noise",
    "constant_prefix": "constant prefix",
    "random_noise": "random noise",
    "em": "EM, as released",
    "em_mem_budget": "EM: noise made without words",
    "em_shuffle": "EM, shuffled",
    "tap": "TAP",
    "tap_other": "TAP, other's caption",
    "uap": "one noise for all",
    "switch_unit": "MEM-3, unit",
    "switch_selection": "MEM-3, selection",
    "switch_special_tokens": "MEM-3, special tokens",
    "switch_drop_last": "MEM-3, last batch",
}


class Column(NamedTuple):
    """Of :func:`means`: whose metrics, which one (braces are the row's name), and how written."""

    runs: Sequence[Mapping[str, float]]
    metric: str = "left.{}"
    spec: str = "z.2f"


def mean_of(metric: str, runs: Sequence[Mapping[str, float]], spec: str = "z.2f") -> str:
    """Mean and 95 % interval of a metric over the runs that have it; a dash where none has.

    ``spec`` is a number's format. One run has no interval.

    >>> mean_of("a", [{"a": 1.0}, {"b": 5.0}]), mean_of("c", [{"a": 1.0}])
    ('1.00', '–')
    """
    return evidence.over_seeds(metric, runs, "–", spec)


def means(rows: Mapping[str, str], columns: Mapping[str | tuple[str, ...], Column]) -> pd.DataFrame:
    """A table of :func:`mean_of`.

    Args:
        rows: the name that stands for each row in metrics, by the row's title.
        columns: by title; a tuple has titles one above the other.

    >>> runs = [{"left.mem_3": 0.5, "left.em": 0.1}, {"left.mem_3": 0.6}, {"left.mem_3": 0.7}]
    >>> means({"MEM-3": "mem_3", "EM": "em"}, {"scenes": Column(runs)})
                scenes
    MEM-3  0.60 ± 0.25
    EM            0.10
    """
    cells = {
        title: [mean_of(metric.format(name), runs, spec) for name in rows.values()]
        for title, (runs, metric, spec) in columns.items()
    }
    return pd.DataFrame(cells, index=list(rows))


def of_curves(curves: pd.DataFrame) -> dict[str, list[list[Point]]]:
    """The points of recorded hackers, by title: those of each seed in turn.

    ``curves`` are what :func:`mmlib.evidence.curves` gives for the measures that a hacker's way is
    recorded by: curve, step, value, seed and, in ``data``, the title. Records hold no scores of the
    known part.

    >>> rows = [("median_rank.i2t", 5, 9.0, "MEM-3", 0), ("median_rank.t2i", 5, 8.0, "MEM-3", 0)]
    >>> curves = pd.DataFrame(rows, columns=["curve", "step", "value", "data", "seed"])
    >>> of_curves(curves)["MEM-3"][0][0].test
    {'median_rank.i2t': 9.0, 'median_rank.t2i': 8.0}
    """
    found: dict[str, list[list[Point]]] = {}
    if curves.empty:  # and without columns
        return found
    for (title, _), part in curves.groupby(["data", "seed"]):
        scores = part.pivot(index="step", columns="curve", values="value").sort_index()
        points = [Point(int(k), row.to_dict(), None) for k, row in scores.iterrows()]
        found.setdefault(title, []).append(points)
    return found
