"""Terms cost what they say, say why no bound holds, and add up."""

import dataclasses
import math

import pytest
import torch

from mmlib.label_dp.accounting import approximate_epsilon, epsilon_of
from mmlib.label_dp.bounds import mismatch_cost
from mmlib.label_dp.exact import class_images, response_law
from mmlib.label_dp.mechanisms.anchored import Anchored
from mmlib.label_dp.mechanisms.coupled_rr import CoupledRR
from mmlib.label_dp.mechanisms.double_rr import DoubleRR
from mmlib.label_dp.mechanisms.laplace import Laplace
from mmlib.label_dp.mechanisms.noisy_query import NoisyQuery
from mmlib.label_dp.mechanisms.prior_rr import PriorRR
from mmlib.label_dp.mechanisms.randomized_response import LabelRR
from mmlib.label_dp.mechanisms.redrawn_rr import RedrawnRR
from mmlib.label_dp.mechanisms.two_stage_rr import TwoStageRR
from mmlib.label_dp.terms import _ORDERS, total_cost

from .chances import worst

K, ONE, TWO = 286, 0.6598779, 0.9623725  # lambda of one and of two responses at epsilon 5

QUERY = {"noise": 0.5, "neighbours": 2, "clip": 1.0, "sigma": 1.0}
COINS = {"noise_label": 0.5, "noise_image": 0.5, "pools": "records"}


def double(**changes):
    values = {"n_classes": K, "noise_label": TWO, "noise_image": TWO, "pools": "given"}
    return DoubleRR(**(values | {"divergence": 0.0} | changes))


def near(floor, k, **changes):
    return double(neighbours=k, floor=floor, largest_pool=1980, **changes)


@pytest.mark.parametrize(
    ("terms", "standard", "population"),
    [
        (LabelRR(n_classes=K, noise=ONE), 5, math.inf),
        (double(), 2.5, 5),
        (double(noise_label=ONE), 5, 7.5),  # unequal coins
        (double(divergence=math.inf), 2.5, math.inf),
        (double(divergence=math.inf, noise_image=1.0), 2.5, 2.5),  # no image is kept
        (double(divergence=1.0), 2.5, 2.5 + mismatch_cost(TWO, K, 1.0)),
        (double(pools="released"), 2.5, math.inf),
        (double(pools="records"), math.inf, math.inf),
        (double(table="moves"), 2.5, 5),
        (double(table="stays"), 2.5, math.inf),
        (near(0.0, 10), 2.5, math.inf),
        (near(0.0, 10, pools="records"), math.inf, math.inf),
        (near(0.0, 1980), 2.5, 5),  # the whole pool
        (near(0.2, 10), 2.5, 9.24),
        (near(0.5, 10), 2.5, 7.90),
        (near(0.2, 50), 2.5, 7.87),
        (near(1.0, 10), 2.5, 5),
        (near(0.2, 10, divergence=0.1), 2.5, math.inf),
        (near(0.2, 10, pools="records"), math.inf, math.inf),
        (CoupledRR(n_classes=K, noise=ONE, divergence=0.0), math.inf, 5),
        (CoupledRR(n_classes=K, noise=ONE), math.inf, math.inf),
        (CoupledRR(n_classes=K, noise=1.0), 0, 0),
        (RedrawnRR(n_classes=K, noise_label=TWO, noise_image=TWO), 5, 5),
        (RedrawnRR(n_classes=K, noise_label=ONE, noise_image=TWO), 7.5, 7.5),
        (Anchored(n_classes=K, noise=ONE, neighbours=3), 5, 5),
        (NoisyQuery(n_classes=K, noise=ONE, neighbours=3, clip=1, sigma=1), 5, math.inf),
        (PriorRR(n_classes=K, epsilon=5.0), 5, math.inf),
        (TwoStageRR(n_classes=K, epsilon=5.0), 5, math.inf),
        (Laplace(n_classes=K, epsilon=5.0), 5, math.inf),
    ],
)
def test_pure_cost_under_each_notion_and_a_reason(terms, standard, population):
    for notion, cost in (("standard", standard), ("population", population)):
        found = terms.cost(notion)
        assert found.epsilon == pytest.approx(cost, abs=5e-3)
        assert len(found.reason) > 20
        assert found.order == math.inf
        for order in (1.0, 2.0, 8.0):  # orders only help, or cannot either
            assert terms.cost(notion, order).epsilon <= found.epsilon + 1e-12


def test_reasons_differ_where_the_bound_is_another_or_lost_for_another_cause():
    lost = [
        LabelRR(n_classes=K, noise=ONE), double(table="stays"), double(pools="released"),
        double(pools="records"), double(divergence=math.inf), near(0.0, 10),
        near(0.2, 10, divergence=0.1), NoisyQuery(n_classes=K, noise=ONE, neighbours=3, clip=1,
        sigma=1),
    ]  # fmt: skip
    reasons = {terms.cost("population").reason for terms in lost}
    assert len(reasons) == len(lost)
    assert "near" in near(0.0, 10).cost("population").reason
    known = [double(), double(pools="records"), near(0.0, 10, pools="records")]
    reasons |= {terms.cost("standard").reason for terms in known}
    reasons |= {double().cost("population").reason}
    assert len(reasons) == len(lost) + len(known)  # the pools' own is the same for both notions


def test_terms_are_frozen_and_checked():
    with pytest.raises(dataclasses.FrozenInstanceError):
        double().noise_image = 0.0
    for wrong, message in (
        ({"pools": "public"}, "pools is 'public'; allowed"),
        ({"table": "away"}, "table is 'away'; allowed"),
        ({"largest_pool": 3}, "largest_pool needs neighbours"),
        ({"neighbours": 3, "floor": 0.2}, "floor needs neighbours and largest_pool"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"n_classes": 1}, "n_classes is 1; allowed"),
    ):
        with pytest.raises(ValueError, match=message):
            double(**wrong)
    with pytest.raises(ValueError, match="notion is 'local'"):
        double().cost("local")


@pytest.mark.parametrize(
    ("terms", "values", "message"),
    [
        (LabelRR, {"noise": 1.5}, r"noise is 1.5; allowed: \[0.0, 1.0\]"),
        (CoupledRR, {"noise": math.nan}, "noise is nan"),
        (CoupledRR, {"noise": 0.5, "divergence": -1.0}, "divergence is -1.0"),
        (Anchored, {"noise": -0.1, "neighbours": 3}, "noise is -0.1"),
        (Anchored, {"noise": 0.5, "neighbours": 0}, "neighbours is 0"),
        (NoisyQuery, {**QUERY, "clip": 0.0}, r"clip is 0.0; allowed: \(0.0, inf\)"),
        (NoisyQuery, {**QUERY, "sigma": -1.0}, "sigma is -1.0"),
        (NoisyQuery, {**QUERY, "sigma": math.inf}, "sigma is inf"),
        (Laplace, {"epsilon": 0.0}, "epsilon is 0.0"),
        (Laplace, {"epsilon": 701.0}, "epsilon is 701.0"),
        (PriorRR, {"epsilon": 701.0}, "epsilon is 701.0"),
        (TwoStageRR, {"epsilon": 701.0}, "epsilon is 701.0"),
        (DoubleRR, {**COINS, "noise_label": 2.0}, "noise_label is 2.0"),
        (DoubleRR, {**COINS, "noise_image": -1.0}, "noise_image is -1.0"),
        (DoubleRR, {**COINS, "neighbours": 1, "largest_pool": 5, "floor": 1.5}, "floor is 1.5"),
        (DoubleRR, {**COINS, "neighbours": 1, "largest_pool": 0}, "largest_pool is 0"),
    ],
)
def test_what_no_mechanism_can_do_is_refused_before_a_ledger_counts_it(terms, values, message):
    with pytest.raises(ValueError, match=message):
        terms(n_classes=3, **values)


@pytest.mark.parametrize("terms", [PriorRR, TwoStageRR, Laplace])
def test_no_mechanism_promises_less_than_nothing(terms):
    for epsilon in (-1.0, math.nan):
        with pytest.raises(ValueError, match=f"epsilon is {epsilon}"):
            terms(n_classes=3, epsilon=epsilon)


def test_sums_and_deltas_are_googles():
    dp = pytest.importorskip("dp_accounting")
    from dp_accounting.rdp.rdp_privacy_accountant import RdpAccountant

    terms = (double(), NoisyQuery(n_classes=K, noise=0.9, neighbours=3, clip=1.0, sigma=3.0))
    accountant = RdpAccountant(_ORDERS, dp.NeighboringRelation.REPLACE_ONE)
    for noise in (TWO, TWO, 0.9):
        accountant.compose(dp.dp_event.RandomizedResponseDpEvent(noise, K))
    gaussian = RdpAccountant(_ORDERS)
    gaussian.compose(dp.dp_event.GaussianDpEvent(3.0 / 2))  # two features differ by 2
    rdp = accountant._rdp + gaussian._rdp
    for order, theirs in zip(_ORDERS[::7], rdp[::7], strict=True):
        ours = total_cost(terms, "population", order=order).epsilon
        assert ours == pytest.approx(theirs, rel=1e-9)
    accountant._rdp = rdp
    for delta in (1e-6, 1e-3):
        ours = total_cost(terms, "population", delta=delta)
        assert ours.delta == delta
        assert ours.epsilon == pytest.approx(accountant.get_epsilon(delta), rel=1e-9)
    assert total_cost(terms, "population").epsilon == math.inf
    # A delta never costs: randomized response has its pure bound beside it.
    assert total_cost((double(),), "population", delta=1e-9).epsilon <= 5.0 + 1e-5


@pytest.mark.parametrize("sigma", [0.7, 3.0, 30.0])
def test_no_order_in_between_or_beyond_would_give_a_much_lower_epsilon(sigma):
    query = NoisyQuery(n_classes=K, noise=1.0, neighbours=3, clip=1.0, sigma=sigma)
    every = [1 + 10 ** (i / 100) for i in range(-200, 400)]
    least = min(
        approximate_epsilon(query.cost("population", order).epsilon, order, 1e-5) for order in every
    )
    found = total_cost((query,), "population", delta=1e-5).epsilon
    assert least * (1 - 1e-9) <= found <= least * 1.01


# --- Several releases where images are private: each record has one image for all of them ---------


def shown_twice(of_class, first, second):
    """Law (classes, images, images) of what one private image shows in two releases."""
    images = class_images(torch.arange(2).repeat_interleave(of_class), 2)
    keep = torch.eye(2 * of_class, dtype=torch.float64)
    drawn = images.mean(0).expand_as(keep)
    one, two = ((1 - noise) * keep + noise * drawn for noise in (first, second))
    return torch.einsum("yx,xa,xb->yab", images, one, two)


def swapped(noise_image):
    return DoubleRR(
        n_classes=2, noise_label=0.9, noise_image=noise_image, pools="given", divergence=0.0
    )


@pytest.mark.parametrize("spent", [{}, {"order": 2.0}, {"delta": 1e-6}])
def test_releases_that_may_both_show_a_private_image_have_no_bound_together(spent):
    """In ever larger classes the image halves cost ever more than their sum, by enumeration."""
    half = epsilon_of(0.5, 2)
    exact = [worst(shown_twice(n, 0.5, 0.5)) for n in (1, 2, 5, 100)]
    assert exact == pytest.approx([math.log(1 + 2 * 2 + 4 * n) for n in (1, 2, 5, 100)])
    assert exact[0] == pytest.approx(2 * half)  # a class of one image: the label itself
    assert all(cost > 2 * half + 0.3 for cost in exact[1:])
    coupled = CoupledRR(n_classes=2, noise=0.5, divergence=0.0)
    for pair in ((swapped(0.5), swapped(0.5)), (swapped(0.5), coupled), (coupled, coupled)):
        found = total_cost(pair, "population", **spent)
        assert found.epsilon == math.inf
        assert "twice" in found.reason
        assert total_cost(pair[:1], "population", **spent).epsilon < math.inf
    assert total_cost((swapped(0.5), swapped(0.5)), "standard", **spent).epsilon < math.inf


def test_releases_of_which_one_may_show_a_private_image_add():
    one, never = swapped(0.5), swapped(1.0)
    assert worst(shown_twice(5, 0.5, 1.0)) == pytest.approx(epsilon_of(0.5, 2))
    others = (
        never, never, CoupledRR(n_classes=2, noise=1.0), Anchored(n_classes=2, noise=0.7,
        neighbours=1), NoisyQuery(n_classes=2, **QUERY),
    )  # fmt: skip
    for order in (2.0, 8.0):
        parts = [t.cost("population", order).epsilon for t in (one, *others)]
        assert total_cost((one, *others), "population", order=order).epsilon == sum(parts)
        assert sum(parts) < math.inf
    # With the label's responses written down, too: a second release of the label, near an anchor.
    label = response_law(0.9, 2)[:, :, None] * response_law(0.7, 2)[:, None]
    both = torch.einsum("yij,yx->yijx", label, shown_twice(5, 0.5, 1.0).sum(2))
    claim = total_cost((one, others[3]), "population").epsilon
    assert worst(both) == pytest.approx(claim)
