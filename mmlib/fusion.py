"""From encoder outputs to tokens, and from the tokens of all modalities to one embedding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlib._checks import check_range, check_shape
from mmlib.device import constant
from mmlib.encoders.transformer import Transformer


def sincos_2d(width: int, height: int, width_cells: int) -> Tensor:
    """Fixed positions of a height x width_cells grid: (width, height, width_cells).

    The four quarters of the channels are sine and cosine of the row, then of the column, at
    frequencies 10000^(-k / (width / 4)). Raises ``ValueError`` unless 4 divides ``width``.
    Source: CoMM, released code.

    >>> sincos_2d(8, 2, 3)[0]
    tensor([[0.0000, 0.0000, 0.0000],
            [0.8415, 0.8415, 0.8415]])
    """
    if width < 4 or width % 4:
        raise ValueError(f"width is {width}; allowed: multiples of 4")
    quarter = width // 4
    frequency = 10_000 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    rows = frequency[:, None, None] * torch.arange(height)[:, None]
    columns = frequency[:, None, None] * torch.arange(width_cells)
    parts = (rows.sin(), rows.cos(), columns.sin(), columns.cos())
    return torch.cat([p.expand(quarter, height, width_cells) for p in parts]).float()


class MapAdapter(nn.Module):
    """Feature map (B, C, h, w) to tokens (B, h * w, width): 1x1 convolution, plus positions.

    The positions are those of a map of ``grid`` cells (rows, columns); for a map of another size
    they are interpolated.
    """

    def __init__(self, in_channels: int, width: int, grid: tuple[int, int]):
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, width, kernel_size=1)
        self.register_buffer("positions", sincos_2d(width, *grid), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        positions = self.positions
        if features.shape[2:] != positions.shape[1:]:
            positions = F.interpolate(positions[None], features.shape[2:], mode="bicubic")[0]
        return (self.convolution(features) + positions).flatten(2).mT


class VectorAdapter(nn.Module):
    """Vector (B, n_features) to one token per entry (B, n_features, width): x_k w_k + b_k."""

    def __init__(self, n_features: int, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_features, width))
        self.bias = nn.Parameter(torch.randn(n_features, width))

    def forward(self, vectors: Tensor) -> Tensor:
        check_shape("vectors", vectors, "B F", F=len(self.weight))
        return vectors[:, :, None] * self.weight + self.bias


class TokenAdapter(nn.Module):
    """Vector (B, width) to a single token (B, 1, width)."""

    def __init__(self, width: int):
        super().__init__()
        self.width = width

    def forward(self, vectors: Tensor) -> Tensor:
        check_shape("vectors", vectors, "B D", D=self.width)
        return vectors[:, None]


class FusionTransformer(nn.Module):
    """Tokens of M modalities to one embedding (B, D): the class token of a transformer over all.

    ``mask`` says for each modality whether it is seen. A modality that is not seen has no token in
    the sequence, and its entry in ``tokens`` is never looked at. The order of the tokens does not
    matter. Which modality a token belongs to can only be told from its content, unless ``marked``
    gives the number of modalities: then a learned vector of its modality is added to each token.
    If it is ``padded``, which takes one layer, tokens of -inf are padding and never seen.
    Raises ``ValueError`` if nothing is seen, or if ``mask`` has not one entry per modality.
    Source: CoMM, released code (one layer, eight heads, not marked).

    >>> fusion = FusionTransformer(width=16)
    >>> tokens = [torch.randn(2, 5, 16), torch.randn(2, 3, 16)]
    >>> fusion(tokens, mask=[True, False]).shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        width: int,
        depth: int = 1,
        heads: int = 8,
        *,
        marked: int = 0,
        padded: bool = False,
    ):
        super().__init__()
        self.width = width
        self.padded = padded
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        self.transformer = Transformer(width, depth, heads)
        self.marks = nn.Parameter(torch.randn(marked, width)) if marked else None

    def forward(self, tokens: Sequence[Tensor], mask: Sequence[bool] | None = None) -> Tensor:
        sequence = self._sequence(tokens, [True] * len(tokens) if mask is None else mask)
        if self.padded:
            sequence, there = _without_padding(sequence)
            return self.transformer.first_row_seeing(sequence, there)[:, 0]
        first = torch.zeros(len(sequence), dtype=torch.long, device=sequence.device)
        return self.transformer(sequence, rows=first)

    def under_masks(
        self, tokens: Sequence[Tensor], masks: Sequence[Sequence[bool]]
    ) -> list[Tensor]:
        """One embedding (B, D) for each mask: what as many calls give, in one pass if that saves.

        With one layer the keys and values of a token do not depend on what else is seen. So, if
        masks share a modality, they are computed once and the class token attends to those of each
        mask; tokens that some of the masks hide must then be finite.
        """
        for mask in masks:
            self._check(tokens, mask)
        shared = any(sum(entries) > 1 for entries in zip(*masks, strict=True))
        if not shared or len(self.transformer.blocks) > 1:
            return [self(tokens, mask) for mask in masks]
        seen = [any(entries) for entries in zip(*masks, strict=True)]
        sequence = self._sequence(tokens, seen)
        lengths = [0 if not used else t.shape[1] for t, used in zip(tokens, seen, strict=True)]
        spans = [1, *lengths]
        visible = tuple(
            tuple(sees for sees, n in zip((True, *mask), spans, strict=True) for _ in range(n))
            for mask in masks
        )
        visible = constant(visible, sequence.device, torch.bool)
        if self.padded:
            sequence, there = _without_padding(sequence)
            visible = visible & there
        return list(self.transformer.first_row_seeing(sequence, visible).unbind(1))

    def _sequence(self, tokens: Sequence[Tensor], mask: Sequence[bool]) -> Tensor:
        """The class token and the tokens that are seen: (B, 1 + T, D)."""
        self._check(tokens, mask)
        marks = [0] * len(tokens) if self.marks is None else self.marks
        seen = [t + m for t, m, keep in zip(tokens, marks, mask, strict=True) if keep]
        batch = len(seen[0])
        for t in seen:
            check_shape("tokens", t, "B T D", B=batch, D=self.width)
        return torch.cat([self.class_token.expand(batch, 1, -1), *seen], dim=1)

    def _check(self, tokens: Sequence[Tensor], mask: Sequence[bool]) -> None:
        _check_mask(tokens, mask)
        if self.marks is not None and len(self.marks) != len(tokens):
            raise ValueError(f"{len(tokens)} modalities; allowed: {len(self.marks)}, as marked")


def _without_padding(sequence: Tensor) -> tuple[Tensor, Tensor]:
    """The sequence (B, T, D) with zeros for tokens of -inf, and which are none: (B, 1, 1, T)."""
    there = sequence[..., 0] != -torch.inf
    return sequence.masked_fill(~there[..., None], 0), there[:, None, None]


class PooledFusion(nn.Module):
    """Tokens of M modalities to one embedding (B, D): their means side by side, then layers.

    A modality that is not seen enters as zeros. Without ``hidden`` the one layer is linear: the
    embedding is a sum of one term for each modality, whatever their tokens are. With it there is a
    hidden layer of that width. Raises ``ValueError`` as :class:`FusionTransformer` does.
    It knows no padding. Source: the ablation of CoMM's fusion.

    >>> fusion = PooledFusion(width=16, n_modalities=2)
    >>> x, y = torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    >>> parts = fusion([x, y], mask=[True, False]) + fusion([x, y], mask=[False, True])
    >>> torch.allclose(fusion([x, y]), parts - fusion.layers[0].bias, atol=1e-6)
    True
    """

    padded = False

    def __init__(self, width: int, n_modalities: int, hidden: int = 0):
        super().__init__()
        self.width = width
        sizes = (n_modalities * width, *([hidden] if hidden else []), width)
        self.layers = nn.Sequential()
        for k, (size, out) in enumerate(pairwise(sizes)):
            self.layers.extend([nn.ReLU()] * bool(k) + [nn.Linear(size, out)])

    def forward(self, tokens: Sequence[Tensor], mask: Sequence[bool] | None = None) -> Tensor:
        mask = [True] * len(tokens) if mask is None else mask
        _check_mask(tokens, mask)
        seen = next(t for t, keep in zip(tokens, mask, strict=True) if keep)
        hidden = seen.new_zeros(len(seen), self.width)
        means = [t.mean(dim=1) if k else hidden for t, k in zip(tokens, mask, strict=True)]
        return self.layers(torch.cat(means, dim=1))

    def under_masks(
        self, tokens: Sequence[Tensor], masks: Sequence[Sequence[bool]]
    ) -> list[Tensor]:
        """One embedding (B, D) for each mask."""
        return [self(tokens, mask) for mask in masks]


def _check_mask(tokens: Sequence[Tensor], mask: Sequence[bool]) -> None:
    if len(mask) != len(tokens):
        raise ValueError(f"mask has {len(mask)} entries for {len(tokens)} modalities")
    if not any(mask):
        raise ValueError(f"mask is {list(mask)}; allowed: at least one True")


class ProjectionHead(nn.Sequential):
    """Three linear layers with batch normalisation and ReLU between: only used in training.

    The output is not normalised; the losses take the cosine. Source: CoMM, released code.

    >>> ProjectionHead(512, 512, 256)(torch.randn(4, 512)).shape
    torch.Size([4, 256])
    """

    def __init__(self, in_features: int, hidden: int, out_features: int):
        for name, value in {"in_features": in_features, "hidden": hidden}.items():
            check_range(name, value, 1)
        super().__init__(
            nn.Linear(in_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, out_features),
        )
