"""A noisy query: the law of what it shows, and its bound."""

import itertools
import math

import pytest
import torch
from scipy import stats

from mmlib.label_dp.accounting import epsilon_of
from mmlib.label_dp.bounds import query_cost
from mmlib.label_dp.exact import renyi_divergence, response_law
from mmlib.label_dp.mechanisms.noisy_query import NoisyQuery, privatised

from ..chances import agrees, generator

DRAWS = 50_000
LINE = torch.tensor([0.0, 1.0, 3.0, 4.5, 0.5, 2.0, 6.0])[:, None]
SIDES = torch.tensor([0, 0, 0, 0, 1, 1, 1])


def nearest_law(x, noise, sigma, clip):
    """Law (2, 7) of label 0 or 1's response and the nearest image of that class to a noisy x."""
    law = torch.zeros(2, 7, dtype=torch.float64)
    x = max(-clip, min(clip, x))
    for j in range(2):
        members = [i for i in range(7) if SIDES[i] == j]
        places = [LINE[i].item() for i in members]
        edges = [-math.inf, *[(a + b) / 2 for a, b in itertools.pairwise(places)], math.inf]
        for i, (low, high) in zip(members, itertools.pairwise(edges), strict=True):
            law[j, i] = stats.norm.cdf(high, x, sigma) - stats.norm.cdf(low, x, sigma)
    return law * response_law(noise, 2)[0][:, None], law * response_law(noise, 2)[1][:, None]


@pytest.mark.parametrize("sigma", [1.0, 3.0])
@pytest.mark.parametrize("noise", [0.3, 0.9])
def test_a_noisy_query_costs_at_most_the_response_and_the_noise(noise, sigma):
    clip = 3.0
    here, _ = nearest_law(-5.0, noise, sigma, clip)  # label 0 with an image on one side,
    _, there = nearest_law(4.0, noise, sigma, clip)  # label 1 with one on the other
    for order in (1.5, 2.0, 8.0):
        response = epsilon_of(noise, 2, order=order)
        cost = renyi_divergence(here, there, order)
        assert response < cost <= response + query_cost(clip, sigma, order)
    terms = NoisyQuery(n_classes=2, noise=noise, neighbours=1, clip=clip, sigma=sigma)
    features = torch.full((DRAWS, 1), -5.0)
    released, shown = terms.draw(
        torch.zeros(DRAWS, dtype=torch.long), generator(), features=features, pool_labels=SIDES,
        pool_features=LINE,
    )  # fmt: skip
    assert agrees((released * 7 + shown - DRAWS).bincount(minlength=14), here.flatten())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: privatised(LINE, 0.0, 1.0, generator=generator()), "clip is 0.0; allowed"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
