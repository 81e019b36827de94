"""Attacks against enumeration, their bounds, and what is known of the best attacker."""

import math

import pytest
import torch
from scipy import stats

from mmlib.label_dp.accounting import epsilon_of, keep_probability, noise_for
from mmlib.label_dp.attacks import (
    advantage,
    advantage_bound,
    canary_bound,
    exact_advantage,
    label_posterior,
    plant_canaries,
    recognised,
    table_posterior,
)
from mmlib.label_dp.exact import class_images, double_rr_law, renyi_divergence, response_law
from mmlib.label_dp.mechanisms import double_rr, randomized_response


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


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


@pytest.mark.parametrize("noise", [0.2, 0.9])
def test_posterior_is_bayes_rule_over_the_enumerated_law(noise):
    images = torch.rand(3, 5, generator=generator(), dtype=torch.float64)
    images /= images.sum(1, keepdim=True)
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    law = double_rr_law(images, noise)
    expected = (prior[:, None, None] * law).permute(1, 2, 0).flatten(0, 1)
    expected /= expected.sum(1, keepdim=True)
    label, image = torch.cartesian_prod(torch.arange(3), torch.arange(5)).unbind(1)
    found = label_posterior(label, noise, prior, shown=7 * images.T[image], noise_image=noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    alone = label_posterior(torch.arange(3), noise, prior)
    expected = (prior[:, None] * response_law(noise, 3)).T
    torch.testing.assert_close(alone, expected / expected.sum(1, keepdim=True))
    assert torch.allclose(label_posterior(torch.arange(3), 1.0, prior), prior.expand(3, 3))


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


def test_a_table_in_place_is_read_like_a_label():
    g = generator()
    labels = torch.randint(3, (600,), generator=g)
    table = torch.randn(600, 3, generator=g) + 3 * torch.eye(3)[labels]
    found = table_posterior(table[:400], labels[:400], table[400:], 3, seed=0)
    assert torch.allclose(found.sum(1), torch.ones(200, dtype=torch.float64))
    assert (found.argmax(1) == labels[400:]).double().mean() > 0.9
    # with the released label as well it can only become better, in expectation
    noise = noise_for(2.0, 3)
    released = randomized_response(labels[400:], noise, 3, generator=g)
    both = label_posterior(released, noise, found.clamp(min=1e-6)).argmax(1)
    assert (both == labels[400:]).sum() >= (found.argmax(1) == labels[400:]).sum()


def test_a_table_of_many_rare_classes_is_read_and_codes_have_no_order():
    """150 classes of some ten known rows each, told by one number; then classes told by a code."""
    g = generator()
    labels = torch.randint(150, (3_000,), generator=g)
    table = labels[:, None] + 0.01 * torch.randn(3_000, 1, generator=g)
    found = table_posterior(table[:1_500], labels[:1_500], table[1_500:], 150, seed=0)
    assert (found.argmax(1) == labels[1_500:]).double().mean() > 0.6
    codes = torch.randint(60, (3_000, 1), generator=g)
    sides = torch.randint(2, (60,), generator=g)[codes[:, 0]]
    share = {
        columns: (
            table_posterior(
                codes[:1_500], sides[:1_500], codes[1_500:], 2, categorical=columns, seed=0
            ).argmax(1)
            == sides[1_500:]
        )
        .double()
        .mean()
        for columns in ((), (0,))
    }
    assert share[0,] > max(0.97, share[()] + 0.03)


def test_own_images_are_recognised():
    images = torch.arange(40).reshape(10, 1, 2, 2)
    source = torch.tensor([0, 3, 2, 2, 4, 9, 6, 7, 7, 9])
    assert recognised(images[source], images).tolist() == (source == torch.arange(10)).tolist()
    with pytest.raises(ValueError, match="shown has shape"):
        recognised(images, images[:3])


def test_canaries_are_wrong_distinct_and_exchangeable():
    labels = torch.randint(4, (40_000,), generator=generator(1))
    found = plant_canaries(labels, 4, 30_000, generator=generator())
    true = labels[found.records]
    assert len(found.records.unique()) == 30_000
    assert (found.planted != true).all()
    assert (found.decoys != true).all()
    assert (found.planted != found.decoys).all()
    changed = found.labels != labels
    assert changed.sum() == 30_000
    assert torch.equal(found.labels[found.records], found.planted)
    pairs = ((found.planted - true) % 4 * 4 + (found.decoys - true) % 4).bincount(minlength=16)
    assert stats.chisquare(pairs[pairs > 0].numpy()).pvalue > 1e-4
    assert int((pairs > 0).sum()) == 6


def test_a_margin_is_the_planted_labels_score_less_the_decoys():
    canaries = plant_canaries(torch.zeros(20, dtype=torch.long), 4, 8, generator=generator())
    scores = torch.rand(8, 4, generator=generator(1))
    expected = [
        scores[i, a].item() - scores[i, b].item()
        for i, (a, b) in enumerate(zip(canaries.planted, canaries.decoys, strict=True))
    ]
    torch.testing.assert_close(canaries.margins(scores), torch.tensor(expected).double())
    of_label = canaries.margins(torch.eye(4)[canaries.labels[canaries.records]])
    assert of_label.tolist() == [1.0] * 8


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_canaries_bound_epsilon_from_below_and_come_close(epsilon):
    n_classes, labels = 10, torch.arange(20_000) % 10
    noise = noise_for(epsilon, n_classes)
    above, bounds = 0, []
    for seed in range(40):
        g = generator(seed)
        canaries = plant_canaries(labels, n_classes, 5000, generator=g)
        released = randomized_response(canaries.labels, noise, n_classes, generator=g)
        seen = torch.eye(n_classes)[released[canaries.records]]
        found = canary_bound(canaries.margins(seen), confidence=0.9)
        bounds.append(found.lower_bound)
        above += found.lower_bound > epsilon
    assert above <= 4
    assert sum(bounds) / 40 > 0.5 * epsilon


def test_a_leak_in_few_canaries_is_found_by_abstaining():
    margins = torch.cat([torch.full((100,), 5.0), torch.tensor([1.0, -1.0]).repeat(4950)])
    found = canary_bound(margins, confidence=0.95)
    assert found.guesses == 100
    assert found.lower_bound > 2.5
    assert canary_bound(margins, confidence=0.95, abstain=(0.0,)).lower_bound == 0
    assert canary_bound(torch.zeros(5), confidence=0.95).guesses == 0


def test_chance_alone_convicts_no_more_often_than_stated():
    found = [
        canary_bound(torch.randn(300, generator=generator(s)), confidence=0.9).lower_bound
        for s in range(200)
    ]
    assert sum(x > 0 for x in found) <= 20


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
        (lambda: plant_canaries(torch.tensor([0, 1]), 2, 1, generator=None), "n_classes is 2"),
        (lambda: canary_bound(torch.ones(3), confidence=1.0), "confidence is 1.0"),
        (lambda: canary_bound(torch.ones(3), confidence=0.9, abstain=(1.0,)), "abstain is 1.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
