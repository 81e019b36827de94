"""Advantage: what an attack tells of labels beyond what is known without the release.

A good model tells labels from features, private or not, so an attack's success says nothing by
itself. What counts is its *advantage* over the best guess of somebody who never saw the labels,
which a pure epsilon bounds whatever the attack and the data (:func:`advantage_bound`). Who "never
saw the labels" still sees what the notion calls known: the image under the standard notion, nothing
under the population one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp.audit import clopper_pearson


@dataclass(frozen=True)
class Attack:
    """Shares of right guesses, with the labels' release and ``blind``, and their difference.

    Of the expected ``advantage``, ``low`` and ``high`` are the interval, if records are
    independent.
    """

    success: float
    blind: float
    advantage: float
    low: float
    high: float

    @property
    def points(self) -> str:
        """Advantage and interval in points, in words."""
        advantage, low, high = (100 * x for x in (self.advantage, self.low, self.high))
        return f"{advantage:.1f} ({low:.1f} to {high:.1f})"


def advantage(guesses: Tensor, blind: Tensor, labels: Tensor, *, confidence: float) -> Attack:
    """How much more often ``guesses`` are right than ``blind`` ones, record by record.

    Args:
        guesses: classes (N,), made with what was released.
        blind: classes (N,), made without.
        labels: true classes (N,).
        confidence: of the interval, between 0 and 1: Clopper-Pearson bounds on the shares of
            records that only one of the two gets right, all of which hold at once.

    Raises ``ValueError`` for shapes that do not fit and no records.

    Source: Wu et al. 2023 (expected attack utility advantage); Clopper and Pearson 1934.

    >>> labels = torch.arange(1000) % 4
    >>> blind = torch.zeros(1000, dtype=torch.long)
    >>> found = advantage(labels, blind, labels, confidence=0.95)
    >>> found.success, found.blind, found.points
    (1.0, 0.25, '75.0 (71.4 to 78.0)')
    """
    check_shape("labels", labels, "N")
    check_range("number of records", len(labels), 1)
    for name, values in (("guesses", guesses), ("blind", blind)):
        check_shape(name, values, "N", N=len(labels))
    check_range("confidence", confidence, 0.0, 1.0, open_low=True, open_high=True)
    right, right_blind = guesses == labels, blind == labels
    only = torch.stack([(right & ~right_blind).sum(), (right_blind & ~right).sum()])
    n = len(labels)
    low, high = (x.tolist() for x in clopper_pearson(only, n, (1 - confidence) / 4))
    won, lost = (x / n for x in only.tolist())
    return Attack(
        success=right.double().mean().item(),
        blind=right_blind.double().mean().item(),
        advantage=won - lost,
        low=low[0] - high[1],
        high=high[0] - low[1],
    )


def advantage_bound(epsilon: float, blind: float | None = None) -> float:
    """The largest advantage that a mechanism of pure ``epsilon`` leaves to any attack.

    Args:
        epsilon: under the notion that fits what the attacker knows, from 0.
        blind: how often the *best* guess without the release is right, above 0 and at most 1, on
            average over all that is known otherwise. Default: unknown, and tanh(epsilon / 2).

    With q for ``blind`` both of these hold for any prior, alike for all records or not:

    * Odds. An outcome moves odds by e^epsilon at most, so no class is likelier after it than
      g(q) = e^epsilon q / (1 + (e^epsilon - 1) q), if none was likelier than q before. As g is
      concave, this holds for averages of q over records, too. The advantage is at most g(q) - q.
      For q = 1 / K it is reached: by randomized response of K equally likely classes.
    * Total variation. Against the blind guess, only outcomes at which another class is guessed can
      gain, of class c at most p_c tanh(epsilon / 2). These p_c sum to 1 - q.

    The first is smaller up to q = 1/2, the second beyond. No q allows more than tanh(epsilon / 4).

    Source: Wu et al. 2023 without ``blind``; with it, this book's audit of label-DP.

    >>> [round(advantage_bound(epsilon), 3) for epsilon in (1, 2, 5)]
    [0.462, 0.762, 0.987]
    >>> round(advantage_bound(5, 1 / 286), 3), round(advantage_bound(1, 0.7), 3)
    (0.339, 0.139)
    """
    apart = math.tanh(check_range("epsilon", epsilon, 0.0) / 2)
    if blind is None:
        return apart
    check_range("blind", blind, 0.0, 1.0, open_low=True)
    wrong = 1 - blind
    # g(q) - q = (1 - q) ((1 - e^-epsilon) q / (q + e^-epsilon (1 - q)))
    odds = -math.expm1(-epsilon) * blind / (blind + math.exp(-epsilon) * wrong)
    return wrong * min(odds, apart)


def exact_advantage(law: Tensor, prior: Tensor | None = None) -> float:
    """Advantage of the best attack there is, from the law of what is released.

    Args:
        law: chances (K, ...) of each outcome given the true label.
        prior: chances (K,) of the labels, or (N, K) given what else is known of each record, over
            which the mean is taken; by default all labels are alike.

    >>> from mmlib.label_dp.exact import response_law
    >>> round(exact_advantage(response_law(0.659878, 286)), 3)  # a - 1 / K
    0.339
    """
    law = law.double().flatten(1)
    prior = law.new_full((len(law),), 1 / len(law)) if prior is None else prior.to(law)
    check_shape("prior", prior, "K" if prior.ndim == 1 else "N K", K=len(law))
    best = (prior[..., None] * law).amax(-2).sum(-1)
    return (best - prior.amax(-1)).mean().item()
