"""Response with a prior: its exact law, its cost, and its likelihoods."""

import itertools
import math

import pytest
import torch

from mmlib.label_dp.accounting import keep_probability, noise_for
from mmlib.label_dp.exact import response_law
from mmlib.label_dp.learning import law_likelihood
from mmlib.label_dp.mechanisms import prior_rr
from mmlib.label_dp.mechanisms.prior_rr import PriorRR, best_k, prior_likelihood, rr_with_prior

from ..chances import agrees, generator

DRAWS = 20_000


def slow_law(prior, epsilon):
    """A_y(j) (K, K) as Ghazi et al. print it: response among the k most likely, the best k."""
    n = len(prior)
    ranked = sorted(range(n), key=lambda j: (-prior[j], j))

    def right(k):
        chance = math.exp(epsilon) / (math.exp(epsilon) + k - 1)
        return chance * sum(prior[j] for j in ranked[:k])

    k = max(range(1, n + 1), key=right)
    top = ranked[:k]
    law = torch.zeros(n, n, dtype=torch.float64)
    for y, j in itertools.product(range(n), top):
        if y in top:
            law[y, j] = (math.exp(epsilon) if j == y else 1) / (math.exp(epsilon) + k - 1)
        else:
            law[y, j] = 1 / k
    return law


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_response_with_a_prior_has_its_law_and_costs_no_more_than_it_says(epsilon, seed):
    prior = torch.rand(5, generator=generator(seed), dtype=torch.float64) ** 3
    prior /= prior.sum()
    law = slow_law(prior.tolist(), epsilon)
    for y in range(5):
        released = rr_with_prior(
            torch.full((DRAWS,), y), prior, epsilon, generator=generator(7 + y)
        )
        assert agrees(released.bincount(minlength=5), law[y])
    possible = law[:, law.sum(0) > 0]
    assert (possible.max(0).values / possible.min(0).values).log().max() <= epsilon + 1e-12
    # and it is right more often than plain response is
    plain = keep_probability(noise_for(epsilon, 5), 5)
    assert (prior * law.diagonal()).sum() >= plain - 1e-12


@pytest.mark.parametrize("epsilon", [5.0, 100.0])
def test_coins_are_thrown_with_chances_of_double_precision(epsilon, monkeypatch):
    """Rounded to single precision a coin may fall too seldom, and at 89 and more it never does."""
    thrown = []
    monkeypatch.setattr(
        prior_rr,
        "coins",
        lambda noise, like, g: thrown.append(noise) or torch.ones_like(like).bool(),
    )
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    rr_with_prior(torch.zeros(1, dtype=torch.long), prior, epsilon, generator=generator())
    k = int(best_k(prior[None], epsilon)[0])
    assert thrown[0].item() == pytest.approx(k / (k - 1 + math.exp(epsilon)), rel=1e-15, abs=0)


def test_a_flat_prior_is_plain_response_and_a_sure_one_releases_nothing():
    labels = torch.arange(5).repeat(20_000)
    k, _ = best_k(torch.full((1, 286), 1 / 286), 5.0)
    assert k.item() == 286
    released = rr_with_prior(labels, torch.eye(5)[3], 1.0, generator=generator())
    assert (released == 3).all()


def test_each_record_has_its_own_prior():
    prior = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]).repeat(1000, 1)
    labels = torch.tensor([0, 3]).repeat(1000)
    released = rr_with_prior(labels, prior, 2.0, generator=generator())
    assert set(released[::2].tolist()) == {0, 1}
    assert set(released[1::2].tolist()) == {2, 3}


def test_likelihood_with_a_prior_is_the_law_that_simulation_shows():
    prior = torch.tensor([0.5, 0.05, 0.3, 0.15])
    for epsilon in (0.5, 2.0):
        law = torch.stack(
            [
                rr_with_prior(torch.full((50_000,), y), prior, epsilon, generator=generator(y))
                .bincount(minlength=4)
                .double()
                / 50_000
                for y in range(4)
            ]
        )
        possible = law.sum(0).nonzero().squeeze(1)
        told = prior_likelihood(possible, prior, epsilon)
        torch.testing.assert_close(told, law[:, possible].T, atol=0.012, rtol=0)
        assert (told.amax(1) / told.amin(1)).log().max() <= epsilon + 1e-9


def test_likelihood_with_a_flat_prior_is_that_of_plain_response():
    released = torch.arange(6)
    told = prior_likelihood(released, torch.full((6,), 1 / 6), 1.5)
    torch.testing.assert_close(told, law_likelihood(released, response_law(noise_for(1.5, 6), 6)))


def test_each_record_has_the_likelihood_of_its_own_prior():
    prior = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    one, other = prior_likelihood(torch.tensor([1, 2]), prior, math.log(3))
    assert one.tolist() == pytest.approx([0.25, 0.75, 0.5, 0.5])
    assert other.tolist() == pytest.approx([0.5, 0.5, 0.75, 0.25])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rr_with_prior(torch.tensor([0, 3]), torch.ones(3) / 3, 1.0, generator=None),
            "largest label is 3; allowed",
        ),
        (
            lambda: rr_with_prior(torch.tensor([0]), torch.tensor([-1.0, 2]), 1.0, generator=None),
            "smallest prior is -1.0; allowed",
        ),
        (
            lambda: prior_likelihood(torch.tensor([2]), torch.tensor([0.9, 0.05, 0.05]), 0.1),
            "never release",
        ),
        (
            lambda: rr_with_prior(torch.tensor([0]), torch.ones(2, 3) / 3, 1.0, generator=None),
            r"prior has shape \(2, 3\); expected \(N=1, K\)",
        ),
        (
            lambda: prior_likelihood(torch.tensor([0]), torch.ones(2, 3) / 3, 1.0),
            r"prior has shape \(2, 3\); expected \(N=1, K\)",
        ),
        (
            lambda: PriorRR(n_classes=4, epsilon=1.0).draw(
                torch.tensor([0]), generator(), prior=torch.ones(3) / 3
            ),
            r"prior has shape \(3,\); expected \(K=4\)",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
