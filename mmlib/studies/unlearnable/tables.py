"""What runs of chapters 6, 11 and 12 say, under titles: in tables, in figures, and on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from mmlib import evidence, plots
from mmlib.mem.course import Point

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

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

ARROWS = {"i2t": "i→t", "t2i": "t→i"}  # what is given, and what is ranked for it


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


def less(a: str, b: str, runs: Sequence[Mapping[str, float]], level: float = 0.95) -> str:
    """Metric ``a`` less ``b`` within a run, and whether that is told from 0; a dash without runs.

    >>> less("a", "b", [{"a": 3.0, "b": 1.0}, {"a": 9.0, "b": 7.1}, {"a": 5.0, "b": 3.0}])
    '+1.97 ± 0.14, decided'
    """
    found = evidence.difference(a, b, runs, level)
    return f"{found:+z.2f}, {found.decided}" if found else "–"


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


def retrieval(runs: Sequence[Mapping[str, float]]) -> dict[tuple[str, str], Column]:
    """Columns of :func:`means`: recalls in % and median ranks, of images (i) and captions (t)."""
    parts = {f"recall_{k}": (f"R@{k}", ".1f") for k in (1, 5, 10)}
    parts["median_rank"] = "median rank", ".0f"
    return {
        (arrow, title): Column(runs, f"{part}.{direction}.{{}}", spec)
        for direction, arrow in ARROWS.items()
        for part, (title, spec) in parts.items()
    }


def tight(frame: pd.DataFrame) -> Styler:
    """A wide table with its columns nearer to each other."""
    near = [{"selector": cell, "props": "padding-inline: 0.3rem"} for cell in ("th", "td")]
    return frame.style.set_table_styles(near)


def points(rows: Mapping[str, str], columns: Mapping[str, Column]) -> pd.DataFrame:
    """What :func:`means` has the means of: ``row``, ``column`` and ``value`` of each run.

    >>> points({"MEM-3": "mem_3"}, {"scenes": Column([{"left.mem_3": 0.5}])}).values.tolist()
    [['MEM-3', 'scenes', 0.5]]
    """
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


def left_figure(
    rows: Mapping[str, str], panels: Mapping[str, Mapping[str, Column]]
) -> tuple[Figure, str]:
    """A figure of the protection left, with its alternative text: a panel for each of several data.

    ``rows`` and a panel's columns, which are its marks, are as :func:`means` has them.
    """
    width = 2.6 + (4.2 if len(panels) == 1 else 2.9 * len(panels))
    height = 1.4 + max(0.32, 0.12 * max(map(len, panels.values()))) * len(rows)
    figure, axes = plots.plt.subplots(
        1, len(panels), figsize=(width, height), sharex=True, sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    ends = {"as clean": 0.0, "guessing": 1.0}
    alts = [
        plots.dots(
            points(rows, columns), "value", "row", "column", xlabel="protection left", title=title,
            reference=ends, ax=ax,
        )[1]
        for ax, (title, columns) in zip(axes[0], panels.items(), strict=True)
    ]  # fmt: skip
    plots.legend_below(figure, 4)
    return figure, " ".join(alts)


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
