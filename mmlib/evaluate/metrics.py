"""Accuracy, balanced accuracy, F1 and area under the ROC curve, in percent."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_choice, check_shape


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of right predictions, in percent. Both arguments are class numbers (N,).

    >>> accuracy(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1]))
    75.0
    """
    _check(predictions, labels)
    return 100 * (predictions == labels).double().mean().item()


def balanced_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Recall of each class, averaged over the classes that occur in ``labels``, in percent.

    Both arguments are class numbers (N,). A constant prediction scores 100 / K, however unequal
    the K classes are. Raises ``ValueError`` on unequal shapes and on no labels.
    Source: CoMM ("accuracy" of its released code is this one).

    >>> balanced_accuracy(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]))
    50.0
    """
    _check(predictions, labels)
    right = (predictions == labels).double()
    _, labels, total = torch.unique(labels, return_inverse=True, return_counts=True)
    hits = right.new_zeros(len(total)).index_add(0, labels, right)
    return 100 * (hits / total).mean().item()


def macro_precision(predictions: Tensor, labels: Tensor) -> float:
    """Share of right ones among the predictions of each class, averaged over classes, in percent.

    The classes are those of labels and predictions; one that is never predicted counts as 0. It is
    what :func:`balanced_accuracy` becomes if its arguments are swapped and all classes count, as in
    the script that evaluated FactorCL for CoMM: a constant prediction then scores half the share of
    its class.

    >>> macro_precision(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1]))
    37.5
    """
    _check(predictions, labels)
    classes = torch.cat([predictions, labels]).unique()
    right = (predictions == labels).double()
    hits = [right[predictions == k].mean().item() for k in classes if (predictions == k).any()]
    return 100 * sum(hits) / len(classes)


def f1(predictions: Tensor, labels: Tensor, *, average: str = "macro") -> float:
    """F1 of each class, 2 hits / (predicted + true), averaged over the classes, in percent.

    Both arguments are class numbers (N,). The classes are those of labels and predictions;
    ``average`` is that of :func:`f1_labels`. Raises ``ValueError`` on unequal shapes, no labels and
    another ``average``. Source: CoMM, MM-IMDb experiments.

    >>> round(f1(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0, 0, 1])), 2)
    42.86
    """
    _check(predictions, labels)
    classes = torch.cat([predictions, labels]).unique()
    return f1_labels(predictions[:, None] == classes, labels[:, None] == classes, average=average)


def f1_labels(predictions: Tensor, labels: Tensor, *, average: str = "macro") -> float:
    """F1 of each label of samples that may have several, averaged over the labels, in percent.

    Both arguments are (N, K), 0 or 1. ``average`` ``"macro"`` weighs the labels alike,
    ``"weighted"`` by how many samples have them; a label that is neither said nor true counts as 0.
    Raises ``ValueError`` on unequal shapes, no samples and another ``average``, and, weighted,
    where no label is true. Source: CoMM, MM-IMDb experiments.

    >>> said, true = torch.tensor([[1, 0], [1, 1]]), torch.tensor([[1, 1], [1, 0]])
    >>> f1_labels(said, true), round(f1_labels(said, true, average="weighted"), 2)
    (50.0, 66.67)
    """
    check_choice("average", average, ("macro", "weighted"))
    n, k = check_shape("labels", labels, "N K").values()
    check_shape("predictions", predictions, "N K", N=n, K=k)
    if not n:
        raise ValueError("labels has 0 entries; allowed: 1 or more")
    said, true = predictions.bool(), labels.bool()
    hits, support = (said & true).sum(dim=0), true.sum(dim=0)
    scores = 2 * hits.double() / (said.sum(dim=0) + support).clamp(min=1)
    if average == "macro":
        return 100 * scores.mean().item()
    if not support.any():
        raise ValueError("no sample has a label; allowed: one or more")
    return 100 * (scores * support).sum().item() / support.sum().item()


def roc_auc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve, in percent: how often a positive scores above a negative.

    Scores (N,) are higher for the positive class; labels (N,) are 0 or 1. Ties count half, and the
    count is exact, so equal scores give exactly 50. Raises ``ValueError`` on nan, on unequal
    lengths and on labels of a single class, or others.

    >>> roc_auc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]))
    87.5
    """
    total = check_shape("scores", scores, "N")["N"]
    check_shape("labels", labels, "N", N=total)
    if scores.isnan().any():
        raise ValueError("scores hold nan; allowed: numbers and infinities")
    present = torch.unique(labels).tolist()
    if present != [0, 1]:
        raise ValueError(f"labels are {present}; allowed: 0 and 1, both")
    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    twice_rank = (2 * counts.cumsum(0) - counts + 1)[place]  # of the mean rank of equal scores
    n = int(labels.sum())
    wins = int(twice_rank[labels == 1].sum()) - n * (n + 1)  # doubled, hence whole numbers
    return 100 * (wins / (2 * n * (total - n)))


def _check(predictions: Tensor, labels: Tensor) -> None:
    check_shape("labels", labels, "N")
    check_shape("predictions", predictions, "N", N=len(labels))
    if not len(labels):
        raise ValueError("labels has 0 entries; allowed: 1 or more")
