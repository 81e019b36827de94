"""The pre-LayerNorm transformer that text and fusion are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlib._checks import check_range, check_shape


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the cheap Gaussian error unit of CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), with a hidden layer of four times the width.

    Weights are normal with standard deviation ``width ** -0.5`` (queries, keys, values),
    ``(2 * width) ** -0.5`` (first layer of the mlp) and, for the two layers that write to the
    residual stream, ``(2 * depth * width) ** -0.5``, where ``depth`` counts the blocks of the
    whole transformer. Source: CoMM, released code; CLIP.
    """

    def __init__(self, width: int, heads: int, depth: int):
        super().__init__()
        check_range("heads", heads, 1)
        if width % heads:
            raise ValueError(f"width is {width}; allowed: multiples of heads={heads}")
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), QuickGELU(), nn.Linear(4 * width, width)
        )
        for layer in (self.query, self.key_value, self.attention_out):
            nn.init.zeros_(layer.bias)
        for layer in (self.query, self.key_value):
            nn.init.normal_(layer.weight, std=width**-0.5)
        for layer in (self.attention_out, self.mlp[2]):
            nn.init.normal_(layer.weight, std=(2 * depth * width) ** -0.5)
        nn.init.normal_(self.mlp[0].weight, std=(2 * width) ** -0.5)

    def forward(
        self,
        x: Tensor,
        *,
        causal: bool = False,
        rows: Tensor | None = None,
        visible: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); or (B, 1, D), only row ``rows[b]`` of sample b.

        ``visible`` (V, T) asks for that row V times, each time as if only some rows were there:
        (B, V, D).
        """
        normed = asking = self.attention_norm(x)
        mask = None
        if rows is not None:
            if causal:
                mask = torch.arange(x.shape[1], device=x.device) <= rows[:, None]  # (B, T)
                mask = mask[:, None, None]  # the same for all heads and the one query
            index = rows[:, None, None].expand(-1, 1, x.shape[2])
            x, asking = x.gather(1, index), normed.gather(1, index)
        query = self._split(self.query(asking))
        if visible is not None:
            query, mask = query.expand(-1, -1, len(visible), -1), visible
        key, value = map(self._split, self.key_value(normed).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal and rows is None
        )
        x = x + self.attention_out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, T, D / heads)


class Transformer(nn.Module):
    """``depth`` blocks and a final LayerNorm: (B, T, D) -> (B, T, D).

    With ``rows`` (B,), only that row of each sample is wanted: (B, D). The last block then
    computes no other row, which is exact and, at depth 1, saves five sixths of the work.
    With ``causal``, no row sees a later one.

    >>> transformer = Transformer(width=8, depth=1, heads=2)
    >>> x = torch.randn(2, 5, 8)
    >>> row = transformer(x, rows=torch.tensor([0, 3]))
    >>> torch.allclose(row[1], transformer(x)[1, 3], atol=1e-5)
    True
    """

    def __init__(self, width: int, depth: int, heads: int):
        super().__init__()
        check_range("depth", depth, 1)
        self.blocks = nn.ModuleList(Block(width, heads, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, *, causal: bool = False, rows: Tensor | None = None) -> Tensor:
        for block in self.blocks[:-1]:
            x = block(x, causal=causal)
        x = self.norm(self.blocks[-1](x, causal=causal, rows=rows))
        return x if rows is None else x.squeeze(1)

    def row_seeing(self, x: Tensor, row: int, visible: Tensor) -> Tensor:
        """State of one row of x (B, T, D) for each of V choices of the rows it sees: (B, V, D).

        ``visible`` (V, T) is boolean. Keys and values are computed once for all choices, which
        only a transformer of one block allows: raises ``ValueError`` for a deeper one.

        >>> transformer, x = Transformer(width=8, depth=1, heads=2), torch.randn(3, 5, 8)
        >>> visible = torch.tensor([[True] * 5, [True, True, False, False, True]])
        >>> all_rows, some = transformer.row_seeing(x, 0, visible).unbind(1)
        >>> torch.allclose(some, transformer(x[:, [0, 1, 4]])[:, 0], atol=1e-5)
        True
        """
        if len(self.blocks) > 1:
            raise ValueError(f"the transformer has {len(self.blocks)} blocks; allowed: 1")
        check_shape("visible", visible, "V T", T=x.shape[1])
        rows = torch.full((len(x),), row, device=x.device)
        return self.norm(self.blocks[0](x, rows=rows, visible=visible))
