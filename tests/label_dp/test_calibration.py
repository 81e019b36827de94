"""What is found costs what was asked for and not more, and is the formula where there is one."""

import math

import pytest

from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.bounds import floor_epsilon
from mmlib.label_dp.calibration import noise_at, query_at
from mmlib.label_dp.mechanisms.anchored import Anchored
from mmlib.label_dp.mechanisms.coupled_rr import CoupledRR
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR
from mmlib.label_dp.terms import total_cost

K = 286


def label(x):
    return LabelRR(n_classes=K, noise=x)


def double(x, **changes):
    given = {"pools": "given", "divergence": 0.0, **changes}
    return DoubleRR(n_classes=K, noise_label=x, noise_image=x, **given)


def modelled(x):
    return double(x, divergence=1.0)


def floored(x):
    return double(x, neighbours=10, largest_pool=1980, floor=0.2)


def coupled(x):
    return CoupledRR(n_classes=K, noise=x, divergence=0.0)


def coupled_models(x):
    return CoupledRR(n_classes=K, noise=x, divergence=1.0)


def anchored(x):
    return Anchored(n_classes=K, noise=x, neighbours=10)


@pytest.mark.parametrize("spent", [{}, {"order": 4.0}, {"delta": 1e-4}], ids=str)
@pytest.mark.parametrize(
    ("terms", "notion"),
    [(label, "standard"), *((terms, "population") for terms in
     (double, modelled, floored, coupled, coupled_models, anchored))],
)  # fmt: skip
def test_the_noise_costs_what_was_asked_for_and_a_little_less_costs_more(terms, notion, spent):
    for epsilon in (7.0, 9.24):
        noise = noise_at(epsilon, terms, notion, **spent)
        found, less = (
            total_cost((terms(x),), notion, **spent).epsilon for x in (noise, noise * (1 - 1e-9))
        )
        assert epsilon - 1e-9 < found <= epsilon < less


@pytest.mark.parametrize("epsilon", [0.3, 2.0, 5.0])
def test_formulas_where_there_are_any(epsilon):
    for order in (1.0, 2.0, math.inf):
        once, twice = (noise_for(epsilon, K, responses=n, order=order) for n in (1, 2))
        assert noise_at(epsilon, label, "standard", order=order) == pytest.approx(once, rel=1e-12)
        assert noise_at(epsilon, coupled, "population", order=order) == pytest.approx(once)
        assert noise_at(epsilon, anchored, "population", order=order) == pytest.approx(once)
        assert noise_at(epsilon, double, "population", order=order) == pytest.approx(twice)
    by_hand = K * math.e / (K * math.e + math.expm1(epsilon))  # log(1 + K e^c (1 - x) / x) = eps
    assert noise_at(epsilon, coupled_models, "population") == pytest.approx(by_hand, rel=1e-12)


def test_a_delta_asks_for_less_noise_and_models_for_more():
    pure, relaxed, far = (
        noise_at(5.0, double, "population"), noise_at(5.0, double, "population", delta=1e-3),
        noise_at(5.0, modelled, "population"),
    )  # fmt: skip
    assert relaxed < pure - 1e-3 < far - 2e-3


def test_what_no_noise_reaches_is_named():
    least = floor_epsilon(1.0, K, 0.2, 10, 1980)
    with pytest.raises(ValueError, match=rf"epsilon is 5.0; allowed: \[{least}"):
        noise_at(5.0, floored, "population")
    with pytest.raises(ValueError, match=r"epsilon is 5.0; allowed: \[inf, inf\)"):
        noise_at(5.0, label, "population")  # the image tells the label
    with pytest.raises(ValueError, match=r"epsilon is 2.5; allowed: \[inf, inf\)"):
        query_at(5.0, 0.5, n_classes=K, neighbours=10, clip=1.0)
    with pytest.raises(ValueError, match=r"share is 1.0; allowed: \(0.0, 1.0\)"):
        query_at(5.0, 1.0, n_classes=K, neighbours=10, clip=1.0, order=2.0)


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_querys_budget_is_split_as_asked(share):
    chosen = {"n_classes": K, "neighbours": 10, "clip": 3.0}
    terms = query_at(5.0, share, order=8.0, **chosen)
    assert terms.sigma == pytest.approx(3.0 * math.sqrt(2 * 8.0 / (share * 5.0)))
    assert terms.noise == pytest.approx(noise_for((1 - share) * 5.0, K, order=8.0))
    terms = query_at(5.0, share, delta=1e-5, **chosen)
    assert total_cost((terms,), "population", delta=1e-5).epsilon == pytest.approx(5.0, abs=1e-9)
    alone = query_at(5.0 * share, 1 - 1e-12, delta=1e-5, **chosen)  # nothing left for the label
    assert alone.sigma == pytest.approx(terms.sigma)
