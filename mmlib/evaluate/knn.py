"""Nearest-neighbour classification of frozen embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_range, check_shape
from mmlib.evaluate.metrics import accuracy

_ENTRIES = 1 << 24  # similarities held at once


def knn_accuracy(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, *, neighbors: int
) -> float:
    """Accuracy, in percent, of the majority vote of the nearest training embeddings by cosine.

    Exact search. Among classes with equally many votes the closer one, by summed similarity, wins.

    Args:
        train_x, test_x: embeddings (N, D) and (M, D), of any norm.
        train_y, test_y: class numbers (N,) and (M,).
        neighbors: how many vote, 1 to N.

    Raises ``ValueError`` on other shapes and ranges.

    >>> x, y = torch.eye(3), torch.arange(3)
    >>> knn_accuracy(x, y, 2 * x, y, neighbors=1)
    100.0
    """
    n, d = check_shape("train_x", train_x, "N D").values()
    m = check_shape("test_x", test_x, "M D", D=d)["M"]
    check_shape("train_y", train_y, "N", N=n)
    check_shape("test_y", test_y, "M", M=m)
    check_range("neighbors", neighbors, 1, n)
    train_x, test_x = F.normalize(train_x, dim=1), F.normalize(test_x, dim=1)
    classes = int(train_y.max()) + 1
    predictions = []
    for block in test_x.split(max(1, _ENTRIES // n)):
        similarity, nearest = (block @ train_x.T).topk(neighbors)
        # A vote counts 1, its closeness (in 0..1) too little to outweigh a vote.
        weight = 1 + (1 + similarity.double()) / 2 / (neighbors + 1)
        votes = weight.new_zeros(len(block), classes).scatter_add(1, train_y[nearest], weight)
        predictions.append(votes.argmax(1))
    return accuracy(torch.cat(predictions), test_y)
