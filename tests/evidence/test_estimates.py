"""Intervals are those of Student's t, and a sign needs enough runs."""

import math

import pytest
from scipy import stats

from mmlib import evidence


def test_interval_is_the_t_interval():
    values = [1.0, 2.0, 4.0, 8.0]
    low, high = stats.t.interval(0.95, 3, loc=3.75, scale=stats.sem(values))
    ours = evidence.estimate(values)
    assert (ours.mean - ours.half_width, ours.mean + ours.half_width) == pytest.approx((low, high))
    _, high = stats.t.interval(0.975, 3, loc=3.75, scale=stats.sem(values))
    assert 3.75 + evidence.estimate(values, 0.975).half_width == pytest.approx(high)


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


def test_a_difference_is_taken_within_a_run():
    runs = [{"a": 1.0, "b": 0.8}, {"a": 5.0, "b": 4.7}, {"a": 9.0, "b": 8.8}, {"a": 70.0}]
    found = evidence.difference("a", "b", runs)  # seeds differ by far more than a and b do
    deltas = pytest.approx([0.2, 0.3, 0.2])
    assert [run["a"] - run["b"] for run in runs[:3]] == deltas
    assert (found.mean, found.n, found.decided) == (pytest.approx(0.7 / 3), 3, "decided")
    assert evidence.difference("b", "a", runs).sign == -1
    assert evidence.difference("a", "b", runs[:2]).decided == "not decided"  # too few
    assert evidence.difference("a", "c", runs) is None


def test_an_unpaired_difference_has_welchs_interval():
    a, b = [3.0, 5.0, 4.0, 8.0], [1.0, 1.5, 0.5]
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    found = evidence.unpaired(a, b)
    assert (found.low, found.high) == pytest.approx(tuple(interval))
    assert evidence.unpaired(a, [1.0, 1.0]).half_width == evidence.estimate(a).half_width
    assert evidence.unpaired([2.0, 2.0], [1.0, 1.0]) == evidence.Estimate(1.0, 0.0, 2)
    assert (found.n, found.sign, evidence.unpaired(b, a).sign) == (3, 1, -1)
    with pytest.raises(ValueError, match="runs are 4 and 1; allowed: two or more"):
        evidence.unpaired(a, [1.0])


def test_what_is_nothing_in_all_runs_or_ends_at_zero_has_no_sign():
    assert evidence.estimate([0.0, 0.0, 0.0]).sign == 0
    assert evidence.Estimate(1.0, 1.0, 3).sign == evidence.Estimate(-1.0, 1.0, 3).sign == 0


def test_numbers_below_a_tenth_have_two_digits_and_others_two_decimals():
    told = [evidence.digits(value) for value in (0.5, 0.1, 0.0996, 0.00123, 0.0, 12.345)]
    assert told == ["0.50", "0.10", "0.1", "0.0012", "0.00", "12.35"]
