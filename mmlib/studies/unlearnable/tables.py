"""What runs of chapters 6, 11 and 12 say, under titles: retrieval, sizes, figures, on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from mmlib import plots
from mmlib.evidence import Column, Estimate, over_seeds, points, unpaired
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


def retrieval(runs: list[dict[str, float]]) -> dict[tuple[str, str], Column]:
    """Columns of a table: recalls in % and median ranks, of images (i) and captions (t)."""
    parts = {f"recall_{k}": (f"R@{k}", ".1f") for k in (1, 5, 10)}
    parts["median_rank"] = "median rank", ".0f"
    return {
        (arrow, title): Column(runs, f"{part}.{direction}.{{}}", spec)
        for direction, arrow in ARROWS.items()
        for part, (title, spec) in parts.items()
    }


def change(
    metric: str, first: list[dict[str, float]], second: list[dict[str, float]]
) -> Estimate | None:
    """A metric of the ``second`` runs less that of the ``first``, which are paired by nothing.

    None where a side has fewer than two runs with it.

    >>> first, second = [{"a": 1.0}, {"a": 1.1}, {"a": 0.9}], [{"a": 3.0}, {"a": 4.0}, {"a": 5.0}]
    >>> f"{change('a', first, second):+.1f}"
    '+3.0 ± 2.5'
    """
    before, after = ([run[metric] for run in runs if metric in run] for runs in (first, second))
    return unpaired(after, before) if min(len(before), len(after)) > 1 else None


def side_by_side(
    rows: Mapping[str, str], first: list[dict[str, float]], second: list[dict[str, float]],
    titles: tuple[str, str],
) -> pd.DataFrame:  # fmt: skip
    """Median ranks and the protection left in runs of two settings, and how the latter changes.

    ``rows`` are as :func:`mmlib.evidence.table` has them.
    """
    measures = {
        f"median rank, {arrow}": (f"median_rank.{way}.{{}}", "z.0f")
        for way, arrow in ARROWS.items()
    }
    shown = {}
    for measure, (metric, spec) in (measures | {"left": ("left.{}", "z.2f")}).items():
        names = [metric.format(name) for name in rows.values()]
        for title, runs in zip(titles, (first, second), strict=True):
            shown[measure, title] = [over_seeds(name, runs, "–", spec) for name in names]
    gaps = [change(name, first, second) for name in names]
    shown["left", "change"] = [f"{gap:+{spec}}" if gap else "–" for gap in gaps]
    return pd.DataFrame(shown, index=list(rows))


def tight(frame: pd.DataFrame) -> Styler:
    """A wide table with its columns nearer to each other."""
    near = [{"selector": cell, "props": "padding-inline: 0.3rem"} for cell in ("th", "td")]
    return frame.style.set_table_styles(near)


def left_figure(
    rows: Mapping[str, str], panels: Mapping[str, Mapping[str, Column]]
) -> tuple[Figure, str]:
    """A figure of the protection left, with its alternative text: a panel for each of several data.

    ``rows`` and a panel's columns, its marks, are as :func:`mmlib.evidence.table` has them.
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
