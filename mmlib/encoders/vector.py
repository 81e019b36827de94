"""Plain vectors (B, F) to one vector."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mmlib._checks import check_range


class Perceptron(nn.Module):
    """Linear layers of the widths ``sizes``, each but the last followed by an activation.

    The activation is leaky ReLU with ``slope`` below zero, which is ReLU for 0; with ``closed`` it
    follows the last layer, too. Layers start as torch starts them. Source: CoMM, MultiBench
    experiments (MIMIC's table: 5, 10, 10, slope 0, open; Vision & Touch's proprioception: 8, 32,
    64, 128, D, slope 0.1, closed).

    >>> import torch
    >>> Perceptron([5, 10, 10])(torch.zeros(2, 5)).shape
    torch.Size([2, 10])
    """

    def __init__(self, sizes: Sequence[int], slope: float = 0.0, *, closed: bool = False):
        check_range("number of sizes", len(sizes), 2)
        check_range("slope", slope, 0, 1)
        super().__init__()
        self.out_features = sizes[-1]
        self.layers = nn.Sequential()
        for size, out in pairwise(sizes):
            self.layers.extend([nn.Linear(size, out), nn.LeakyReLU(slope)])
        if not closed:
            self.layers.pop(-1)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.layers(vectors)
