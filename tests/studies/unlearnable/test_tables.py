"""Titles, tables and ways of recorded hackers."""

import pandas as pd

from mmlib import plots
from mmlib.evidence import Column
from mmlib.mem.course import Point
from mmlib.mem.protections import rows, switched
from mmlib.mem.settings import Protection
from mmlib.studies.unlearnable.tables import TITLES, left_figure, of_curves, side_by_side


def test_every_protection_that_is_compared_has_a_title_of_its_own():
    table = rows(Protection())
    switches = switched(Protection())
    assert set(TITLES) == {*table, "mem_images", "mem_words"} | {
        f"switch_{choice}" for choice in switches
    }
    assert len(set(TITLES.values())) == len(TITLES)


KEYS = ("median_rank.i2t", "median_rank.t2i")


def test_two_settings_stand_side_by_side_and_their_seeds_are_no_pairs():
    def runs(*ranks):
        return [{f"{k}.a": r for k in KEYS} | {"left.a": r / 1000} for r in ranks]

    small, large = runs(90.0, 100.0, 110.0), runs(150.0, 140.0, 160.0)
    frame = side_by_side({"A": "a", "B": "b"}, small, large, ("32 px", "48 px"))
    # By seeds the change would be 0.05 ± 0.025; of unpaired runs both spreads are in it.
    told = ["100 ± 25", "150 ± 25"]
    assert frame.loc["A"].tolist() == [*told, *told, "0.10 ± 0.02", "0.15 ± 0.02", "+0.05 ± 0.02"]
    assert frame.loc["B"].tolist() == ["–"] * 7
    assert list(frame.columns) == [
        (measure, size)
        for measure in ("median rank, i→t", "median rank, t→i", "left")
        for size in ("32 px", "48 px")
    ] + [("left", "change")]
    one = side_by_side({"A": "a"}, small, large[:1], ("32 px", "48 px"))
    assert one.loc["A"].tolist() == ["100 ± 25", "150"] * 2 + ["0.10 ± 0.02", "0.15", "–"]


def test_recorded_curves_are_points_of_each_hacker_and_seed_in_the_order_of_steps():
    rows = [
        (measure, step, 100 * seed + step + k, title, seed)
        for step in (20, 10)
        for seed in (3, 1)
        for title in ("MEM-3", "clean")
        for k, measure in enumerate(KEYS)
    ]
    found = of_curves(pd.DataFrame(rows, columns=["curve", "step", "value", "data", "seed"]))
    assert set(found) == {"MEM-3", "clean"}
    for ways in found.values():
        assert ways == [
            [Point(s, {m: 100 * seed + s + k for k, m in enumerate(KEYS)}, None) for s in (10, 20)]
            for seed in (1, 3)
        ]
    assert of_curves(pd.DataFrame(columns=["curve", "step", "value", "seed"])) == {}


def test_a_figure_has_a_panel_for_each_of_the_data_with_all_rows_and_the_scales_ends():
    runs = [{"left.a": 0.5, "early.a": 0.25}, {"left.a": 0.75}]
    panels = {
        "x": {"last": Column(runs, "left.{}"), "early": Column(runs, "early.{}")},
        "z": {"last": Column([{"left.b": 0.125}], "left.{}")},
    }
    figure, alt = left_figure({"first": "a", "second": "b"}, panels)
    assert alt == (
        "Marks of protection left (x). last: first 0.625; early: first 0.25; as clean is 0; "
        "guessing is 1. Marks of protection left (z). last: second 0.125; as clean is 0; "
        "guessing is 1."
    )
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["first", "second"]
    assert left.get_ylim() == right.get_ylim() == (1.5, -0.5)
    assert right.lines[0].get_ydata().tolist() == [1]  # beside the name of its row
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert sorted(told) == ["as clean", "early", "guessing", "last"]
    plots.plt.close(figure)
