"""Seeded coins, whether draws have the chances that they are to have, and what these cost."""

import itertools
import math

import torch
from scipy import stats

from mmlib.label_dp.exact import renyi_divergence


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def labels_of(n=1000, n_classes=7, seed=0):
    return torch.randint(n_classes, (n,), generator=generator(seed))


def agrees(counts, chances):
    """Whether counts look like draws with these chances: a chi-squared test at 1 in 10,000."""
    counts, chances = counts.double(), torch.as_tensor(chances, dtype=torch.float64)
    assert counts[chances == 0].sum() == 0
    counts, chances = counts[chances > 0], chances[chances > 0]
    if len(chances) == 1:
        return True
    return stats.chisquare(counts.numpy(), (chances * counts.sum()).numpy()).pvalue > 1e-4


def worst(law, order=math.inf):
    """Largest divergence over all pairs of true labels."""
    pairs = itertools.permutations(range(len(law)), 2)
    return max(renyi_divergence(law[a], law[b], order) for a, b in pairs)
