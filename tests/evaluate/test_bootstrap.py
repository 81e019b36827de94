import math

import pytest
import torch

from mmlib.evaluate.bootstrap import Interval, bootstrap, difference


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_of_a_mean_of_independent_samples_it_is_the_normal_interval():
    x = torch.randn(400, generator=seeded(), dtype=torch.float64)
    found = bootstrap(lambda rows: x[rows].mean().item(), 400, repeats=2000, generator=seeded(1))
    error = x.std(correction=0).item() / 20
    assert found.deviation == pytest.approx(error, rel=0.06)
    assert found.low == pytest.approx(x.mean().item() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(x.mean().item() + 1.96 * error, abs=0.2 * error)


def test_copies_of_a_sample_add_nothing_when_they_are_one_unit():
    x = torch.randn(50, generator=seeded(), dtype=torch.float64).repeat_interleave(20)
    unit = torch.arange(50).repeat_interleave(20)

    def mean(rows):
        return x[rows].mean().item()

    as_samples = bootstrap(mean, 1000, repeats=1000, generator=seeded(1))
    as_units = bootstrap(mean, 1000, repeats=1000, generator=seeded(1), units=[unit])
    exact = x[::20].std(correction=0).item() / math.sqrt(50)
    assert as_units.deviation == pytest.approx(exact, rel=0.1)
    assert as_samples.deviation == pytest.approx(exact / math.sqrt(20), rel=0.1)


def test_covers_the_truth_where_pairs_share_images_and_pairs_alone_do_not():
    """Score: mean over pairs of a_i + a_j; its truth is 0."""
    covered = {"image": 0, "pair": 0}
    first, second = (
        side.flatten() for side in torch.meshgrid(*[torch.arange(20)] * 2, indexing="ij")
    )
    for world in range(60):
        a = torch.randn(20, generator=seeded(world))
        value = a[first] + a[second]
        for name, units in (("image", [first, second]), ("pair", [])):
            found = bootstrap(
                lambda rows, v=value: v[rows].mean().item(), 400, repeats=100,
                generator=seeded(100 + world), units=units,
            )  # fmt: skip
            covered[name] += found.low <= 0 <= found.high
    assert covered["image"] >= 50
    assert covered["pair"] <= 35


def test_weights_are_products_of_the_units_counts():
    """Two images: the four pairs of them and the counts that each draw can give."""
    first, second = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    seen = set()

    def look(rows):
        seen.add(tuple(torch.bincount(rows, minlength=4).tolist()))
        return 0.0

    bootstrap(look, 4, repeats=50, generator=seeded(), units=[first, second])
    assert seen == {(4, 0, 0, 0), (1, 1, 1, 1), (0, 0, 0, 4)}


def test_numbers_that_no_sample_has_are_no_units():
    """Images of a larger set: only those that occur are drawn."""
    value = torch.tensor([1.0, 2.0, 4.0, 8.0])

    def found(unit):
        return bootstrap(
            lambda rows: value[rows].mean().item(), 4, repeats=100, generator=seeded(), units=[unit]
        )

    assert found(torch.tensor([3, 50, 7, 900])) == found(torch.tensor([0, 2, 1, 3]))


def test_a_resample_without_samples_counts_nothing():
    """One pair of two images: it is there only if both are drawn."""
    pair = torch.tensor([0]), torch.tensor([1])
    found = bootstrap(lambda rows: 7.0, 1, repeats=20, generator=seeded(), units=pair)
    assert (found.low, found.high, found.deviation) == (7.0, 7.0, 0.0)


def test_resamples_without_a_score_are_left_out_and_errors():
    x = torch.tensor([0.0, 1.0])

    def mean_if_both(rows):
        return x[rows].mean().item() if len(rows.unique()) == 2 else torch.nan

    found = bootstrap(mean_if_both, 2, repeats=50, generator=seeded())
    assert (found.low, found.high, found.deviation) == (0.5, 0.5, 0)
    with pytest.raises(ValueError, match="the score is defined on 0 resamples"):
        bootstrap(lambda rows: torch.nan, 2, repeats=5, generator=seeded())
    with pytest.raises(ValueError, match="units"):
        bootstrap(mean_if_both, 2, repeats=5, generator=seeded(), units=[torch.arange(3)])


def test_of_two_resamples_the_deviation_is_the_samples_and_the_ends_lie_between():
    scores = iter((1.0, 3.0))
    found = bootstrap(lambda rows: next(scores), 5, repeats=2, generator=seeded())
    assert (found.low, found.high) == pytest.approx((1.05, 2.95))
    assert found.deviation == pytest.approx(2**0.5)  # by n - 1


def test_an_interval_is_on_a_side_of_what_it_does_not_hold():
    around = Interval(-1.0, 2.0, 0.7)
    assert [around.side(value) for value in (-1.5, -1.0, 0.0, 2.0, 2.5)] == [1, 0, 0, 0, -1]
    assert Interval(0.5, 2.0, 0.4).side() == 1
    assert Interval(-2.0, -0.5, 0.4).side() == -1


def test_a_difference_is_the_firsts_less_the_others_on_the_same_resamples():
    x = torch.randn(100, generator=seeded(), dtype=torch.float64)
    y = x - 0.5 + 0.01 * torch.randn(100, generator=seeded(1), dtype=torch.float64)

    def mean(values):
        return lambda rows: values[rows].mean().item()

    options = {"repeats": 200, "units": [torch.arange(100) // 2]}
    gap, around = difference(mean(x), mean(y), 100, generator=seeded(2), **options)
    assert gap == pytest.approx((x - y).mean().item())
    assert around.low < gap < around.high
    assert around.high - around.low < 0.01  # of either mean it is over a quarter
    same = bootstrap(mean(x - y), 100, generator=seeded(2), **options)
    assert (around.low, around.high) == pytest.approx((same.low, same.high))
