"""What a hacker scores on the way is measured on clean parts, and who chooses sees no test pair."""

import pytest

from mmlib.data.text import WordTokenizer
from mmlib.mem.course import Course, Point, best
from mmlib.mem.hacker import evaluate
from mmlib.mem.pairs import Pairs


@pytest.fixture
def pairs(make_pairs):
    parts = [make_pairs(n, seed=n) for n in (12, 10, 8)]
    return Pairs(*parts, WordTokenizer.fit(["a"]))


def test_each_part_is_scored_as_the_model_is_by_then(make_model, pairs):
    model = make_model()
    course = Course(model, pairs, steps=7, times=3)
    for step in range(8):
        if step == 5:
            model.projections[0].weight.data.neg_()  # the last become the first
        course(step)
    assert [point.step for point in course.points] == [0, 2, 4, 6, 7]
    for point, scored in ((course.points[2], make_model()), (course.points[4], model)):
        assert point.test == evaluate(scored, *pairs.test)
        assert point.known == evaluate(scored, *pairs.known)
    assert course.points[2].test != course.points[4].test
    assert course.points[4].test != course.points[4].known


def test_without_a_known_part_none_is_scored(make_model, pairs):
    course = Course(make_model(), Pairs(pairs.train, pairs.test, None, pairs.tokenizer), 4, 1)
    for step in range(1, 5):
        course(step)
    assert [(point.step, point.known) for point in course.points] == [(4, None)]


def point(step, test, known):
    test, known = (dict(zip(KEYS, ranks, strict=True)) for ranks in (test, known))
    return Point(step, test, known)


KEYS = ("median_rank.i2t", "median_rank.t2i")


def test_who_stops_by_known_pairs_does_not_look_at_test_pairs():
    points = [point(1, (9, 9), (4, 4)), point(2, (1, 1), (5, 5)), point(3, (2, 2), (4, 4))]
    assert best(points, "known") == points[0]  # the first of equals
    assert best(points, "test") == points[1]


def test_both_directions_count():
    """As ratios: the product is least at (2, 12), the sum at (5, 5)."""
    ranks = (1, 30), (2, 12), (5, 5), (30, 1)
    points = [point(step, test, (9, 9)) for step, test in enumerate(ranks)]
    assert best(points, "test").step == 1


def test_wrong_values_are_named(make_model, pairs):
    with pytest.raises(ValueError, match="part is 'train'; allowed"):
        best([], "train")
    with pytest.raises(ValueError, match="times is 0"):
        Course(make_model(), pairs, 4, 0)
