"""What each way releases is how likely it says, and a learner's prior saw the first stage alone."""

import pytest
import torch
from scipy import integrate, stats

from mmlib.label_dp import spending
from mmlib.label_dp.accounting import keep_probability, noise_for
from mmlib.label_dp.mechanisms.laplace import laplace_labels
from mmlib.label_dp.mechanisms.prior_rr import prior_likelihood, rr_with_prior

from .chances import generator

K, EPSILON = 4, 1.5
PRIOR = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)

LABELS = torch.multinomial(PRIOR, 40_000, replacement=True, generator=generator(9))


def guess(told):
    """A prior from the first stage's likelihoods, alike for all others."""
    return (told / told.sum(1, keepdim=True)).mean(0).expand(len(LABELS) - len(told), K)


FIRST = torch.arange(len(LABELS)) % 3 != 0
WAYS = {
    "respond": spending.respond,
    "prior": lambda *a, **k: spending.respond_with_prior(*a, prior=PRIOR, **k),
    "two stages": lambda *a, **k: spending.two_stages(*a, first=FIRST, predict=guess, **k),
    "laplace": spending.laplace,
}


@pytest.mark.parametrize("way", WAYS)
def test_bayes_rule_with_its_likelihoods_is_calibrated(way):
    """Of those records that a class has about a given chance to be true of, that many are of it."""
    _, told = WAYS[way](LABELS, K, EPSILON, generator=generator())
    chances = told * PRIOR
    chances = chances / chances.sum(1, keepdim=True)
    for c in range(K):
        for rows in chances[:, c].argsort().chunk(8):
            right = (LABELS[rows] == c).double().mean().item()
            assert right == pytest.approx(chances[rows, c].mean().item(), abs=0.03)


@pytest.mark.parametrize("way", ["respond", "prior", "two stages", "laplace"])
def test_no_label_is_more_than_its_epsilon_likelier_than_another(way):
    _, told = WAYS[way](LABELS, K, EPSILON, generator=generator())
    ratio = told.amax(1).log() - told.amin(1).log()
    assert ratio.max().item() == pytest.approx(EPSILON, abs=1e-9)


def test_released_are_the_mechanisms_own():
    labels, _ = spending.respond(LABELS, K, EPSILON, generator=generator())
    kept = (labels == LABELS).double().mean().item()
    assert kept == pytest.approx(keep_probability(noise_for(EPSILON, K), K), abs=0.01)
    labels, _ = WAYS["prior"](LABELS, K, EPSILON, generator=generator())
    assert torch.equal(labels, rr_with_prior(LABELS, PRIOR, EPSILON, generator=generator()))
    labels, _ = spending.laplace(LABELS, K, EPSILON, generator=generator())
    noisy = laplace_labels(LABELS, K, EPSILON, generator=generator())
    assert torch.equal(labels, noisy.argmax(1))


def test_a_label_by_laplace_noise_is_a_likeliest_class_and_as_often_right_in_every_class():
    """Often several classes are the likeliest; which one is named owes nothing to their order."""
    every = torch.arange(K).repeat_interleave(40_000)
    labels, told = spending.laplace(every, K, EPSILON, generator=generator())
    assert torch.equal(told.gather(1, labels[:, None])[:, 0], told.amax(1))
    law = stats.laplace(scale=2 / EPSILON)
    own_is_largest, _ = integrate.quad(
        lambda x: law.pdf(x - 1) * law.cdf(x) ** (K - 1), -40, 40, points=[0, 1]
    )
    right = (labels == every).double().unflatten(0, (K, -1)).mean(1)
    assert right.tolist() == pytest.approx([own_is_largest] * K, abs=0.01)
    assert own_is_largest < keep_probability(noise_for(EPSILON, K), K)  # a plain response's


def test_the_second_stage_answers_by_a_prior_that_the_first_one_taught():
    asked = []

    def predict(told):
        asked.append(told)
        return guess(told) ** 4  # so sure that the least likely classes are never released

    labels, told = spending.two_stages(
        LABELS, K, EPSILON, first=FIRST, predict=predict, generator=generator()
    )
    (seen,) = asked
    assert torch.equal(seen, told[FIRST])
    assert torch.equal(told[FIRST].argmax(1), labels[FIRST])  # plain responses
    assert (told[FIRST].amax(1) / told[FIRST].amin(1)).log().mean() == pytest.approx(EPSILON)
    expected = prior_likelihood(labels[~FIRST], guess(seen) ** 4, EPSILON)
    torch.testing.assert_close(told[~FIRST], expected)
    assert set(labels[~FIRST].tolist()) < set(range(K))
