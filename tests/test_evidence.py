"""One record a seed counts, its curves are read back, and intervals are those of Student's t."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mmlib import evidence
from mmlib.presets import grid


def record(seed, preset="paper", path="build/runs/r", kept=False, **metrics):
    named = {name.replace("_", "."): {"value": value} for name, value in metrics.items()}
    return {
        "chapter": "comm", "experiment": "overview", "preset": preset, "seed": seed,
        "metrics": named, "path": Path(path), "kept": kept, "files": {},
    }  # fmt: skip


def test_interval_is_the_t_interval():
    values = [1.0, 2.0, 4.0, 8.0]
    low, high = stats.t.interval(0.95, 3, loc=3.75, scale=stats.sem(values))
    ours = evidence.estimate(values)
    assert (ours.mean - ours.half_width, ours.mean + ours.half_width) == pytest.approx((low, high))
    _, high = stats.t.interval(0.975, 3, loc=3.75, scale=stats.sem(values))
    assert 3.75 + evidence.estimate(values, 0.975).half_width == pytest.approx(high)


def test_a_row_of_the_grid_that_was_looked_at_again_has_a_wider_interval(tmp_path, monkeypatch):
    path = tmp_path / "grid.yml"
    rows = [
        "{chapter: comm, experiment: overview, preset: desk, seeds: [0], looks: 2}",
        "{chapter: comm, experiment: overview, preset: paper, seeds: [0]}",
    ]
    path.write_text("".join(f"- {row}\n" for row in rows))
    monkeypatch.setattr(grid, "GRID", path)
    monkeypatch.setattr(grid, "rows", grid.rows.__wrapped__)
    levels = [evidence.level("comm", "overview", preset) for preset in ("desk", "paper", "other")]
    assert levels == pytest.approx([0.975, 0.95, 0.95])
    loaded = [record(seed, preset="desk", a=1.0) for seed in range(3)]
    decide = evidence.deciding("comm", "overview", loaded, exact=False)
    assert decide == ("desk", [{"a": 1.0}] * 3, True, levels[0])
    assert evidence.deciding("comm", "overview", [], exact=False) == ("", [], False, 0.95)


def test_equal_runs_have_no_interval():
    same = evidence.estimate([1e-8, 1e-8, 1e-8])  # their sum, divided by 3, is another number
    assert (same.mean, same.half_width) == (1e-8, 0.0)
    assert (str(same), f"{same:.0e}") == ("1e-08 (3 runs)", "1e-08")


def test_an_estimate_has_a_sign_where_enough_runs_leave_no_doubt():
    assert evidence.estimate([1.0, 2.0, 2.0]).sign == 1  # 1.67 ± 1.43
    assert evidence.estimate([-1.0, -2.0, -2.0]).sign == -1
    assert evidence.estimate([-2.0, 2.0, 2.0]).sign == 0
    assert evidence.estimate([2.0, 2.0]).sign == 0
    assert evidence.estimate([2.0]).sign == 0


@pytest.mark.parametrize("values", [[math.nan] * 3, [1.0, math.nan, 1.0], [math.nan, 1.0, 1.0]])
def test_runs_of_which_one_is_no_number_tell_nothing(values):
    found = evidence.estimate(values)
    assert math.isnan(found.mean)
    assert found.sign == 0


def test_a_tie_of_theirs_is_neither_the_same_order_nor_the_opposite():
    gap = evidence.estimate([1.0, 1.1, 0.9])
    for theirs, told in ((0.9, "the same order"), (-0.9, "**the opposite order**")):
        assert evidence.order(gap, theirs).startswith(told)
    assert evidence.order(gap, 0.0).startswith("our runs decide the order, and the paper's")


def test_a_difference_is_taken_within_a_run():
    runs = [{"a": 1.0, "b": 0.8}, {"a": 5.0, "b": 4.7}, {"a": 9.0, "b": 8.8}, {"a": 70.0}]
    found = evidence.difference("a", "b", runs)  # seeds differ by far more than a and b do
    deltas = pytest.approx([0.2, 0.3, 0.2])
    assert [run["a"] - run["b"] for run in runs[:3]] == deltas
    assert (found.mean, found.n, found.decided) == (pytest.approx(0.7 / 3), 3, "decided")
    assert evidence.difference("b", "a", runs).sign == -1
    assert evidence.difference("a", "b", runs[:2]).decided == "not decided"  # too few
    assert evidence.difference("a", "c", runs) is None


def test_a_kept_record_counts_before_a_run_of_the_same_seed():
    kept = record(0, a_b=1.0, kept=True)
    fresh = record(0, a_b=2.0)
    for order in ([kept, fresh], [fresh, kept]):
        assert evidence.recorded("comm", "overview", "paper", order) == [{"a.b": 1.0}]


def test_two_experiments_of_the_same_metrics_are_kept_apart():
    two = [record(s, a_b=10.0 + s) | {"experiment": "masks"} for s in range(2)]
    three = [record(s, a_b=1.0 + s) for s in range(3)]
    other = [record(0, "desk", a_b=9.0) | {"experiment": "small"}]
    found = evidence.by_experiment("comm", "paper", three + two + other)
    assert found == {
        "overview": [{"a.b": 1.0}, {"a.b": 2.0}, {"a.b": 3.0}],
        "masks": [{"a.b": 10.0}, {"a.b": 11.0}],
    }


def with_curves(folder, seed, rows, **others):
    folder.mkdir(parents=True)
    if rows:
        (folder / "metrics.csv").write_text("\n".join(["curve,step,value,method,draw", *rows]))
    return record(seed, "desk", path=folder, a_b=1.0) | others


def test_curves_of_all_seeds_and_a_kept_seed_once(tmp_path):
    asked = ["R"], "comm", "overview", "desk"
    loaded = [
        with_curves(tmp_path / f"runs/{s}", s, [f"R,1,{s + 0.5},None,", f"S,1,9,x,{s}"])
        for s in (2, 1, 0)
    ]
    loaded += [
        with_curves(tmp_path / "results/1", 1, ["R,1,7.0,None,", "R,2,,None,"], kept=True),
        with_curves(tmp_path / "runs/else", 5, ["R,1,1.0,None,"], experiment="other"),
        with_curves(tmp_path / "runs/paper", 6, ["R,1,1.0,None,"], preset="paper"),
        with_curves(tmp_path / "runs/bare", 7, []),  # a run without curves
    ]
    found = evidence.curves(*asked, loaded)
    assert found[["seed", "step"]].to_numpy().tolist() == [[0, 1], [1, 1], [1, 2], [2, 1]]
    assert found["value"].dropna().tolist() == [0.5, 7.0, 2.5]
    assert set(found["method"]) == {"None"}  # as the run called it
    assert list(found) == ["curve", "step", "value", "method", "seed"]  # no draw has an R
    both = evidence.curves(["R", "S"], *asked[1:], loaded)
    assert both.loc[both["curve"] == "S", "draw"].tolist() == [0, 2]  # the kept seed 1 has no S


def test_a_curve_that_no_record_has_is_named_with_those_there_are(tmp_path):
    loaded = [with_curves(tmp_path / str(s), s, ["R,1,1.0,x,", "S,1,1.0,x,"]) for s in range(3)]
    wrong = "curve is 'r'; the 3 records of comm/overview/desk have: R, S"
    with pytest.raises(ValueError, match=wrong):
        evidence.curves(["R", "r"], "comm", "overview", "desk", loaded)
    some = evidence.curves(["R", "r"], "comm", "overview", "desk", loaded, required=False)
    assert some["curve"].tolist() == ["R"] * 3
    none = evidence.curves(["r"], "comm", "overview", "desk", loaded, required=False)
    assert none.empty
    nothing = evidence.curves(["R"], "comm", "overview", "paper", loaded)
    assert nothing.empty
    assert {"curve", "step", "value", "seed"} <= set(nothing)


def test_an_unpaired_difference_has_welchs_interval():
    a, b = [3.0, 5.0, 4.0, 8.0], [1.0, 1.5, 0.5]
    va, vb = np.var(a, ddof=1) / 4, np.var(b, ddof=1) / 3
    freedom = (va + vb) ** 2 / (va**2 / 3 + vb**2 / 2)
    found = evidence.unpaired(a, b)
    assert found.mean == pytest.approx(4)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, freedom) * (va + vb) ** 0.5)
    assert (found.n, found.sign, evidence.unpaired(b, a).sign) == (3, 1, -1)
    with pytest.raises(ValueError, match="runs are 4 and 1; allowed: two or more"):
        evidence.unpaired(a, [1.0])


def test_what_is_nothing_in_all_runs_or_ends_at_zero_has_no_sign():
    assert evidence.estimate([0.0, 0.0, 0.0]).sign == 0
    assert evidence.Estimate(1.0, 1.0, 3).sign == evidence.Estimate(-1.0, 1.0, 3).sign == 0


def test_numbers_below_a_tenth_have_two_digits_and_others_two_decimals():
    told = [evidence.digits(value) for value in (0.5, 0.1, 0.0996, 0.00123, 0.0, 12.345)]
    assert told == ["0.50", "0.10", "0.1", "0.0012", "0.00", "12.35"]
