"""Linear probe of several labels a sample, each there or not: one logistic regression for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.evaluate.metrics import f1_labels
from mmlib.evaluate.probe import LinearClassifier, check_parts, logistic_path

STRENGTHS = tuple(10.0**k for k in range(-6, 7, 2))  # of C, strong to weak regularisation
_CHOICE, _FINAL = 1e-4, 1e-5  # tolerances, as of the probe of one label


@dataclass(frozen=True)
class LabelsResult:
    """F1 on the test set in percent, and what the probe chose on the validation set."""

    macro_f1: float
    weighted_f1: float
    C: float
    validation: dict[float, float]  # macro F1 for each C
    predictions: Tensor  # long (M, K), 0 or 1, of the test set


def labels_probe(
    train_x: Tensor,
    train_y: Tensor,
    test_x: Tensor,
    test_y: Tensor,
    *,
    validation: tuple[Tensor, Tensor],
    strengths: Sequence[float] = STRENGTHS,
) -> LabelsResult:
    """Fit a logistic regression for each label and score all of them on the test set.

    They share their strength, the one with the best macro F1 on the validation set, the strongest
    penalty of equals; the final fits are on training and validation set together. Features are not
    standardised. The test set chooses nothing.

    Args:
        train_x, test_x: embeddings (N, D) and (M, D).
        train_y, test_y: labels (N, K) and (M, K), 0 or 1.
        validation: embeddings (V, D) and labels (V, K).
        strengths: C, see :func:`mmlib.evaluate.probe.logistic_path`.

    Raises ``ValueError`` on other shapes and values, and for a label that all training samples
    have or none. Source: CoMM, MM-IMDb experiments.

    >>> x, y = torch.eye(4).repeat(25, 1), torch.eye(4).long().repeat(25, 1)[:, :3]
    >>> labels_probe(x, y, x, y, validation=(x, y)).macro_f1
    100.0
    """
    parts = {"training": (train_x, train_y), "test": (test_x, test_y), "validation": validation}
    check_parts("N K", **parts)
    n, (val_x, val_y) = len(train_y), validation
    for y in (train_y, val_y, test_y):
        check_range("labels", int(y.min()), 0)
        check_range("labels", int(y.max()), 0, 1)
    for label, total in enumerate(train_y.sum(dim=0).tolist()):
        if total in (0, n):
            raise ValueError(f"label {label} is that of {total:g} training samples of {n}")

    paths = _fits(train_x, train_y, strengths, _CHOICE)
    merits = {
        C: f1_labels(_said([path[place] for path in paths], val_x), val_y)
        for place, C in enumerate(strengths)
    }
    best = max(strengths, key=lambda C: (merits[C], -C))
    both = torch.cat([train_x, val_x]), torch.cat([train_y, val_y])
    said = _said([path[0] for path in _fits(*both, [best], _FINAL)], test_x)
    return LabelsResult(
        macro_f1=f1_labels(said, test_y),
        weighted_f1=f1_labels(said, test_y, average="weighted"),
        C=best,
        validation=merits,
        predictions=said,
    )


def _fits(
    x: Tensor, y: Tensor, strengths: Sequence[float], tolerance: float
) -> list[list[LinearClassifier]]:
    options = {"classes": 2, "tolerance": tolerance}
    return [logistic_path(x, label.long(), strengths, **options) for label in y.unbind(1)]


def _said(classifiers: Sequence[LinearClassifier], x: Tensor) -> Tensor:
    """Which labels the classifiers give: long (M, K)."""
    return torch.stack([c.logits(x).argmax(dim=1) for c in classifiers], dim=1)
