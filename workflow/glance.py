"""The first page's figure: one question to each paper, answered by recorded runs at desk.

``python workflow/glance.py`` draws it for the README, from the committed records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from matplotlib.figure import Figure

from mmlib import evidence, plots, records
from mmlib.verdicts.items import items

README, PICTURE = records.ROOT / "README.md", "results/glance.png"

METHOD, OURS = "the paper's methods", "controls, attacks and answers of this book"
PLAIN = "no protection"
OPTIMISED = "unlearnable_audit/optimised-photos"
LOOKS = {METHOD: ("blue", ""), OURS: ("orange", "//"), PLAIN: ("grey", "")}


@dataclass(frozen=True)
class Panel:
    """A question, the axis of its answers and its limits, lines to compare with, recorded bars.

    A bar is a title, chapter/experiment, metric, and whose it is.
    """

    question: str
    axis: str
    lines: dict[str, float]
    limits: tuple[float, float]
    bars: tuple[tuple[str, str, str, str], ...]


PANELS = (
    Panel(
        "CoMM: can a linear probe read what only both images tell?",
        "pairs judged correctly (%)",
        {"guessing": 50.0},
        (0, 100),
        (
            ("Cross", "comm/overview", "synergy.cross", METHOD),
            ("Cross+Self", "comm/overview", "synergy.cross_self", METHOD),
            ("FactorCL", "comm/overview", "synergy.factorcl", METHOD),
            ("CoMM", "comm/overview", "synergy.comm", METHOD),
            ("Cross+Self, CoMM's network", "comm/fused", "synergy.cross_self_fused", OURS),
            ("Cross, its vectors multiplied", "comm/overview", "synergy_products.cross", OURS),
        ),
    ),
    Panel(
        "Label-DP: what can be learned where ε = 5 covers image and label?",
        "records classified correctly, of 286 classes (%)",
        {"the paper's cars": items()["labeldp-table1"].values["downstream.double_rr"]},
        (0, 100),
        (
            ("true labels", "label_dp_audit/overview", "cars.clean", PLAIN),
            ("as released, noise known", "label_dp_audit/overview", "cars.two_logs.known", OURS),
            ("as released, an oracle", "label_dp_audit/overview", "cars.two_logs.ceiling", OURS),
            ("rows too, an oracle", "label_dp_audit/overview", "cars.two_logs.rows", OURS),
        ),
    ),
    Panel(
        "MEM: how much protection is left, on real photos?",
        "0: as with clean pairs, 1: nothing is learned",
        {},
        (-0.05, 1),
        (
            ("noise alone", OPTIMISED, "left.em_mem_budget", METHOD),
            ("MEM-3", OPTIMISED, "left.mem_3", METHOD),
            ("random words and noise", OPTIMISED, "left.random_tokens_noise", OURS),
            ("MEM-3, best defence", "unlearnable_sweeps/spelled", "left_worst.mem_3", OURS),
            ("this book's, best defence", "unlearnable_sweeps/spelled", "left_worst.chosen", OURS),
        ),
    ),
)


def figure(loaded: list[dict]) -> tuple[Figure, str]:
    """Bars of means with 95 % intervals over seeds, and what they show in words.

    A bar of which nothing is recorded is left out.
    """
    plots.style()
    heights = [len(panel.bars) + 1.5 for panel in PANELS]
    drawn, axes = plots.plt.subplots(
        len(PANELS), 1, figsize=(6.9, 0.3 * sum(heights)), height_ratios=heights,
        layout="constrained",
    )  # fmt: skip
    told = []
    for panel, ax in zip(PANELS, axes, strict=True):
        found = {}
        for title, place, metric, whose in panel.bars:
            runs = evidence.recorded(*place.split("/"), "desk", loaded)
            if values := [run[metric] for run in runs if metric in run]:
                found[title] = evidence.estimate(values)
                color, hatch = LOOKS[whose]
                ax.barh(
                    title, found[title].mean, 0.65, xerr=found[title].half_width, capsize=3,
                    color=plots.COLORS[color], hatch=hatch, edgecolor="white",
                    error_kw={"elinewidth": 1},
                )  # fmt: skip
        for name, value in panel.lines.items():
            ax.axvline(value, color=plots.COLORS["black"], linestyle="--", linewidth=1)
            ax.text(value, -0.62, f" {name}, {value:g}", fontsize=8, va="center")
        ax.set_xlim(panel.limits)
        ax.set_ylim(len(found) - 0.4, -1.0 if panel.lines else -0.6)
        ax.set_title(panel.question, loc="left", fontsize=10, fontweight="bold", x=-0.4)
        ax.set_xlabel(panel.axis, fontsize=9)
        ax.grid(axis="y", visible=False)
        lines = [f"{name} at {value:g}" for name, value in panel.lines.items()]
        bars = [f"{title} {mean.mean:.3g} ± {mean.half_width:.2g}" for title, mean in found.items()]
        told.append(f"{panel.question} {panel.axis}: {'; '.join(lines + bars)}.")
    drawn.legend(
        [plots.plt.Rectangle((0, 0), 1, 1, fc=plots.COLORS[c], hatch=h, ec="white")
         for c, h in LOOKS.values()],
        LOOKS, loc="outside lower center", ncols=3, fontsize=9,
    )  # fmt: skip
    return drawn, "Bars with 95 % intervals. " + " ".join(told)


def page(alt: str, file: str) -> str:
    """The figure, in ``file``, as Markdown."""
    places = dict.fromkeys(place for panel in PANELS for _, place, _, _ in panel.bars)
    return f"""```{{figure}} {file}
:alt: {alt}
:name: fig-glance

Recorded runs at `desk`, mean and 95 % interval over seeds. *CoMM*: Cross, Cross+Self and FactorCL
are its rivals. *Label-DP*: images are points drawn in code, as many as the paper's and so far apart
that a linear model of true labels reaches about the paper's number without noise. An oracle is told
which of them are of one class, and has only to name the classes. *MEM*: MEM-3 is noise and three
words, optimised together; for random words noise is made as well. The best defence, in runs of its
own, is the single one of chapter 12 that takes most of the protection away. Records:
{", ".join(f"`{place}`" for place in places)}.
```
"""


def in_readme(alt: str) -> str:
    """The figure as a line of the README."""
    return f"![{alt}]({PICTURE})"


def main() -> None:
    drawn, alt = figure(records.load(records.RESULTS))
    plots.save(drawn, records.ROOT / PICTURE)
    old = re.compile(rf"!\[.*\]\({re.escape(PICTURE)}\)")
    README.write_text(old.sub(lambda _: in_readme(alt), README.read_text()))


if __name__ == "__main__":
    main()
