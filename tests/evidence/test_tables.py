"""A table's cells are means over the runs of its column."""

from mmlib.evidence import Column, table


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
