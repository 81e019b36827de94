"""Table rows, one-hot coded, to one vector."""

from __future__ import annotations

from torch import Tensor, nn

from mmlib.data.table import TableSchema


class TableMLP(nn.Module):
    """Perceptron on the one-hot coded table: (B, C) -> (B, width).

    Two linear layers, with batch normalisation and ReLU between them; Kaiming-normal weights, zero
    biases. Source: label-DP paper's code base (MMCL), table encoder.

    >>> import torch
    >>> encoder = TableMLP(TableSchema(2, (3,)), width=8)
    >>> encoder(torch.tensor([[0.5, -1.0, 2.0], [0.1, 0.0, 0.0]])).shape
    torch.Size([2, 8])
    """

    def __init__(self, schema: TableSchema, width: int):
        super().__init__()
        self.schema = schema
        self.out_features = width
        first, second = nn.Linear(schema.n_features, width), nn.Linear(width, width)
        self.layers = nn.Sequential(first, nn.BatchNorm1d(width), nn.ReLU(), second)
        for layer in (first, second):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(self.schema.one_hot(rows))
