"""An audit: run a mechanism many times and bound its epsilon from below, with confidence.

A proof bounds epsilon from above and can be wrong, or be of another mechanism than the one that
runs. An audit looks at the mechanism alone, as a black box. What it finds holds with its stated
confidence; what it does not find it does not rule out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from mmlib._checks import check_range

X = TypeVar("X")
_BATCH = 2**20  # draws at once


def audit(
    mechanism: Callable[[X, int, torch.Generator], Tensor],
    inputs: Sequence[X],
    n_outcomes: int,
    *,
    draws: int,
    confidence: float,
    generator: torch.Generator,
) -> float:
    """A lower bound on the pure epsilon of ``mechanism``, from its outputs alone.

    Each outcome's chance under each input gets a Clopper-Pearson interval. All of them hold at once
    with ``confidence`` (a union bound over outcomes, inputs and both ends), so the largest ratio of
    a lower to an upper end over all outcomes and ordered pairs may be picked afterwards.

    Args:
        mechanism: ``mechanism(input, n, generator)`` runs n times, independently, and returns the
            outcomes as integers (n,) from 0 to ``n_outcomes`` - 1.
        inputs: two or more, each a neighbour of each other.
        n_outcomes: how many outcomes there are.
        draws: runs for each input.
        confidence: chance, between 0 and 1, with which the bound holds at least.
        generator: handed to the mechanism.

    Raises ``ValueError`` for fewer than two inputs, values or outcomes out of range.

    Source: Clopper and Pearson 1934.

    >>> from mmlib.label_dp.mechanisms.randomized_response import randomized_response
    >>> g = torch.Generator().manual_seed(0)
    >>> def respond(label, n, g):
    ...     return randomized_response(torch.full((n,), label), 0.5, 4, generator=g)
    >>> found = audit(respond, range(4), 4, draws=100_000, confidence=0.99, generator=g)
    >>> 1.5 < found < 1.6094  # log 5
    True
    """
    check_range("number of inputs", len(inputs), 2)
    check_range("n_outcomes", n_outcomes, 2)
    check_range("draws", draws, 1)
    check_range("confidence", confidence, 0.0, 1.0, open_low=True, open_high=True)
    counts = torch.stack([_count(mechanism, x, n_outcomes, draws, generator) for x in inputs])
    error = (1 - confidence) / (2 * counts.numel())
    low, high = clopper_pearson(counts, draws, error)
    return max(0.0, (low.amax(0).log() - high.amin(0).log()).max().item())


def clopper_pearson(counts: Tensor, draws: int, error: float) -> tuple[Tensor, Tensor]:
    """Lower and upper bound on a chance that came up ``counts`` times in ``draws`` runs.

    Each of the two misses with chance at most ``error``. Returns float64 tensors like ``counts``.

    Source: Clopper and Pearson 1934.

    >>> low, high = clopper_pearson(torch.tensor([0, 5, 10]), 10, 0.025)
    >>> [(round(a, 3), round(b, 3)) for a, b in zip(low.tolist(), high.tolist())]
    [(0.0, 0.308), (0.187, 0.813), (0.692, 1.0)]
    """
    from scipy.stats import beta

    seen, place = counts.cpu().unique(return_inverse=True)
    n = seen.double().numpy()
    low = torch.from_numpy(beta.ppf(error, n, draws - n + 1)).nan_to_num(0.0)
    high = torch.from_numpy(beta.isf(error, n + 1, draws - n)).nan_to_num(1.0)
    return low[place], high[place]


def _count(
    mechanism: Callable[[X, int, torch.Generator], Tensor],
    x: X,
    n_outcomes: int,
    draws: int,
    generator: torch.Generator,
) -> Tensor:
    """How often each outcome comes up, (n_outcomes,)."""
    counts = torch.zeros(n_outcomes, dtype=torch.long)
    for start in range(0, draws, _BATCH):
        n = min(_BATCH, draws - start)
        outcomes = mechanism(x, n, generator)
        if len(outcomes) != n:
            raise ValueError(f"mechanism returned {len(outcomes)} outcomes; allowed: {n}")
        check_range("smallest outcome", outcomes.min().item(), 0, n_outcomes - 1)
        check_range("largest outcome", outcomes.max().item(), 0, n_outcomes - 1)
        counts += outcomes.bincount(minlength=n_outcomes).cpu()
    return counts
