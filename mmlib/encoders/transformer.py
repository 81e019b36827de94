"""The pre-LayerNorm transformer that text and fusion are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlib._checks import check_range, check_shape


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the cheap Gaussian error unit of CLIP."""

    slope = 1.702

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.slope * x)


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
        of: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D) -> (B, T, D); or (B, 1, D), only row ``rows[b]`` of sample b.

        ``visible`` (V, T), or (B, 1, V, T) where samples differ, asks for that row V times, each
        time as if only some rows were there: (B, V, D). With ``of`` (B, T), x (U, D) has every
        different row once, and ``of`` says which is where.
        """
        normed = self.attention_norm(x)
        if rows is None:
            parts = self.query(normed), *self.key_value(normed).chunk(2, dim=-1)
            if of is not None:
                x, *parts = (F.embedding(of, p) for p in (x, *parts))
            split = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
            attended = F.scaled_dot_product_attention(*split, is_causal=causal)
            attended = attended.transpose(1, 2).flatten(2)
        else:
            if of is not None:
                x, normed = F.embedding(of, x), F.embedding(of, normed)
            index = rows[:, None, None].expand(-1, 1, x.shape[2])
            if visible is None:
                visible = torch.ones(1, x.shape[1], dtype=torch.bool, device=x.device)
            if causal:  # (B, 1, V, T), alike for all heads
                place = torch.arange(x.shape[1], device=x.device)
                visible = visible & (place <= rows[:, None, None, None])
            attended = self._attend_once(normed.gather(1, index)[:, 0], normed, visible)
            x = x.gather(1, index)
        x = x + self.attention_out(attended)
        return x + self.mlp(self.mlp_norm(x))

    def _attend_once(self, asking: Tensor, normed: Tensor, visible: Tensor) -> Tensor:
        """What one row (B, D) of each sample takes from all (B, T, D): (B, V, D).

        One query needs no row's key and value: q . (K x) = (K' q) . x, and a mean of values is the
        value of a mean. The keys' bias adds the same to all scores, which changes no share.
        """
        weights = self.key_value.weight.unflatten(0, (2, self.heads, -1))
        key, value = weights  # (heads, D / heads, D)
        query = self.query(asking).unflatten(-1, (self.heads, -1))
        sought = torch.einsum("bhd,hdw->bhw", query, key) * query.shape[-1] ** -0.5
        scores = (sought @ normed.mT)[:, :, None]  # (B, heads, 1, T)
        shares = scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)
        means = (shares.flatten(1, 2) @ normed).unflatten(1, shares.shape[1:3])
        attended = torch.einsum("bhvw,hdw->bvhd", means, value).flatten(2)
        return attended + self.key_value.bias.chunk(2)[1]


class Transformer(nn.Module):
    """``depth`` blocks and a final LayerNorm: (B, T, D) -> (B, T, D).

    With ``rows`` (B,), only that row of each sample is wanted: (B, D). The last block then
    computes no other row, which is exact and, at depth 1, saves five sixths of the work.
    With ``causal``, no row sees a later one. ``of`` is :class:`Block`'s, for the first one.

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

    def forward(
        self,
        x: Tensor,
        *,
        causal: bool = False,
        rows: Tensor | None = None,
        of: Tensor | None = None,
    ) -> Tensor:
        for block in self.blocks[:-1]:
            x, of = block(x, causal=causal, of=of), None
        x = self.norm(self.blocks[-1](x, causal=causal, rows=rows, of=of))
        return x if rows is None else x.squeeze(1)

    def first_row_seeing(self, x: Tensor, visible: Tensor) -> Tensor:
        """State of the first row of x (B, T, D) for each of V choices of what it sees: (B, V, D).

        ``visible`` (V, T), or (B, 1, V, T) where samples differ, is boolean. Keys and values are
        computed once for all choices, which only a transformer of one block allows: raises
        ``ValueError`` for a deeper one.

        >>> transformer, x = Transformer(width=8, depth=1, heads=2), torch.randn(3, 5, 8)
        >>> visible = torch.tensor([[True] * 5, [True, True, False, False, True]])
        >>> all_rows, some = transformer.first_row_seeing(x, visible).unbind(1)
        >>> torch.allclose(some, transformer(x[:, [0, 1, 4]])[:, 0], atol=1e-5)
        True
        """
        if len(self.blocks) > 1:
            raise ValueError(f"the transformer has {len(self.blocks)} blocks; allowed: 1")
        shape = "V T" if visible.ndim < 4 else "B 1 V T"
        check_shape("visible", visible, shape, B=len(x), T=x.shape[1])
        rows = torch.zeros(len(x), dtype=torch.long, device=x.device)
        return self.norm(self.blocks[0](x, rows=rows, visible=visible))
