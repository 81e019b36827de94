"""Canaries: planted wrong labels, whose detection bounds epsilon from below in one run.

:mod:`mmlib.label_dp.audit` does so by many runs of a mechanism; this does with one run of whatever
was made of the labels, such as a trained model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.label_dp._checks import check_labels
from mmlib.label_dp.audit import clopper_pearson
from mmlib.label_dp.coins import Generator, uniform

_ABSTAIN = (0.0, 0.5, 0.9, 0.95, 0.99)  # shares of canaries to leave out, one of which is taken


@dataclass(frozen=True)
class Canaries:
    """``labels`` (N,) with wrong ones planted in ``records`` (M,), and a decoy for each."""

    labels: Tensor
    records: Tensor
    planted: Tensor
    decoys: Tensor

    def margins(self, scores: Tensor) -> Tensor:
        """Score of each planted label minus its decoy's (M,), by ``scores`` (M, K) of ``records``.

        One-hot released labels are such scores, too.
        """
        planted, decoys = (scores.gather(1, x.long()[:, None]) for x in (self.planted, self.decoys))
        return (planted - decoys).squeeze(1).double()


def plant_canaries(labels: Tensor, n_classes: int, count: int, *, generator: Generator) -> Canaries:
    """Give ``count`` random records a random wrong label, and draw another wrong one as decoy.

    Which of the two was planted is a fair coin to anybody who did not see what came out. Needs
    three classes at least.

    >>> g = torch.Generator().manual_seed(0)
    >>> found = plant_canaries(torch.zeros(10, dtype=torch.long), 3, 4, generator=g)
    >>> int((found.labels != 0).sum()), (found.planted + found.decoys).tolist()
    (4, [3, 3, 3, 3])
    """
    check_labels(labels, n_classes)
    check_range("n_classes", n_classes, 3)
    check_range("count", count, 1, len(labels))
    order = torch.zeros(len(labels), dtype=torch.long, device=labels.device)
    order = uniform(2**40, order, generator).argsort()
    records = order[:count]
    first = 1 + uniform(n_classes - 1, records, generator)  # places after the true label's
    second = 1 + uniform(n_classes - 2, records, generator)
    second = second + (second >= first).long()
    true = labels[records].long()
    planted, decoys = ((true + x) % n_classes for x in (first, second))
    changed = labels.clone()
    changed[records] = planted.to(labels.dtype)
    return Canaries(changed, records, planted, decoys)


@dataclass(frozen=True)
class CanaryBound:
    """A lower bound on epsilon: ``right`` of ``guesses`` told the planted label from the decoy."""

    lower_bound: float
    right: int
    guesses: int


def canary_bound(margins: Tensor, *, confidence: float) -> CanaryBound:
    """Bound epsilon from below by how well planted labels are told from their decoys.

    Of pure epsilon, each guess is right with chance e^eps / (e^eps + 1) at most. An attacker may
    leave the least certain canaries out; the best of five shares is taken, and paid for.

    Args:
        margins: (M,), the score of the planted label minus that of the decoy: of a model's
            confidence, or of the released label itself. Where it is 0 nothing is guessed.
        confidence: with which the bound holds, between 0 and 1.

    Source: Malek et al. 2021; for one run with many canaries Steinke et al. 2023.

    >>> found = canary_bound(torch.tensor([1.0] * 900 + [-1.0] * 100), confidence=0.95)
    >>> 1.5 < found.lower_bound < math.log(9), found.guesses
    (True, 1000)
    """
    check_shape("margins", margins, "M")
    check_range("confidence", confidence, 0.0, 1.0, open_low=True, open_high=True)
    margins = margins[margins != 0].double()
    surest = margins.abs().sort(descending=True).values
    found = []
    for share in _ABSTAIN:
        place = math.floor((1 - share) * len(surest) + 1e-9)
        if place == 0:  # too few are left
            continue
        guessed = margins[margins.abs() >= surest[place - 1]]  # equals in or out together
        right, n = int((guessed > 0).sum()), len(guessed)
        low, _ = clopper_pearson(torch.tensor([right]), n, (1 - confidence) / len(_ABSTAIN))
        bound = math.log(low.item() / (1 - low.item())) if low > 0.5 else 0.0
        found.append(CanaryBound(bound, right, n))
    found.append(CanaryBound(0.0, 0, 0))  # if there was nothing to guess
    return max(found, key=lambda c: c.lower_bound)
