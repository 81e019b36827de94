"""A table's cells are means over the runs of its column."""

from mmlib.evidence import Column, counted_apart, less, points, table


def test_a_table_has_the_mean_of_each_rows_metric_over_the_runs_of_each_column():
    runs = [{"left.a": 1.0, "early.a": 0.25}, {"left.a": 3.0}]
    made = table(
        {"first": "a", "second": "b"},
        {("x", "last"): Column(runs, "left.{}"), ("x", "early"): Column(runs, "early.{}", ".3f")},
    )
    assert made.columns.tolist() == [("x", "last"), ("x", "early")]
    assert made.index.tolist() == ["first", "second"]
    assert made["x"]["last"].tolist() == ["2.00 ± 12.71", "–"]
    assert made["x"]["early"].tolist() == ["0.250", "–"]


def test_a_title_counts_the_runs_of_most_cells_not_the_most_runs():
    runs = [{"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0}]
    told = counted_apart(["a", "b", "c"], runs)
    assert told == ("2 runs", ["1.00 (3 runs)", "1.00", "1.00"])


def test_a_difference_is_decided_at_the_level_of_its_row():
    runs = [{"a": a, "b": 0.0} for a in (1.0, 2.0, 2.0)]
    told = [less("a", "b", runs, level) for level in (0.95, 0.975)]
    assert told == ["+1.67 ± 1.43, decided", "+1.67 ± 2.07, not decided"]


def test_points_are_of_every_run_that_has_the_metric_in_the_order_of_rows_and_columns():
    runs = [{"left.a": 1.0}, {"left.a": 2.0, "left.b": 4.0}, {"left.a": 3.0}]
    found = points({"z": "b", "y": "a"}, {"x": Column(runs, "left.{}"), "w": Column(runs[:1])})
    told = list(zip(found["row"], found["column"], found["value"], strict=True))
    assert told == [("z", "x", 4.0), ("y", "x", 1.0), ("y", "x", 2.0), ("y", "x", 3.0)]
    assert list(found["row"].cat.categories) == ["z", "y"]
    assert list(found["column"].cat.categories) == ["x", "w"]
