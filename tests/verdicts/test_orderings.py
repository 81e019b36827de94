"""Orderings of metrics are read as written and decided by intervals over runs."""

import pytest

from mmlib.verdicts.orderings import holds, outcome, sides


def test_claims_read_both_signs_and_miss_missing_metrics():
    run = {"a": 2.0, "b": 1.0}
    assert holds("a > b", [run])
    assert holds("b < a", [run])
    assert not holds("a < b", [run])
    assert holds("a > c", [run]) is None
    assert holds("a > 1.5", [run])  # a number, which an item's claim may have, too
    assert holds("0.5 > a", [run]) is False
    with pytest.raises(ValueError, match=r"ordering is 'a = b'; allowed: 'a > b'"):
        holds("a = b", [run])


def test_a_margin_is_asked_of_the_difference():
    runs = [{"a": a, "b": 1.0} for a in (2.0, 2.1, 1.9)]  # the interval is ± 0.25
    for claim, found in (
        ("a > b + 0.7", "holds"),
        ("a > b + 0.9", "not shown"),
        ("a > b + 1.3", "does not hold"),
        ("a < b + 1.3", "holds"),
        ("a < b + 0.7", "does not hold"),
        ("a >= b + 0.9", "holds"),
        ("a >= b + 1", "does not hold"),
        ("a > c + 1", "not run here"),
    ):
        assert outcome(claim, runs) == found, claim
        held = holds(claim, runs)
        assert held == (None if "c" in claim else found == "holds"), claim
    asked = [outcome(claim, runs, level=0.999) for claim in ("a > b + 0.7", "a > b + 1.3")]
    assert asked == ["not shown", "not shown"]  # of that level the interval is ± 1.82
    assert sides("a < b + 1.3") == ("b", "a")
    for wrong in ("a > b - 1", "a > b + c", "a > b +1"):
        with pytest.raises(ValueError, match="ordering is"):
            sides(wrong)


def test_equal_means_do_not_hold():
    assert not holds("a > b", [{"a": 1.0, "b": 1.0}])


def test_of_two_runs_the_interval_must_exclude_zero():
    assert not holds("a > b", [{"a": 2.0, "b": 0.0}, {"a": 1.0, "b": 0.0}])
    assert holds("a > b", [{"a": 2.0, "b": 0.0}, {"a": 1.9, "b": 0.0}])


def test_a_bound_may_be_reached_and_must_hold_in_every_run():
    kept, broken = {"a": 8.0, "b": 8.0}, {"a": 9.0, "b": 8.0}
    assert holds("a <= b", [kept, kept])
    assert holds("b >= a", [kept])
    assert not holds("a <= b", [kept] * 99 + [broken])
