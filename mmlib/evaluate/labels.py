"""Linear probe of several labels a sample, each there or not: one logistic regression for each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mmlib._checks import check_choice
from mmlib.evaluate.metrics import f1_labels
from mmlib.evaluate.probe import LinearClassifier, check_parts, logistic_path

STRENGTHS = tuple(10.0**k for k in range(-6, 7, 2))  # of C, strong to weak regularisation
_CHOICE, _FINAL = 1e-4, 1e-5  # tolerances, as of the probe of one label


def labels_probe(
    train_x: Tensor,
    train_y: Tensor,
    *,
    validation: tuple[Tensor, Tensor],
    strengths: Sequence[float] = STRENGTHS,
) -> tuple[list[LinearClassifier], dict[float, float]]:
    """A logistic regression for each label, of the strength that tells the validation set's best.

    They share it: the best macro F1 over the labels there, the strongest penalty of equals; the
    final fits are on training and validation set together. Features are not standardised. No test
    sample is seen.

    Args:
        train_x, train_y: embeddings (N, D) and labels (N, K), 0 or 1.
        validation: embeddings (V, D) and labels (V, K).
        strengths: C, see :func:`mmlib.evaluate.probe.logistic_path`.

    Returns the K classifiers, and the macro F1 (percent) on the validation set for each strength.
    Raises ``ValueError`` on other shapes and values, and for a label that all training samples
    have or none. Source: CoMM, MM-IMDb experiments.

    >>> x, y = torch.eye(4).repeat(25, 1), torch.eye(4).long().repeat(25, 1)[:, :3]
    >>> classifiers, scores = labels_probe(x, y, validation=(x, y))
    >>> torch.equal(which_labels(classifiers, x), y), max(scores.values())
    (True, 100.0)
    """
    check_parts("N K", training=(train_x, train_y), validation=validation)
    n, (val_x, val_y) = len(train_y), validation
    for y in (train_y, val_y):
        for value in y.unique().tolist():
            check_choice("labels", value, (0, 1))
    for label, total in enumerate(train_y.sum(dim=0).tolist()):
        if total in (0, n):
            raise ValueError(f"label {label} is that of {total:g} training samples of {n}")

    paths = _fits(train_x, train_y, strengths, _CHOICE)
    merits = {
        C: f1_labels(which_labels([path[place] for path in paths], val_x), val_y)
        for place, C in enumerate(strengths)
    }
    best = max(strengths, key=lambda C: (merits[C], -C))
    both = torch.cat([train_x, val_x]), torch.cat([train_y, val_y])
    return [path[0] for path in _fits(*both, [best], _FINAL)], merits


def _fits(
    x: Tensor, y: Tensor, strengths: Sequence[float], tolerance: float
) -> list[list[LinearClassifier]]:
    options = {"classes": 2, "tolerance": tolerance}
    return [logistic_path(x, label.long(), strengths, **options) for label in y.unbind(1)]


def which_labels(classifiers: Sequence[LinearClassifier], x: Tensor) -> Tensor:
    """Which labels the K classifiers give embeddings (N, D): long (N, K), 0 or 1."""
    return torch.stack([c.logits(x).argmax(dim=1) for c in classifiers], dim=1)
