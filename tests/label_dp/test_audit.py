"""The audit clears what is right, as often as it says, and catches what is wrong."""

import math
import sys

import pytest
import torch
from scipy import stats

from mmlib.label_dp.accounting import epsilon_of, noise_for
from mmlib.label_dp.audit import audit, clopper_pearson
from mmlib.label_dp.bounds import floor_epsilon
from mmlib.label_dp.mechanisms.coupled_rr import coupled_rr
from mmlib.label_dp.mechanisms.double_rr import double_rr
from mmlib.label_dp.mechanisms.laplace import laplace_labels, laplace_posterior
from mmlib.label_dp.mechanisms.prior_rr import rr_with_prior
from mmlib.label_dp.mechanisms.randomized_response import randomized_response
from mmlib.label_dp.mechanisms.swap_images import swap_images
from mmlib.label_dp.mechanisms.two_stage_rr import two_stage_rr
from mmlib.label_dp.pools import draw_near

K, SUPPORT, N = 4, 2, 8
LABELS = torch.arange(K).repeat_interleave(SUPPORT)  # the world: 8 images, 2 of each class


def one_response(noise):
    def mechanism(label, n, g):
        return randomized_response(torch.full((n,), label), noise, K, generator=g)

    return mechanism


def images_of(label, n, g):
    """Images of a class, by the population's own law."""
    return label * SUPPORT + torch.randint(SUPPORT, (n,), generator=g)


def two_responses(noise):
    def mechanism(label, n, g):
        records = images_of(label, n, g)
        released, source = double_rr(
            LABELS, noise, K, include_self=True, records=records, generator=g
        )
        return released * N + source

    return mechanism


def bound(mechanism, inputs=range(K), n_outcomes=K * N, *, draws, seed=0, confidence=0.99):
    g = torch.Generator().manual_seed(seed)
    return audit(mechanism, inputs, n_outcomes, draws=draws, confidence=confidence, generator=g)


# --- It keeps its confidence --------------------------------------------------------------------


@pytest.mark.parametrize("error", [0.2, 0.01, 1e-4])
@pytest.mark.parametrize("draws", [1, 10, 200])
def test_intervals_miss_no_chance_more_often_than_stated(draws, error):
    counts = torch.arange(draws + 1)
    low, high = clopper_pearson(counts, draws, error)
    for chance in (0.0, 1e-6, 0.003, 0.1, 0.5, 0.77, 0.9999, 1.0):
        weights = torch.from_numpy(stats.binom.pmf(counts.numpy(), draws, chance))
        assert weights[low > chance].sum() <= error * (1 + 1e-9)
        assert weights[high < chance].sum() <= error * (1 + 1e-9)


def test_intervals_are_scipys():
    counts = torch.tensor([0, 1, 7, 99, 100])
    low, high = clopper_pearson(counts, 100, 0.025)
    for i, count in enumerate(counts.tolist()):
        theirs = stats.binomtest(count, 100).proportion_ci(0.95, method="exact")
        assert (low[i].item(), high[i].item()) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_both_ends_of_all_intervals_share_the_error():
    def counted(x, n, g):  # x of n draws give 1
        return (torch.arange(n) < x).long()

    found = bound(counted, (900, 100), 2, draws=1000, confidence=0.95)
    low, high = clopper_pearson(torch.tensor([900, 100]), 1000, 0.05 / (2 * 4))
    assert found == pytest.approx((low[0] / high[1]).log().item())


def test_draws_are_made_in_batches_and_no_more_than_asked_for(monkeypatch):
    monkeypatch.setattr(sys.modules["mmlib.label_dp.audit"], "_BATCH", 300)
    made = []

    def counted(x, n, g):
        made.append(n)
        return torch.zeros(n, dtype=torch.long)

    bound(counted, (0, 1), 2, draws=1000)
    assert made == [300, 300, 300, 100] * 2


def test_choosing_among_many_events_is_paid_for():
    def nothing(label, n, g):  # releases noise alone, so any positive bound is wrong
        return torch.randint(500, (n,), generator=g)

    found = [
        bound(nothing, range(2), 500, draws=20_000, seed=s, confidence=0.9) for s in range(100)
    ]
    assert sum(x > 0 for x in found) <= 10
    low, high = clopper_pearson(torch.tensor([70, 20]), 20_000, 0.1 / 4)
    assert low[0] > high[1]  # without the payment such counts, common among 500, would convict


@pytest.mark.parametrize(
    ("mechanism", "claim"),
    [
        (one_response(0.5), epsilon_of(0.5, K)),
        (two_responses(0.5), epsilon_of(0.5, K, responses=2)),
        (one_response(0.99), epsilon_of(0.99, K)),
    ],
    ids=["one", "two", "little"],
)
def test_with_enough_draws_the_bound_comes_close_to_the_claim(mechanism, claim):
    found = bound(mechanism, draws=1_000_000)
    assert claim - 0.1 < found <= claim


SKEW = torch.tensor([0.5, 0.3, 0.15, 0.05])


def coupled(label, n, g):
    records = images_of(label, n, g)
    released, source = coupled_rr(LABELS, 0.5, K, include_self=True, records=records, generator=g)
    return released * N + source


def floored(label, n, g):
    return swap_images(
        LABELS, 0.8, K, features=torch.arange(float(N))[:, None], neighbours=1,
        floor=0.3, include_self=True, records=images_of(label, n, g), generator=g,
    )  # fmt: skip


def with_prior(label, n, g):
    return rr_with_prior(torch.full((n,), label), SKEW, 1.0, generator=g)


def second_stage(label, n, g):
    labels, first = torch.full((2 * n,), label), torch.arange(2 * n) < n
    labels[first] = 0  # of other people
    released = two_stage_rr(labels, first, lambda r: SKEW.expand(n, K), K, 1.0, generator=g)
    return released[n:]


def best_of_laplace(label, n, g):
    noisy = laplace_labels(torch.full((n,), label), K, 1.0, generator=g)
    return laplace_posterior(noisy, 1.0).argmax(1)


def anchored(label, n, g):
    line = torch.arange(float(N))[:, None]
    released = randomized_response(torch.full((n,), label), 0.5, K, generator=g)
    shown = draw_near(released, line[released * SUPPORT], LABELS, line, K, 1, generator=g)
    return released * N + shown


VARIANTS = {
    "coupled": (coupled, K * N, epsilon_of(0.5, K)),
    "floor": (floored, N, floor_epsilon(0.8, K, 0.3, 1, SUPPORT, noise_label=1.0)),
    "anchor": (anchored, K * N, epsilon_of(0.5, K)),
    "prior": (with_prior, K, 1.0),
    "second stage": (second_stage, K, 1.0),
    "laplace": (best_of_laplace, K, 1.0),
}
RIGHT = {
    "one": (one_response(0.5), K, epsilon_of(0.5, K)),
    "two": (two_responses(0.8), K * N, epsilon_of(0.8, K, responses=2)),
    **VARIANTS,
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_stay_below_their_claims_and_leak_something(name):
    mechanism, n_outcomes, claim = VARIANTS[name]
    found = bound(mechanism, n_outcomes=n_outcomes, draws=100_000)
    assert 0.3 * claim < found <= claim


@pytest.mark.parametrize("name", RIGHT)
def test_right_mechanisms_never_exceed_their_claim_in_1000_audits_at_99_percent(name):
    mechanism, n_outcomes, claim = RIGHT[name]
    audits, draws, g = 1000, 500, torch.Generator().manual_seed(1)
    drawn = [mechanism(label, audits * draws, g).view(audits, draws) for label in range(K)]
    found = [
        bound(lambda label, n, g, k=k: drawn[label][k], n_outcomes=n_outcomes, draws=draws)
        for k in range(audits)
    ]
    assert max(found) <= claim
    assert sum(x > 0 for x in found) > 0.2 * audits  # and they are no empty bounds


# --- It catches what is wrong -------------------------------------------------------------------


def test_catches_the_formula_of_the_prose_on_the_pseudocodes_mechanism():
    noise = 0.5
    claim = math.log((1 - noise) / (noise / (K - 1)))  # as if the own class were left out
    assert bound(one_response(noise), n_outcomes=K, draws=20_000) > claim


def test_catches_the_mechanism_of_the_prose_under_the_pseudocodes_formula():
    noise = 0.95

    def another_class(label, n, g):
        shift = torch.randint(1, K, (n,), generator=g)
        return torch.where(torch.rand(n, generator=g) < noise, (label + shift) % K, label)

    assert bound(another_class, n_outcomes=K, draws=20_000) > 2 * epsilon_of(noise, K)


def test_catches_the_noise_of_one_response_claimed_for_two():
    claim = 2.0
    assert bound(two_responses(noise_for(claim, K)), draws=20_000) > claim
    assert bound(two_responses(noise_for(claim, K, responses=2)), draws=20_000) < claim


def test_catches_a_coin_used_twice():
    noise = 0.9

    def one_coin(label, n, g):
        record = images_of(label, n, g)
        swapped = torch.rand(n, generator=g) < noise
        released = torch.where(swapped, torch.randint(K, (n,), generator=g), label)
        drawn = images_of(torch.randint(K, (n,), generator=g), n, g)
        return released * N + torch.where(swapped, drawn, record)

    assert bound(one_coin, draws=200_000) > epsilon_of(noise, K, responses=2)


def test_catches_self_in_the_pool_of_a_nearest_neighbour_draw():
    # Standard notion: record 0's image is known, its label is not. If it may stand in for itself it
    # pushes another image out of the k nearest, but only of the class that it belongs to.
    features = torch.arange(8.0)[:, None]

    def image_of_record_0(include_self):
        def mechanism(label, n, g):
            labels = torch.tensor([label, 0, 0, 0, 1, 1, 1, 1])
            return swap_images(
                labels,
                0.9,
                2,
                features=features,
                neighbours=2,
                include_self=include_self,
                records=torch.zeros(n, dtype=torch.long),
                generator=g,
            )

        return mechanism

    few, many = (bound(image_of_record_0(True), range(2), 8, draws=n) for n in (10_000, 1_000_000))
    assert few > 5
    assert many > few + 4  # no limit: it grows with the logarithm of the draws
    assert bound(image_of_record_0(False), range(2), 8, draws=10_000) == 0


def test_wrong_arguments_are_named():
    right = one_response(0.5)

    def call(mechanism=right, inputs=range(2), **options):
        options = {"draws": 10, "confidence": 0.9} | options
        return audit(mechanism, inputs, K, generator=torch.Generator(), **options)

    with pytest.raises(ValueError, match="number of inputs is 1; allowed"):
        call(inputs=range(1))
    with pytest.raises(ValueError, match=r"largest outcome is 7; allowed: \[0, 3\]"):
        call(mechanism=lambda label, n, g: torch.arange(n) % 8)
    with pytest.raises(ValueError, match="mechanism returned 3 outcomes; allowed: 10"):
        call(mechanism=lambda label, n, g: torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"confidence is 1\.0; allowed"):
        call(confidence=1.0)
