"""Alternative texts come from the data; curves and bars differ by more than colour."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import colors as mcolors
from PIL import Image
from scipy import stats

from mmlib import plots


@pytest.fixture
def frame():
    rows = [
        {"step": step, "value": slope * step + seed, "method": method, "seed": seed}
        for method, slope in (("one", 1.0), ("two", 3.0))
        for step in (0, 10)
        for seed in (0, 2)
    ]
    yield pd.DataFrame(rows)
    plt.close("all")


def test_curves_show_the_mean_and_say_it(frame):
    figure, alt = plots.curves(
        frame, "step", "value", "method", xlabel="step", ylabel="loss", reference={"chance": 5.0}
    )
    lines = figure.axes[0].lines
    assert list(lines[1].get_ydata()) == [1.0, 31.0]
    assert "one goes from 1 to 11" in alt
    assert "two goes from 1 to 31" in alt
    assert "chance is 5" in alt
    assert len({line.get_marker() for line in lines[:2]}) == 2
    assert len({line.get_linestyle() for line in lines[:2]}) == 2


def test_a_category_looks_alike_in_a_panel_without_the_one_before_it(frame):
    names = pd.CategoricalDtype(["zero", "two", "one"])
    whole = frame.astype({"method": names})
    looks = []
    for rows in (whole, whole[whole["method"] != "two"]):
        figure, _ = plots.curves(rows, "step", "value", "method", xlabel="step", ylabel="loss")
        lines = figure.axes[0].lines
        looks.append({li.get_label(): (li.get_color(), li.get_marker()) for li in lines})
    assert list(looks[0]) == ["two", "one"]
    assert list(looks[1]) == ["one"]
    assert looks[0]["one"] == looks[1]["one"] == (plots.CYCLE[2], plots.MARKERS[2])


def test_an_ordered_category_runs_from_dark_to_light(frame):
    names = pd.CategoricalDtype(["one", "between", "two"], ordered=True)
    figure, _ = plots.curves(
        frame.astype({"method": names}), "step", "value", "method", xlabel="step", ylabel="loss"
    )
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    light = {name: sum(mcolors.to_rgb(line.get_color())) for name, line in lines.items()}
    assert light["one"] < light["two"] < 2
    assert lines["two"].get_marker() == plots.MARKERS[2]


def test_the_band_is_the_range_or_the_interval_of_the_mean():
    runs = pd.DataFrame({"step": [5, 5, 5, 10], "value": [1.0, 2.0, 6.0, 4.0], "method": "one"})
    spread = {"range": (1.0, 6.0), "interval": stats.t.interval(0.95, 2, 3.0, (7 / 3) ** 0.5)}
    for band, (low, high) in spread.items():
        figure, alt = plots.curves(
            runs, "step", "value", "method", xlabel="step", ylabel="loss", band=band
        )
        assert alt.endswith(" to 4.")  # of one run, whatever the first point is of
        edges = figure.axes[0].collections[0].get_paths()[0].vertices
        at_five = edges[edges[:, 0] == 5, 1]
        assert (min(at_five), max(at_five)) == pytest.approx((low, high))
        plt.close(figure)
    with pytest.raises(ValueError, match="band is 'sd'; allowed: 'range', 'interval'"):
        plots.curves(runs, "step", "value", "method", xlabel="", ylabel="", band="sd")


def test_on_a_scale_of_logarithms_the_interval_is_theirs():
    values = [1.0, 10.0, 100.0]  # as they are, the interval would reach below zero
    runs = pd.DataFrame({"step": 5, "value": values, "method": "one"})
    figure, alt = plots.curves(
        runs, "step", "value", "method", xlabel="step", ylabel="rank", band="interval", logy=True
    )
    factor = 10 ** (stats.t.ppf(0.975, 2) / 3**0.5)
    edges = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (min(edges), max(edges)) == pytest.approx((10 / factor, 10 * factor))
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([10.0])
    spread = f"10 ({plots.number(10 / factor)} to {plots.number(10 * factor)})"
    assert f"one goes from {spread} to {spread} (3 runs)" in alt
    plt.close(figure)


def test_ticks_of_a_rank_are_plain_numbers(frame):
    with plt.rc_context():
        plots.style()
        figure, _ = plots.curves(frame, "step", "value", "method", xlabel="", ylabel="", logy=True)
        axis = figure.axes[0].yaxis
        assert [axis.get_major_formatter()(x) for x in (10, 100)] == [
            r"$\mathdefault{10}$", r"$\mathdefault{100}$"
        ]  # fmt: skip
    plt.close(figure)


def test_the_text_gives_the_interval_and_the_number_of_runs(frame):
    frame.loc[len(frame)] = {"step": 10, "value": float("nan"), "method": "one", "seed": 9}
    _, alt = plots.curves(
        frame, "step", "value", "method", xlabel="step", ylabel="loss", band="interval"
    )
    half = stats.t.ppf(0.975, 1)  # 0 and 2, 10 and 12: standard error 1
    assert f"one goes from 1 ± {half:.1f} to 11 ± {half:.1f} (2 runs)" in alt
    frame.loc[frame["step"] == 0, "value"] = 1.0
    _, same = plots.curves(
        frame, "step", "value", "method", xlabel="step", ylabel="loss", band="interval"
    )
    assert "one goes from 1 to 11 ±" in same
    _, alone = plots.curves(
        frame[frame["seed"] == 0], "step", "value", "method", xlabel="step", ylabel="loss",
        band="interval",
    )  # fmt: skip
    assert "±" not in alone


@pytest.mark.parametrize("band", ["range", "interval"])
def test_a_curve_without_a_number_is_left_out(frame, band):
    frame.loc[frame["method"] == "one", "value"] = float("nan")
    figure, alt = plots.curves(
        frame, "step", "value", "method", xlabel="step", ylabel="loss", band=band
    )
    (line,) = figure.axes[0].lines
    assert line.get_label() == "two"
    assert "one" not in alt
    assert "nan" not in alt


def test_bars_show_the_mean_and_say_it(frame):
    figure, alt = plots.bars(frame, "step", "value", "method", ylabel="loss")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == [1.0, 11.0, 1.0, 31.0]
    assert "two: 0 1, 10 31" in alt
    assert len({bar.get_hatch() for bar in figure.axes[0].patches}) == 2


def test_bars_stand_over_the_names_of_their_groups():
    rows = [("raw", 1.0, "a"), ("comm", 2.0, "a"), ("cross", 3.0, "a"), ("cross", 4.0, "b")]
    frame = pd.DataFrame(rows, columns=["group", "value", "by"])
    figure, alt = plots.bars(frame, "group", "value", "by", ylabel="%")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["raw", "comm", "cross"]
    first, second = ([bar.get_height() for bar in bars] for bars in ax.containers)
    assert first == [1.0, 2.0, 3.0]
    assert second[2] == 4.0
    assert alt.endswith("a: raw 1, comm 2, cross 3; b: cross 4.")  # what has no bar is not told
    plt.close(figure)


def test_the_text_of_a_curve_tells_its_ends():
    frame = pd.DataFrame({"step": [0, 1, 2], "value": [5.0, 9.0, 4.0], "by": "a"})
    figure, alt = plots.curves(frame, "step", "value", "by", xlabel="step", ylabel="loss")
    assert "a goes from 5 to 4" in alt
    plt.close(figure)


def test_a_category_of_bars_keeps_its_colour_where_one_before_it_is_missing(frame):
    names = pd.CategoricalDtype(["zero", "two", "one"])
    frame = frame[frame["method"] == "one"].astype({"method": names})
    figure, alt = plots.bars(frame, "step", "value", "method", ylabel="loss")
    bars = figure.axes[0].patches
    assert {bar.get_hatch() for bar in bars} == {plots.HATCHES[2]}
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx([0, 1])
    assert mcolors.to_hex(bars[0].get_facecolor()).upper() == plots.CYCLE[2]
    assert "zero" not in alt


def test_a_reference_of_bars_may_differ_from_group_to_group(frame):
    levels = {"chance": {10: 5.0, 0: 2.0}}
    figure, alt = plots.bars(frame, "step", "value", "method", ylabel="loss", reference=levels)
    (lines,) = (c for c in figure.axes[0].collections if c.get_label() == "chance")
    ends = [segment.round(2).tolist() for segment in lines.get_segments()]
    assert ends == [[[-0.45, 2.0], [0.45, 2.0]], [[0.55, 5.0], [1.45, 5.0]]]
    assert "chance: 0 2, 10 5" in alt


def test_a_colour_that_comes_round_again_has_other_marks():
    methods = [str(k) for k in range(len(plots.CYCLE) + 1)]
    frame = pd.DataFrame({"step": 0, "value": 1.0, "method": methods})
    figure, _ = plots.bars(frame, "step", "value", "method", ylabel="loss")
    first, last = (figure.axes[0].patches[k] for k in (0, -1))
    assert first.get_facecolor() == last.get_facecolor()
    assert first.get_hatch() != last.get_hatch()
    figure, _ = plots.curves(frame, "step", "value", "method", xlabel="step", ylabel="loss")
    first, last = (figure.axes[0].lines[k] for k in (0, -1))
    assert (first.get_color(), first.get_marker()) != (last.get_color(), last.get_marker())
    plt.close("all")


def test_the_cycle_has_distinct_marks():
    n = len(plots.CYCLE)
    for marks in (plots.CYCLE, plots.MARKERS, plots.DASHES, plots.HATCHES):
        assert len(set(marks)) == n


def test_a_drawing_keeps_its_units_and_its_places():
    figure, ax = plots.canvas(10, 4)
    assert tuple(figure.get_size_inches()) == pytest.approx((6.4, 2.56))
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_aspect()) == ((0, 10), (0, 4), 1)
    plots.box(ax, 2, 3, "here", "#0072B2", width=2, height=1)
    (patch,) = ax.patches
    assert (patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()) == (1, 2.5, 2, 1)
    plots.arrow(ax, (3, 3), (7, 3), "next", bend=0.2, linestyle="--", color="#D55E00")
    named = {text.get_text(): text for text in ax.texts}
    assert named["here"].get_position() == (2, 3)
    assert named["next"].get_position() == pytest.approx((5, 3.23))
    pointer = named[""].arrow_patch
    assert (pointer.get_linestyle(), pointer.get_connectionstyle().rad) == ("--", 0.2)
    plt.close(figure)


def test_a_chart_is_saved_by_a_palette_and_a_photo_in_full(frame, tmp_path):
    chart, _ = plots.curves(frame, "step", "value", "method", xlabel="step", ylabel="loss")
    photo = plt.figure()
    photo.add_subplot().imshow(np.random.default_rng(0).random((40, 40, 3)))
    for figure, mode in ((chart, "P"), (photo, "RGB")):
        width = plots.save(figure, tmp_path / "saved.png")
        figure.savefig(tmp_path / "full.png", bbox_inches="tight")
        saved, full = (Image.open(tmp_path / f"{name}.png") for name in ("saved", "full"))
        assert saved.mode == mode
        change = np.subtract(saved.convert("RGB"), full.convert("RGB"), dtype=float)
        assert np.sqrt((change**2).mean()) < (2 if mode == "P" else 1e-9)
        assert saved.size == full.size
        assert width == full.width // 2


def test_dots_are_runs_beside_their_mean_with_the_interval_of_three():
    rows = [("c", 1.0, "x"), ("c", 2.0, "x"), ("c", 6.0, "x"), ("c", 4.0, "y"), ("a", 5.0, "y")]
    rows += [("a", 7.0, "x"), ("a", 8.0, "x")]
    frame = pd.DataFrame(rows, columns=["row", "left", "by"])
    frame["row"] = pd.Categorical(frame["row"], ["c", "b", "a"])
    figure, alt = plots.dots(
        frame, "left", "row", "by", xlabel="left", title="two", reference={"all": 1.0}
    )
    (ax,) = figure.axes
    half = stats.t.ppf(0.975, 2) * stats.sem([1.0, 2.0, 6.0])
    assert alt == f"Marks of left (two). x: c 3 ± {half:.3g}, a 7.5; y: c 4, a 5; all is 1."
    drawn = [line.get_xydata().tolist() for line in ax.lines if line.get_marker() in ".os"]
    above, below = -0.16, 0.16
    assert drawn == [
        [[1.0, above], [2.0, above], [6.0, above]], [[3.0, above]],
        [[7.0, 2 + above], [8.0, 2 + above]], [[7.5, 2 + above]],
        [[4.0, below]], [[5.0, 2 + below]],
    ]  # fmt: skip
    ends = [c.get_segments()[0][:, 0].tolist() for c in ax.collections]
    assert ends == [[pytest.approx(3 - half), pytest.approx(3 + half)]]  # of two runs there is none
    assert set(ax.lines[-1].get_xdata()) == {1.0}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["c", "b", "a"]
    assert ax.get_ylim() == (2.5, -0.5)  # the first above
    named = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(named) == ["all", "x", "y"]
    plt.close(figure)


def test_one_legend_below_the_panels_names_each_label_once():
    figure, axes = plots.plt.subplots(1, 2, layout="constrained")
    for ax in axes:
        ax.plot([0, 1], [0, 1], label="both")
    axes[1].plot([0, 1], [1, 0], label="right alone")
    axes[1].legend()
    plots.legend_below(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["both", "right alone"]
    assert legend.legend_handles[1].get_color() == axes[1].lines[1].get_color()
    assert axes[1].get_legend() is None
    figure.canvas.draw()
    assert legend.get_window_extent().y1 <= min(ax.get_window_extent().y0 for ax in axes)
    plots.legend_below(figure, 1, ["right alone", "both"])
    turned = figure.legends[1]
    assert [text.get_text() for text in turned.get_texts()] == ["right alone", "both"]
    assert turned.legend_handles[0].get_color() == axes[1].lines[1].get_color()


@pytest.mark.parametrize("draw", ["curves", "bars"])
def test_axes_and_the_texts_opening_say_what_is_drawn(draw, frame):
    given = {"ylabel": "loss, nats", "title": "two runs"}
    if draw == "curves":
        given |= {"xlabel": "epoch", "logx": True, "logy": True}
    figure, alt = getattr(plots, draw)(frame[frame["step"] > 0], "step", "value", "method", **given)
    (ax,) = figure.axes
    assert (ax.get_ylabel(), ax.get_title()) == ("loss, nats", "two runs")
    if draw == "curves":
        assert (ax.get_xlabel(), ax.get_xscale(), ax.get_yscale()) == ("epoch", "log", "log")
        assert alt.startswith("Curves of loss, nats (two runs) over epoch, 10 to 10: one goes")
    else:
        assert alt.startswith("Bars of loss, nats (two runs). one: ")


def test_lines_and_whiskers_are_where_the_text_and_the_rows_say():
    rows = pd.DataFrame({"step": range(39, -1, -1), "value": 2.0, "method": "a"})
    figure, alt = plots.curves(
        rows, "step", "value", "method", xlabel="step", ylabel="loss", reference={"chance": 5.0}
    )
    curve, chance = figure.axes[0].lines
    assert set(chance.get_ydata()) == {5.0}
    assert curve.get_markevery() == 4  # about ten markers
    assert "over step, 0 to 39: " in alt
    rows = pd.DataFrame({"step": 0, "value": [1.0, 2.0, 6.0], "method": "a"})
    figure, alt = plots.bars(rows, "step", "value", "method", ylabel="loss", reference={"two": 2.0})
    assert alt.endswith("a: 0 3; two is 2.")
    (whisker,) = figure.axes[0].collections
    assert whisker.get_segments()[0][:, 1].tolist() == [1.0, 6.0]  # of the mean of 3, not alike
    assert set(figure.axes[0].lines[-1].get_ydata()) == {2.0}
    plt.close("all")
