"""Sequences (B, T, F) to as many features (B, T, D)."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from mmlib._checks import check_shape


class SequenceTransformer(nn.Module):
    """Linear map to ``width`` and pre-LayerNorm encoder layers: (B, T, F) -> (B, T, width).

    No position code and no padding mask, so permuting the steps permutes the output. Dropout (0.1)
    draws from torch's global generator, as its layers do. Source: CoMM, MultiBench experiments.

    >>> import torch
    >>> encoder = SequenceTransformer(20, width=40, depth=2, heads=5, hidden=64)
    >>> encoder(torch.zeros(2, 7, 20)).shape
    torch.Size([2, 7, 40])
    """

    def __init__(self, n_features: int, width: int, depth: int, heads: int, hidden: int):
        super().__init__()
        self.out_features = width
        self.input = nn.Linear(n_features, width, bias=False)
        layer = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout=0.1, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        for parameter in self.layers.parameters():  # torch starts all layers as copies of one
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, steps: Tensor) -> Tensor:
        return self.layers(self.input(steps))


class GRUEncoder(nn.Module):
    """One GRU layer's outputs at all steps: (B, T, F) -> (B, T, width).

    Source: CoMM, MIMIC experiment (12 features, width 512).
    """

    def __init__(self, n_features: int, width: int):
        super().__init__()
        self.out_features = width
        self.gru = nn.GRU(n_features, width, batch_first=True)

    def forward(self, steps: Tensor) -> Tensor:
        return self.gru(steps)[0]


class StepMean(nn.Module):
    """A sequence encoder followed by the mean over its steps: (B, T, F) -> (B, D).

    Steps that are only padding count; no encoder here is told of them.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.out_features: int = encoder.out_features

    def forward(self, steps: Tensor) -> Tensor:
        return self.encoder(steps).mean(dim=1)


class CausalConvolutions(nn.Module):
    """Convolutions of two steps and stride two until one is left: (B, 32, F) -> (B, width).

    Five layers, each after one step of zeros in front, each followed by leaky ReLU of slope 0.1.
    Mind what that comes to: the first output of a layer is made of those zeros and its first input,
    and the one step that is left is the first output of all five. So **it reads the first of the 32
    steps and no other**. Raises ``ValueError`` for another number of steps. Source: CoMM, Vision &
    Touch experiments (force: 6, 16, 32, 64, 128, D features); MultiBench, released code, whose
    causal convolution also cuts the last output.

    >>> import torch
    >>> CausalConvolutions(6, 128)(torch.zeros(2, 32, 6)).shape
    torch.Size([2, 128])
    """

    def __init__(self, n_features: int, width: int):
        super().__init__()
        self.n_features, self.out_features = n_features, width
        sizes = (n_features, 16, 32, 64, 128, width)
        self.layers = nn.ModuleList(nn.Conv1d(a, b, 2, stride=2) for a, b in pairwise(sizes))

    def forward(self, steps: Tensor) -> Tensor:
        check_shape("steps", steps, "B 32 F", F=self.n_features)
        x = steps.mT
        for layer in self.layers:
            x = F.leaky_relu(layer(F.pad(x, (1, 0))), 0.1)
        return x.squeeze(2)
