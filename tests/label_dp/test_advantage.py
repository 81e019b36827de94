"""Advantages against enumeration, and the bounds that epsilon sets to them."""

import math

import pytest
import torch
from scipy import stats

from mmlib.label_dp.accounting import epsilon_of, keep_probability, noise_for
from mmlib.label_dp.advantage import advantage, advantage_bound, exact_advantage
from mmlib.label_dp.attacks import label_posterior
from mmlib.label_dp.exact import class_images, double_rr_law, renyi_divergence, response_law
from mmlib.label_dp.mechanisms.double_rr import double_rr

from .chances import generator


def test_golden_bounds_and_advantages():
    assert [round(advantage_bound(e), 3) for e in (1, 2, 5)] == [0.462, 0.762, 0.987]
    noise = noise_for(5.0, 286)
    exact = exact_advantage(response_law(noise, 286))
    assert round(exact, 3) == 0.339
    assert exact == pytest.approx(keep_probability(noise, 286) - 1 / 286, abs=1e-12)
    assert advantage_bound(0.0) == 0
    assert advantage_bound(math.inf) == 1


@pytest.mark.parametrize("seed", range(50))
def test_no_law_leaves_more_advantage_than_its_epsilon_allows(seed):
    g = generator(seed)
    n_classes = int(torch.randint(2, 5, (), generator=g))
    law = torch.rand(n_classes, 6, generator=g, dtype=torch.float64) ** 4 + 1e-3
    law /= law.sum(1, keepdim=True)
    prior = torch.rand(n_classes, generator=g, dtype=torch.float64)
    prior /= prior.sum()
    epsilon = max(renyi_divergence(p, q, math.inf) for p in law for q in law)
    gain = exact_advantage(law, prior)
    blind = prior.max().item()
    assert -1e-12 <= gain <= advantage_bound(epsilon, blind) + 1e-12
    assert advantage_bound(epsilon, blind) <= math.tanh(epsilon / 4) <= advantage_bound(epsilon)


@pytest.mark.parametrize("seed", range(30))
def test_who_knows_more_of_some_records_is_bounded_by_his_average(seed):
    """What is known besides comes in kinds, each with a prior of its own."""
    g = generator(seed)
    law = torch.rand(3, 5, generator=g, dtype=torch.float64) ** 4 + 1e-3
    law /= law.sum(1, keepdim=True)
    kinds = torch.rand(4, 3, generator=g, dtype=torch.float64) ** 3
    kinds /= kinds.sum(1, keepdim=True)
    weights = torch.rand(4, generator=g, dtype=torch.float64)
    weights /= weights.sum()
    epsilon = max(renyi_divergence(p, q, math.inf) for p in law for q in law)
    gain = sum(w * exact_advantage(law, p) for w, p in zip(weights.tolist(), kinds, strict=True))
    blind = (weights * kinds.max(1).values).sum().item()
    assert -1e-12 <= gain <= advantage_bound(epsilon, blind) + 1e-12
    of_each = [exact_advantage(law, p) for p in kinds]
    assert exact_advantage(law, kinds) == pytest.approx(sum(of_each) / 4)


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 5.0, 40.0])
def test_the_bound_is_what_randomized_response_gives_away(epsilon):
    for n_classes in (2, 10, 286):
        gain = keep_probability(noise_for(epsilon, n_classes), n_classes) - 1 / n_classes
        assert advantage_bound(epsilon, 1 / n_classes) == pytest.approx(gain, abs=1e-12)


def test_limits_of_the_bound_with_a_blind_guess():
    assert advantage_bound(0.0, 0.1) == 0
    assert advantage_bound(math.inf, 0.1) == 0.9
    assert advantage_bound(3.0, 1.0) == 0
    even = advantage_bound(3.0, 0.5)
    assert even == pytest.approx(math.tanh(1.5) / 2)
    worst = 1 / (1 + math.exp(1.5))
    assert advantage_bound(3.0, worst) == pytest.approx(math.tanh(0.75))


def test_the_attack_on_a_release_gains_what_enumeration_says():
    n, n_classes, noise = 40_000, 4, 0.5
    labels = torch.arange(n) % n_classes
    released, source = double_rr(labels, noise, n_classes, generator=generator())
    prior = torch.ones(n_classes) / n_classes
    shown = torch.eye(n_classes)[labels[source]]  # the class can be read off the image
    guesses = label_posterior(released, noise, prior, shown=shown, noise_image=noise).argmax(1)
    found = advantage(guesses, torch.zeros_like(labels), labels, confidence=0.999)
    exact = exact_advantage(double_rr_law(class_images(torch.arange(4), 4), noise))
    assert exact == pytest.approx(keep_probability(noise, 4) - 1 / 4)  # exercise 3
    assert found.low < exact < found.high
    assert found.high - found.low < 0.05
    assert found.advantage == pytest.approx(found.success - found.blind)
    assert found.high < advantage_bound(epsilon_of(noise, n_classes, responses=2))


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_intervals_hold_the_truth_as_often_as_they_say(confidence):
    n, held = 200, 0
    for seed in range(200):
        g = generator(seed)
        labels = torch.randint(4, (n,), generator=g)
        guesses = torch.where(torch.rand(n, generator=g) < 0.4, labels, (labels + 1) % 4)
        blind = torch.randint(4, (n,), generator=g)
        found = advantage(guesses, blind, labels, confidence=confidence)
        held += found.low <= 0.4 - 0.25 <= found.high
    assert held >= confidence * 200


def test_the_four_bounds_behind_an_interval_share_its_error():
    record = torch.arange(10)
    guesses, blind, labels = (record >= 3).long(), (record < 9).long(), torch.zeros_like(record)
    found = advantage(guesses, blind, labels, confidence=0.95)
    won, lost = (stats.binomtest(k, 10).proportion_ci(0.975, "exact") for k in (3, 1))
    assert found.low == pytest.approx(won.low - lost.high, abs=1e-9)
    assert found.high == pytest.approx(won.high - lost.low, abs=1e-9)


def test_an_attacker_who_learned_nothing_has_no_advantage():
    labels = torch.arange(1000) % 4
    blind = torch.zeros(1000, dtype=torch.long)
    found = advantage(blind, blind, labels, confidence=0.95)
    assert found.advantage == 0
    assert found.low < 0 < found.high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: advantage(torch.zeros(2), torch.zeros(3), torch.zeros(3), confidence=0.9),
            r"guesses has shape \(2,\); expected \(N=3\)",
        ),
        (lambda: exact_advantage(torch.ones(2, 2) / 2, torch.ones(3)), "prior has shape"),
        (lambda: advantage_bound(1.0, 0.0), "blind is 0.0"),
        (lambda: advantage_bound(-1.0, 0.5), "epsilon is -1.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
