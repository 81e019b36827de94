"""Prior, two stages, posterior: exact laws cost what was asked for, and no more than plain RR."""

import itertools
import math

import pytest
import torch
from scipy import stats

from mmlib.label_dp import priors
from mmlib.label_dp.accounting import keep_probability, noise_for
from mmlib.label_dp.priors import (
    GRID,
    best_k,
    laplace_labels,
    laplace_posterior,
    rr_with_prior,
    two_stage_rr,
)

from .chances import agrees

DRAWS = 20_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


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
        priors, "coins", lambda noise, like, g: thrown.append(noise) or torch.ones_like(like).bool()
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


def test_the_second_stage_sees_released_labels_alone_and_each_label_is_used_once():
    labels = torch.randint(6, (4000,), generator=generator())
    first = torch.rand(4000, generator=generator(1)) < 0.4
    seen = []

    def predict(released):
        seen.append(released.clone())
        return torch.full((int((~first).sum()), 6), 1 / 6)

    released = two_stage_rr(labels, first, predict, 6, 1.5, generator=generator(2))
    assert len(seen) == 1
    assert torch.equal(seen[0], released[first])
    keep = keep_probability(noise_for(1.5, 6), 6)  # with a flat prior both stages are plain
    for part in (first, ~first):
        share = (released[part] == labels[part]).double().mean().item()
        assert share == pytest.approx(keep, abs=0.04)
    # A second-stage label changes that record's release alone.
    other = labels.clone()
    other[~first] = (other[~first] + 1) % 6
    again = two_stage_rr(other, first, predict, 6, 1.5, generator=generator(2))
    assert torch.equal(again[first], released[first])


@pytest.mark.parametrize("all_first", [True, False])
def test_a_stage_may_be_empty(all_first):
    labels = torch.arange(300) % 3
    first = torch.full((300,), all_first)
    flat = torch.full((0 if all_first else 300, 3), 1 / 3)
    released = two_stage_rr(labels, first, lambda r: flat, 3, 50.0, generator=generator())
    assert torch.equal(released, labels)  # at such an epsilon nothing is noise


def test_a_good_model_of_the_first_stage_makes_the_second_one_right_more_often():
    g = generator()
    labels = torch.randint(50, (20_000,), generator=g)
    hint = torch.where(torch.rand(20_000, generator=g) < 0.2, (labels + 1) % 50, labels)
    first = torch.arange(20_000) < 10_000

    def predict(released):  # how often each hint came with each label, as a histogram
        table = torch.zeros(50, 50).index_put_((hint[first], released), torch.ones(()), True)
        return (table / table.sum(1, keepdim=True))[hint[~first]]

    released = two_stage_rr(labels, first, predict, 50, 2.0, generator=g)
    right = (released == labels).double()
    assert right[first].mean() < 0.16  # 7.389 / (49 + 7.389) = 0.131
    assert right[~first].mean() > 3 * right[first].mean()


# --- ALIBI ---------------------------------------------------------------------------------------


def discrete_laplace(epsilon, reach=40_000):
    """Chances of -reach .. reach grid steps."""
    decay = math.exp(-epsilon / 2 * GRID)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64).abs()
    return (1 - decay) / (1 + decay) * decay**steps


@pytest.mark.parametrize("epsilon", [1.0, 5.0])
def test_laplace_noise_has_its_exact_law_and_one_label_costs_epsilon(epsilon):
    law = discrete_laplace(epsilon)
    assert law.sum().item() == pytest.approx(1, abs=1e-6)
    one = round(1 / GRID)
    ratio = (law[one:] / law[:-one]).log().abs()  # one number, with or without the one
    assert 2 * ratio.max().item() == pytest.approx(epsilon, rel=1e-9)  # two numbers change
    noisy = laplace_labels(
        torch.zeros(100_000, dtype=torch.long), 2, epsilon, generator=generator()
    )
    steps = (noisy - torch.tensor([1.0, 0.0])) / GRID
    assert torch.equal(steps, steps.round())
    assert (
        stats.kstest(  # against the continuous law, the grid is far finer than what n can tell
            (steps[:, 0] * GRID).numpy(), "laplace", args=(0, 2 / epsilon)
        ).pvalue
        > 1e-4
    )
    assert abs(torch.corrcoef(steps.T)[0, 1]) < 0.02


def test_posterior_is_bayes_rule():
    noisy = torch.tensor([[1.3, -0.2, 0.6], [0.4, 0.4, -3.0]])
    prior = torch.tensor([0.5, 0.3, 0.2])
    for rows, row in zip(laplace_posterior(noisy, 4.0, prior), noisy.tolist(), strict=True):
        weights = [
            p * math.exp(-sum(abs(x - (i == c)) for i, x in enumerate(row)) * 4.0 / 2)
            for c, p in enumerate(prior.tolist())
        ]
        assert rows.tolist() == pytest.approx([w / sum(weights) for w in weights], rel=1e-6)


def test_posterior_is_calibrated():
    g = generator()
    prior = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    labels = torch.multinomial(prior, 200_000, replacement=True, generator=g)
    posterior = laplace_posterior(laplace_labels(labels, 3, 2.0, generator=g), 2.0, prior)
    sure, guess = posterior.max(1)
    for low in (0.4, 0.6, 0.8):
        at = (sure >= low) & (sure < low + 0.2)
        assert (guess[at] == labels[at]).double().mean().item() == pytest.approx(
            sure[at].mean().item(), abs=0.01
        )


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
        (lambda: laplace_labels(torch.tensor([0]), 2, 0.0, generator=None), "epsilon is 0.0"),
        (
            lambda: two_stage_rr(
                torch.tensor([0, 1]), torch.tensor([True, False]), lambda r: torch.ones(2, 2), 2,
                1.0, generator=generator(),
            ),
            r"prior has shape \(2, 2\); expected \(M=1, K=2\)",
        ),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
