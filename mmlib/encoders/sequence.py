"""Sequences (B, T, F) to as many features (B, T, D)."""

from __future__ import annotations

from torch import Tensor, nn


class SequenceTransformer(nn.Module):
    """Linear map to ``width`` and pre-LayerNorm encoder layers: (B, T, F) -> (B, T, width).

    No position code and no padding mask, so permuting the steps permutes the output. Dropout draws
    from torch's global generator, as its layers do. Source: CoMM, MultiBench experiments.

    >>> import torch
    >>> SequenceTransformer(20)(torch.zeros(2, 7, 20)).shape
    torch.Size([2, 7, 40])
    """

    def __init__(
        self,
        n_features: int,
        width: int = 40,
        depth: int = 5,
        heads: int = 5,
        hidden: int = 2048,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.out_features = width
        self.input = nn.Linear(n_features, width, bias=False)
        layer = nn.TransformerEncoderLayer(
            width, heads, hidden, dropout, batch_first=True, norm_first=True
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
