"""Whether draws have the chances that they are to have."""

import torch
from scipy import stats


def agrees(counts, chances):
    """Whether counts look like draws with these chances: a chi-squared test at 1 in 10,000."""
    counts, chances = counts.double(), torch.as_tensor(chances, dtype=torch.float64)
    assert counts[chances == 0].sum() == 0
    counts, chances = counts[chances > 0], chances[chances > 0]
    if len(chances) == 1:
        return True
    return stats.chisquare(counts.numpy(), (chances * counts.sum()).numpy()).pvalue > 1e-4
