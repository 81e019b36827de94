"""One plot style, and figures whose alternative text is made from the data they show.

Colours are Okabe and Ito's colour-blind safe ones; curves also differ by marker and dash, bars by
hatch, so no figure speaks by colour alone. Figures have a white ground, which the book keeps in
its dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image, ImageChops, ImageStat

from mmlib._checks import check_choice
from mmlib.evidence import FEWEST, estimate

COLORS = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
    "amber": "#E69F00",
    "black": "#222222",
    "grey": "#777777",
}
CYCLE = [COLORS[name] for name in ("blue", "orange", "green", "pink", "sky", "amber", "black")]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))]
HATCHES = ["", "//", "..", "\\\\", "xx", "--", "++"]
DPI = 200  # of saved figures
_UNSEEN = 2  # of 255: root mean square of a change of colours


def style() -> None:
    """Set the book's matplotlib style."""
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "savefig.dpi": DPI,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.formatter.min_exponent": 3,  # 300, not 3 × 10², on a scale of logarithms
            "grid.color": "#dddddd",
            "axes.prop_cycle": mpl.cycler(color=CYCLE, linestyle=DASHES),
            "legend.frameon": False,
            "lines.markersize": 4.5,
        }
    )


def save(figure: Figure, path: Path) -> int:
    """Write a PNG, and return the width to show it at, in CSS pixels: half of its own.

    It has a palette where nobody sees that, as in charts: a third of the bytes.
    """
    drawn = BytesIO()
    figure.savefig(drawn, format="png", bbox_inches="tight")
    picture = Image.open(drawn).convert("RGB")
    few = picture.quantize(256, dither=Image.Dither.NONE)
    change = ImageStat.Stat(ImageChops.difference(picture, few.convert("RGB"))).rms
    (few if max(change) < _UNSEEN else picture).save(path, optimize=True)
    return picture.width // 2


def curves(
    frame: pd.DataFrame,
    x: str,
    y: str,
    hue: str,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    reference: dict[str, float] | None = None,
    logx: bool = False,
    logy: bool = False,
    band: Literal["range", "interval"] = "range",
    ax: Axes | None = None,
) -> tuple[Figure, str]:
    """Mean curves of ``y`` over ``x``, one for each value of ``hue``, and their alternative text.

    Rows that share ``x`` and ``hue`` are repeats: the line is their mean, the band their range, or
    with ``band="interval"``, for independent runs, the 95 % interval of the mean that
    :func:`mmlib.evidence.estimate` gives; with ``logy`` that of their logarithms, whose line is
    the geometric mean. Of a categorical ``hue`` each category keeps its place, colour and dash, so
    that panels of unlike rows agree; of an ordered one colours run from dark to light.
    ``reference`` adds named horizontal lines (chance, a bound).
    Returns the figure and the text. Raises ``ValueError`` for another band.
    """
    check_choice("band", band, ("range", "interval"))
    figure, ax = _axes(ax)
    sentences = []
    hues = frame[hue]
    names = _names(hues)
    colors = _from_dark(len(names)) if getattr(hues.dtype, "ordered", False) else CYCLE
    for i, name in enumerate(names):
        rows, color = frame[hues == name], colors[i % len(colors)]
        if rows[y].isna().all():
            continue
        points, known = rows.groupby(x)[y].agg(["mean", "min", "max"]), ("", "")
        if band == "interval":
            points, known = _intervals(rows.dropna(subset=y).groupby(x)[y], logy)
        every = max(1, len(points) // 10)
        ax.plot(
            points.index,
            points["mean"],
            label=str(name),
            color=color,
            linestyle=_mark(DASHES, i),
            marker=_mark(MARKERS, i),
            markevery=every,
        )
        if len(rows) > len(points):
            ax.fill_between(points.index, points["min"], points["max"], color=color, alpha=0.15)
        first, last = points["mean"].iloc[0], points["mean"].iloc[-1]
        sentences.append(f"{name} goes from {number(first)}{known[0]} to {number(last)}{known[1]}")
    for i, (name, value) in enumerate((reference or {}).items()):
        ax.axhline(
            value, color=COLORS["grey"], linewidth=1, linestyle=(0, (2 + 3 * i, 2)), label=name
        )
        sentences.append(f"{name} is {number(value)}")
    if logx:
        ax.set_xscale("log")
    if logy:
        ax.set_yscale("log")
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend()
    span = f"{number(frame[x].min())} to {number(frame[x].max())}"
    return figure, f"{_opening('Curves', ylabel, title)} over {xlabel}, {span}: " + "; ".join(
        sentences
    ) + "."


def _intervals(groups, logy: bool) -> tuple[pd.DataFrame, tuple[str, str]]:
    """Mean, lower and upper edge of the 95 % interval of each group; first and last in words."""
    scale, back = (np.log, np.exp) if logy else (np.asarray, np.asarray)
    found = {at: estimate(scale(values).tolist()) for at, values in groups}
    points = pd.DataFrame(
        {
            at: back([e.mean, e.mean - e.half_width, e.mean + e.half_width])
            for at, e in found.items()
        },
        index=["mean", "min", "max"],
    ).T

    def spread(at: int) -> str:
        known = list(found.values())[at]
        if known.n == 1 or (at == 0 and not known.half_width):  # a start may be the same in all
            return ""
        low, high = (number(points[edge].iloc[at]) for edge in ("min", "max"))
        return f" ({low} to {high})" if logy else f" ± {number(known.half_width)}"

    n = list(found.values())[-1].n
    return points, (spread(0), f"{spread(-1)} ({n} runs)" if n > 1 else "")


def bars(
    frame: pd.DataFrame,
    x: str,
    y: str,
    hue: str,
    *,
    ylabel: str,
    title: str = "",
    reference: dict[str, float | dict[str, float]] | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, str]:
    """Grouped bars of mean ``y``: a group for each ``x``, a bar for each ``hue``; and the text.

    Rows that share ``x`` and ``hue`` are repeats: the bar is their mean, the whisker their range.
    Of a categorical ``hue`` each category keeps its colour and hatch, as in :func:`curves`.
    ``reference`` adds named lines: one height, or one for each group.
    """
    figure, ax = _axes(ax)
    groups, there = list(dict.fromkeys(frame[x])), set(frame[hue])
    series = {name: i for i, name in enumerate(_names(frame[hue])) if name in there}
    width = 0.8 / len(series)
    sentences = []
    for k, (name, i) in enumerate(series.items()):
        rows = frame[frame[hue] == name].groupby(x)[y].agg(["mean", "min", "max"]).reindex(groups)
        at = [g + (k - (len(series) - 1) / 2) * width for g in range(len(groups))]
        whiskers = [rows["mean"] - rows["min"], rows["max"] - rows["mean"]]
        ax.bar(
            at,
            rows["mean"],
            width * 0.92,
            label=str(name),
            color=CYCLE[i % len(CYCLE)],
            hatch=_mark(HATCHES, i),
            edgecolor="white",
            yerr=whiskers if (rows["max"] > rows["min"]).any() else None,
            ecolor=COLORS["black"],
        )
        values = ", ".join(f"{g} {number(v)}" for g, v in rows["mean"].dropna().items())
        sentences.append(f"{name}: {values}")
    for i, (name, value) in enumerate((reference or {}).items()):
        look = {"linestyle": (0, (2 + 3 * i, 2)), "label": name}
        if isinstance(value, dict):
            heights = [value[g] for g in groups]
            left, right = ([g + side for g in range(len(groups))] for side in (-0.45, 0.45))
            ax.hlines(heights, left, right, color=COLORS["black"], linewidth=1.5, **look)
            told = ", ".join(f"{g} {number(v)}" for g, v in zip(groups, heights, strict=True))
            sentences.append(f"{name}: {told}")
        else:
            ax.axhline(value, color=COLORS["grey"], linewidth=1, **look)
            sentences.append(f"{name} is {number(value)}")
    ax.set_xticks(range(len(groups)), [str(g) for g in groups])
    ax.grid(axis="x", visible=False)
    ax.set(ylabel=ylabel, title=title)
    ax.legend()
    return figure, f"{_opening('Bars', ylabel, title)}. " + "; ".join(sentences) + "."


def dots(
    frame: pd.DataFrame,
    x: str,
    y: str,
    hue: str,
    *,
    xlabel: str,
    title: str = "",
    reference: dict[str, float] | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, str]:
    """Mean ``x`` beside each ``y``, a mark for each ``hue``, and their alternative text.

    Rows that share ``y`` and ``hue`` are independent runs: small marks beside their mean, which has
    its 95 % interval from three on. Categories keep their places, as in :func:`curves`.
    ``reference`` adds named vertical lines.
    """
    rows, series = _names(frame[y]), _names(frame[hue])
    figure, ax = _axes(ax)
    sentences = []
    for i, name in enumerate(series):
        color, told = CYCLE[i % len(CYCLE)], []
        for place, row in enumerate(rows):
            runs = frame.loc[(frame[y] == row) & (frame[hue] == name), x].dropna().tolist()
            if not runs:
                continue
            at, found = place + 0.64 * ((i + 0.5) / len(series) - 0.5), estimate(runs)
            enough = found.n >= FEWEST and found.half_width > 0
            if found.n > 1:
                ax.plot(runs, [at] * found.n, ".", color=color, alpha=0.5)
            ax.errorbar(
                found.mean, at, xerr=found.half_width if enough else None,
                fmt=_mark(MARKERS, i), color=color, markersize=6, capsize=3,
                label=None if told else str(name),
            )  # fmt: skip
            width = f" ± {number(found.half_width)}" if enough else ""
            told.append(f"{row} {number(found.mean)}{width}")
        sentences += [f"{name}: {', '.join(told)}"] if told else []
    for i, (name, value) in enumerate((reference or {}).items()):
        look = {"color": COLORS["black"], "linewidth": 1, "linestyle": (0, (2 + 3 * i, 2))}
        ax.axvline(value, label=name, zorder=1, **look)
        sentences.append(f"{name} is {number(value)}")
    ax.set_yticks(range(len(rows)), [str(row) for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set(xlabel=xlabel, title=title)
    ax.legend()
    return figure, f"{_opening('Marks', xlabel, title)}. " + "; ".join(sentences) + "."


def legend_below(figure: Figure, columns: int = 2, order: Sequence[str] | None = None) -> None:
    """One legend below all panels, each label once, in place of any that cover what is drawn.

    Labels come in ``order``, by default as the panels have them.
    """
    entries = {}
    for ax in figure.axes:
        entries |= {label: h for h, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        if ax.get_legend():
            ax.get_legend().remove()
    labels = entries if order is None else order
    handles = [entries[label] for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Bare axes for a drawing, ``width`` by ``height`` units of 0.64 inches."""
    figure, ax = plt.subplots(figsize=(0.64 * width, 0.64 * height), layout="constrained")
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return figure, ax


def box(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    color: str,
    width: float = 1.7,
    height: float = 0.8,
) -> None:
    """Draw a box centred at (x, y) with ``text`` in it, its edge and tint of ``color``, #rrggbb."""
    place = (x - width / 2, y - height / 2), width, height
    look = {"boxstyle": "round,pad=0.05", "facecolor": color + "22", "edgecolor": color}
    ax.add_patch(FancyBboxPatch(*place, **look))
    ax.text(x, y, text, ha="center", va="center", fontsize=8)


def arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str = "",
    bend: float = 0.0,
    **look: Any,
) -> None:
    """Draw an arrow from ``start`` to ``end``, bent by ``bend`` of its length, with ``text`` above.

    ``look`` are properties of the arrow, such as its colour or line style.
    """
    look = {
        "arrowstyle": "-|>", "color": "#444444", "shrinkA": 2, "shrinkB": 2,
        "connectionstyle": f"arc3,rad={bend}",
    } | look  # fmt: skip
    ax.annotate("", end, start, arrowprops=look)
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.12 + 0.55 * abs(bend)
    ax.text(*middle, text, ha="center", va="bottom", fontsize=7, color="#444444")


def number(value: Any) -> str:
    """A number as a person would say it.

    >>> number(0.123456), number(999.7), number(1234.5), number(12.0), number(math.inf)
    ('0.123', '1000', '1234', '12', '∞')
    """
    value = float(value)
    if value == math.inf:
        return "∞"
    if abs(value) >= 999.5:  # three digits of which would be 1e+03
        return f"{value:.0f}"
    return f"{value:.3g}"


def _names(values: pd.Series) -> list:
    """All categories, so that each keeps its place, or else the values as they come."""
    categorical = isinstance(values.dtype, pd.CategoricalDtype)
    return list(values.cat.categories if categorical else values.dropna().unique())


def _from_dark(n: int) -> list[Any]:
    """Colours in order; the lightest of the map would not be seen on white."""
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.85, n)))


def _mark(marks: list, i: int) -> Any:
    """The mark of place i; colours that come round again have another one."""
    return marks[(i + i // len(CYCLE)) % len(marks)]


def _axes(ax: Axes | None) -> tuple[Figure, Axes]:
    if ax is not None:
        return ax.figure, ax
    return plt.subplots(layout="constrained")


def _opening(kind: str, ylabel: str, title: str) -> str:
    return f"{kind} of {ylabel}" + (f" ({title})" if title else "")
