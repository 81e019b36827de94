"""Costs against the papers' formulas, high-precision arithmetic, dp-accounting and OpenDP."""

import math
from decimal import Context, Decimal, localcontext
from itertools import pairwise

import pytest

from mmlib.label_dp.accounting import (
    _divergence,
    _loss_for,
    agreement,
    approximate_epsilon,
    epsilon_of,
    keep_probability,
    noise_for,
    readings,
)

ORDERS = [1.0, 1.001, 1.5, 2.0, 4.0, 8.0, 32.0, 1e4, math.inf]


def test_each_reading_is_what_it_says_and_only_the_theorems_costs_what_is_stated():
    found, k = readings(5.0, 286), 286
    assert round(found["two_logs"], 6) == 0.962372
    assert round(found["one_log"], 6) == 0.659878
    costs = {name: epsilon_of(noise, k, responses=2) for name, noise in found.items()}
    assert costs["two_logs"] == pytest.approx(5)
    assert costs["one_log"] == pytest.approx(10)
    for order in (1, 2):
        noise = found[f"order_{order}"]
        assert epsilon_of(noise, k, responses=2, order=order) == pytest.approx(5)
    assert epsilon_of(found["binary_two"], 2, responses=2) == pytest.approx(5)
    assert epsilon_of(found["binary_one"], 2) == pytest.approx(5)
    assert -math.log(found["no_k_two"]) == pytest.approx(2.5)
    assert -math.log(found["no_k_one"]) == pytest.approx(5)
    assert min(costs, key=costs.get) == "two_logs"


def slow_epsilon(noise, n_classes, order):
    """The divergence from its definition, in 80 digits."""
    with localcontext(Context(prec=80, Emax=10**9, Emin=-(10**9))):
        b = Decimal(noise) / n_classes
        a = 1 - Decimal(noise) + b
        if order == math.inf:
            return float((a / b).ln())
        if order == 1:
            return float((a - b) * (a / b).ln())
        alpha = Decimal(order)
        powers = (a / b) ** alpha * b + (b / a) ** alpha * a + (n_classes - 2) * b
        return float(powers.ln() / (alpha - 1))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n_classes", [2, 10, 286])
@pytest.mark.parametrize("noise", [1e-300, 1e-20, 1e-3, 0.3, 0.962372, 1 - 1e-9])
def test_cost_is_its_definition_to_12_digits_from_tiny_to_full_noise(noise, n_classes, order):
    slow = slow_epsilon(noise, n_classes, order)
    assert epsilon_of(noise, n_classes, order=order) == pytest.approx(slow, rel=1e-12)
    twice = epsilon_of(noise, n_classes, order=order, responses=2)
    assert twice == pytest.approx(2 * slow, rel=1e-12)


@pytest.mark.parametrize(
    ("epsilon", "n_classes", "single", "double", "agree_single", "agree_double"),
    [
        (1, 286, 0.994028, 0.997737, 0.35, 0.35),
        (2, 286, 0.978149, 0.994028, 0.40, 0.35),
        (3, 286, 0.937442, 0.987973, 0.74, 0.36),
        (5, 286, 0.659878, 0.962372, 11.9, 0.49),
        (5, 283, 0.657508, 0.961988, 12.0, 0.50),
        (8, 286, 0.087570, 0.842172, 83.3, 2.8),
        (10, 286, 0.012819, 0.659878, 97.5, 11.9),
    ],
)
def test_golden_noise_at_each_epsilon(
    epsilon, n_classes, single, double, agree_single, agree_double
):
    once, twice = (noise_for(epsilon, n_classes, responses=n) for n in (1, 2))
    assert once == pytest.approx(single, abs=5e-7)
    assert twice == pytest.approx(double, abs=5e-7)
    for noise, percent in ((once, agree_single), (twice, agree_double)):
        digits = 1 if percent >= 1 else 2
        assert round(100 * agreement(noise, n_classes), digits) == percent
    # The lambda of the one-log formula, used for both coins, costs twice what it says.
    assert epsilon_of(once, n_classes, responses=2) == pytest.approx(2 * epsilon, rel=1e-12)


def test_golden_noise_at_each_renyi_order():
    table = {  # order: lambda, keep label in %, pure epsilon; at epsilon 5, K = 286, double RR
        1: (0.5441, 45.8, 10.97),
        1.5: (0.7331, 26.9, 9.31),
        2: (0.8221, 18.1, 8.28),
        4: (0.9155, 8.8, 6.62),
        8: (0.9433, 6.0, 5.80),
        16: (0.9537, 5.0, 5.40),
        32: (0.9582, 4.5, 5.20),
        64: (0.9604, 4.3, 5.10),
        math.inf: (0.9624, 4.1, 5.00),
    }
    for order, (noise, keep, pure) in table.items():
        ours = noise_for(5.0, 286, responses=2, order=order)
        assert round(ours, 4) == noise
        assert round(100 * keep_probability(ours, 286), 1) == keep
        assert round(epsilon_of(ours, 286, responses=2), 2) == pure


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("responses", [1, 2, 500])
@pytest.mark.parametrize("epsilon", [0.01, 0.5, 5.0, 50.0, 300.0])
def test_noise_inverts_cost(epsilon, responses, order):
    noise = noise_for(epsilon, 286, responses=responses, order=order)
    back = epsilon_of(noise, 286, responses=responses, order=order)
    # Close to noise 1 the last digit of the noise itself is worth K / epsilon digits of the cost.
    assert back == pytest.approx(epsilon, rel=1e-13 + 1e-13 * 286 * responses / epsilon)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n_classes", [2, 10, 286])
def test_the_loss_found_for_a_cost_never_costs_more(n_classes, order):
    for epsilon in (0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 7.3, 20.0, 300.0):
        assert _divergence(_loss_for(epsilon, n_classes, order), n_classes, order) <= epsilon


@pytest.mark.parametrize("n_classes", [2, 286])
def test_cost_grows_with_the_order_and_falls_with_the_noise(n_classes):
    noises = [1e-6, 0.01, 0.2, 0.5, 0.9, 0.999]
    table = [[epsilon_of(noise, n_classes, order=a) for a in ORDERS] for noise in noises]
    for row, next_row in pairwise(table):
        assert all(x > y for x, y in zip(row, next_row, strict=True))
    for row in table:
        assert row == sorted(row)


def test_limits():
    assert epsilon_of(1.0, 5) == epsilon_of(1.0, 5, order=1) == epsilon_of(1.0, 5, order=2) == 0
    assert epsilon_of(0.0, 5) == epsilon_of(0.0, 5, order=2) == math.inf
    assert noise_for(0.0, 5) == noise_for(0.0, 5, order=2) == 1
    assert noise_for(math.inf, 5) == 0
    one = epsilon_of(0.5, 4, order=1)
    assert one == pytest.approx(0.5 * math.log(5))
    for step in (1e-3, 1e-6, 1e-9, 1e-12):
        assert 0 < epsilon_of(0.5, 4, order=1 + step) - one < step
    assert epsilon_of(0.5, 4, order=1e9) == pytest.approx(math.log(5), abs=1e-8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: epsilon_of(1.5, 3), r"noise is 1.5; allowed: \[0.0, 1.0\]"),
        (lambda: epsilon_of(math.nan, 3), "noise is nan"),
        (lambda: epsilon_of(0.5, 1), r"n_classes is 1; allowed: \[2, inf\)"),
        (lambda: epsilon_of(0.5, 3, order=0.5), r"order is 0.5; allowed: \[1.0"),
        (lambda: epsilon_of(0.5, 3, responses=0), r"responses is 0; allowed: \[1"),
        (lambda: noise_for(-1.0, 3), "epsilon is -1.0; allowed"),
        (lambda: approximate_epsilon(1.0, 1.0, 0.1), "order is 1.0; allowed"),
        (lambda: approximate_epsilon(1.0, 2.0, 0.0), "delta is 0.0; allowed"),
    ],
)
def test_wrong_values_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- Google's dp-accounting as an independent witness -------------------------------------------


@pytest.fixture(scope="module")
def google():
    dp = pytest.importorskip("dp_accounting")
    from dp_accounting.pld.pld_privacy_accountant import PLDAccountant
    from dp_accounting.rdp.rdp_privacy_accountant import RdpAccountant

    relation = dp.NeighboringRelation.REPLACE_ONE

    def composed(accountant, noise, n_classes, responses):
        # One call each: PLDAccountant passes over the count of a randomized response.
        for _ in range(responses):
            accountant.compose(dp.dp_event.RandomizedResponseDpEvent(noise, n_classes))
        return accountant

    def rdp(noise, n_classes, responses, orders):
        return composed(RdpAccountant(orders, relation), noise, n_classes, responses)

    def pld(noise, n_classes, responses, interval):
        accountant = PLDAccountant(relation, value_discretization_interval=interval)
        return composed(accountant, noise, n_classes, responses)

    return rdp, pld


@pytest.mark.parametrize("responses", [1, 2])
@pytest.mark.parametrize("n_classes", [2, 10, 286])
@pytest.mark.parametrize("noise", [1e-6, 0.1, 0.5, 0.962372, 0.9999])
def test_renyi_costs_are_googles(google, noise, n_classes, responses):
    orders = [1.01, 1.5, 2.0, 4.0, 8.0, 32.0, 200.0]
    accountant = google[0](noise, n_classes, responses, orders)
    ours = [epsilon_of(noise, n_classes, responses=responses, order=a) for a in orders]
    assert list(accountant._rdp) == pytest.approx(ours, rel=1e-9, abs=1e-12)


def test_golden_renyi_costs():
    ours = [epsilon_of(0.962372, 286, responses=2, order=a) for a in (1.5, 2, 4, 8, 32)]
    assert [round(x, 4) for x in ours] == [0.3801, 0.7504, 2.8790, 4.0873, 4.7939]


@pytest.mark.parametrize("responses", [1, 2])
@pytest.mark.parametrize(
    ("noise", "n_classes"), [(0.962372, 286), (0.659878, 286), (0.5, 4), (0.9, 2)]
)
def test_pure_costs_are_googles(google, noise, n_classes, responses):
    # On a grid whose step is the loss itself Google's discretised losses are exact.
    step = epsilon_of(noise, n_classes) * (1 + 1e-12)
    theirs = google[1](noise, n_classes, responses, step).get_epsilon(0.0)
    ours = epsilon_of(noise, n_classes, responses=responses)
    assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("order", [1.5, 2.0, 8.0, 64.0])
def test_conversion_is_googles_and_never_below_the_exact_epsilon(google, order):
    rdp, pld = google
    for delta in (1e-5, 1e-3):
        cost = epsilon_of(0.962372, 286, responses=2, order=order)
        ours = approximate_epsilon(cost, order, delta)
        theirs = rdp(0.962372, 286, 2, [order]).get_epsilon(delta)
        assert ours == pytest.approx(theirs, rel=1e-9)
        assert ours >= pld(0.962372, 286, 2, 1e-4).get_epsilon(delta) - 2e-4
    assert approximate_epsilon(5.0, math.inf, 1e-5) == 5.0


# --- OpenDP as another ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 10, 286])
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 5.0])
def test_one_response_is_opendps(epsilon, n_classes):
    measurements = pytest.importorskip("opendp.measurements")
    from opendp.mod import enable_features

    enable_features("contrib")
    keep = keep_probability(noise_for(epsilon, n_classes), n_classes)
    response = measurements.make_randomized_response(list(range(n_classes)), keep)
    assert response.map(1) == pytest.approx(epsilon, rel=1e-9)
