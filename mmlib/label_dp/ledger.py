"""A ledger: it holds private labels, hands out releases of them, and keeps the account.

It can count only what goes through it: two ledgers of the same labels are two budgets, of one
person. What is drawn is drawn once: to draw again, for example in every epoch, releases the labels
again and costs as much again, or more (:func:`mmlib.label_dp.terms.total_cost`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from mmlib.label_dp.coins import SystemEntropy
from mmlib.label_dp.release import Release
from mmlib.label_dp.terms import Guarantee, Terms, total_cost


class Ledger:
    """Holds private labels and counts what is released of them.

    >>> from mmlib.label_dp.mechanisms.randomized_response import LabelRR
    >>> ledger = Ledger(torch.tensor([0, 1, 2, 1]))
    >>> first = ledger.release(LabelRR(n_classes=3, noise=0.5))
    >>> first.teaching, round(first.total("standard").epsilon, 4)
    (False, 1.3863)
    >>> ledger.release(LabelRR(n_classes=3, noise=0.5))
    Traceback (most recent call last):
    ...
    ValueError: these labels have been released already, 1 time; to pay for them again: again=True
    >>> second = ledger.release(LabelRR(n_classes=3, noise=0.5), again=True)
    >>> round(second.total("standard").epsilon, 4)
    2.7726
    """

    def __init__(self, labels: Tensor) -> None:
        self._labels = labels.clone()
        self._released: tuple[Terms, ...] = ()

    def release(
        self,
        terms: Terms,
        *,
        generator: torch.Generator | None = None,
        again: bool = False,
        **public: Any,
    ) -> Release:
        """Draw once by ``terms``.

        Args:
            terms: the mechanism and its parameters.
            generator: a seeded one, for teaching: the result says that it is no release. By
                default the coins come from the operating system and are forgotten.
            again: whether to release labels again that have been released, at the sum of all costs.
            public: what the mechanism's ``draw`` takes besides; it must owe nothing to the labels.

        Raises ``ValueError`` for a second release that is not asked for. A draw that fails counts.
        """
        times = len(self._released)
        if times and not again:
            raise ValueError(
                f"these labels have been released already, {times} time{'s'[: times > 1]}; to pay "
                "for them again: again=True"
            )
        earlier = self._released
        # Paid before it is drawn: the model between two stages sees labels even if it then fails.
        self._released = (*earlier, terms)
        labels, source = terms.draw(self._labels, generator or SystemEntropy(), **public)
        return Release(labels, source, terms, earlier, teaching=generator is not None)

    def total(self, notion: str, *, order: float = math.inf, delta: float = 0.0) -> Guarantee:
        """Cost of all releases so far."""
        return total_cost(self._released, notion, order=order, delta=delta)

    def __repr__(self) -> str:
        return f"Ledger({len(self._labels)} labels, {len(self._released)} releases)"
