"""Laplace noise has its exact law, costs what was asked for, and its posterior is Bayes' rule."""

import math

import pytest
import torch
from scipy import stats

from mmlib.label_dp.mechanisms.laplace import GRID, laplace_labels, laplace_posterior

from ..chances import generator


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
    for rows, row in zip(laplace_posterior(noisy, 4.0), noisy.tolist(), strict=True):
        weights = [
            math.exp(-sum(abs(x - (i == c)) for i, x in enumerate(row)) * 4.0 / 2) for c in range(3)
        ]
        assert rows.tolist() == pytest.approx([w / sum(weights) for w in weights], rel=1e-6)


def test_posterior_is_calibrated():
    g = generator()
    labels = torch.randint(3, (200_000,), generator=g)
    posterior = laplace_posterior(laplace_labels(labels, 3, 4.0, generator=g), 4.0)
    sure, guess = posterior.max(1)
    for low in (0.4, 0.6, 0.8):
        at = (sure >= low) & (sure < low + 0.2)
        assert (guess[at] == labels[at]).double().mean().item() == pytest.approx(
            sure[at].mean().item(), abs=0.01
        )


def test_no_epsilon_is_named():
    with pytest.raises(ValueError, match=r"epsilon is 0\.0"):
        laplace_labels(torch.tensor([0]), 2, 0.0, generator=None)
