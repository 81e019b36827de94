"""Canaries are fair coins to who saw nothing, and bound epsilon from below, not from above."""

import math

import pytest
import torch
from scipy import stats

from mmlib.label_dp.accounting import noise_for
from mmlib.label_dp.audit import clopper_pearson
from mmlib.label_dp.canaries import canary_bound, plant_canaries
from mmlib.label_dp.mechanisms.randomized_response import randomized_response

from .chances import generator


def test_canaries_are_wrong_distinct_and_exchangeable():
    labels = torch.randint(4, (40_000,), generator=generator(1))
    found = plant_canaries(labels, 4, 30_000, generator=generator())
    true = labels[found.records]
    assert len(found.records.unique()) == 30_000
    half = (found.records < 20_000).sum().item()  # any record may be one, as likely as another
    assert stats.hypergeom(40_000, 20_000, 30_000).cdf(half) == pytest.approx(0.5, abs=0.4999)
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


def test_the_share_that_is_guessed_is_the_surest_one_of_those_that_are_tried():
    surest_first = torch.arange(1000, 0, -1.0)
    margins = torch.where(
        torch.arange(1000) < 100, surest_first, surest_first * (-1) ** surest_first
    )
    found = canary_bound(margins, confidence=0.95)
    assert (found.right, found.guesses) == (100, 100)


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
    low, _ = clopper_pearson(torch.tensor([5050]), 10_000, 0.05)
    assert low < 0.5  # all canaries together would show nothing
    assert canary_bound(torch.zeros(5), confidence=0.95).guesses == 0


def test_what_guesses_of_a_thousand_show():
    """The solution of exercise 4 in chapter 10."""
    needed = math.e / (1 + math.e)
    low = clopper_pearson(torch.tensor([530, 763, 764]), 1000, 0.01)[0]
    assert low[0] < 0.5
    assert low[1] < needed < low[2]
    some = torch.tensor([1.0] * 764 + [-1.0] * 236)
    assert 0.9 < canary_bound(some, confidence=0.99).lower_bound < 1
    some = torch.tensor([1.0] * 530 + [-1.0] * 470)
    assert canary_bound(some, confidence=0.99).lower_bound == 0


def test_chance_alone_convicts_no_more_often_than_stated():
    found = [
        canary_bound(torch.randn(300, generator=generator(s)), confidence=0.9).lower_bound
        for s in range(200)
    ]
    assert sum(x > 0 for x in found) <= 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plant_canaries(torch.tensor([0, 1]), 2, 1, generator=None), "n_classes is 2"),
        (lambda: canary_bound(torch.ones(3), confidence=1.0), "confidence is 1.0"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
