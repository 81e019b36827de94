"""Captions' ids to one vector, or to one for each place."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmlib._checks import check_range, check_shape
from mmlib.data.text import END, first_end
from mmlib.encoders.transformer import Transformer


class TextTransformer(nn.Module):
    """Causal transformer over word ids; the feature is read at the first end token.

    ``forward`` takes ids (B, T), T at most ``length``, and returns (B, out_features). Whatever
    stands after a caption's first end token cannot matter, so the batch is cut at its last one.
    Raises ``ValueError`` if a caption has no end token. Source: CLIP, section 2.4.

    >>> encoder = TextTransformer(10, width=8, depth=1, heads=2, length=6, out_features=4)
    >>> encoder(torch.tensor([[1, 5, 6, 2, 0, 0]])).shape
    torch.Size([1, 4])
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        depth: int,
        heads: int,
        length: int,
        out_features: int,
    ):
        super().__init__()
        self.out_features = out_features
        self.token_embedding = nn.Embedding(vocabulary_size, width)
        self.position_embedding = nn.Parameter(0.01 * torch.randn(length, width))
        self.transformer = Transformer(width, depth, heads)
        self.projection = nn.Linear(width, out_features, bias=False)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.projection.weight, std=width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        return self.encode_embedded(self.token_embedding(ids), ids)

    def by_length(self, ids: Tensor) -> Tensor:
        """The same as ``forward`` for many captions: alike long ones together, so few are padded.

        A CPU takes few of them at once, so that a layer's values stay in its cache.

        >>> encoder = TextTransformer(10, width=8, depth=1, heads=2, length=6, out_features=4)
        >>> ids = torch.tensor([[1, 5, 6, 2, 0, 0], [1, 7, 2, 0, 0, 0]]).repeat(40, 1)
        >>> torch.allclose(encoder.by_length(ids), encoder(ids), atol=1e-6)
        True
        """
        at_once = 64 if ids.device.type == "cpu" else 1024
        order = first_end(ids).argsort(stable=True)
        parts = [self._encode_alike(ids[rows]) for rows in order.split(at_once)]
        return torch.cat(parts)[order.argsort()]

    def _encode_alike(self, ids: Tensor) -> Tensor:
        """The first block's queries, keys and values only depend on a word and its place."""
        end, count = self._ends(ids)
        places = torch.arange(count, device=ids.device)
        pairs, of = (ids[:, :count] * count + places).unique(return_inverse=True)
        x = self.token_embedding(pairs // count) + self.position_embedding[pairs % count]
        return self.projection(self.transformer(x, causal=True, rows=end, of=of))

    def encode_embedded(self, embedded: Tensor, ids: Tensor) -> Tensor:
        """The same from embedded tokens (B, T, D); ``ids`` (B, T) only tell where the end is.

        A gradient with respect to ``embedded`` is what HotFlip ranks replacement words by.
        """
        end, count = self._ends(ids)
        check_shape("embedded", embedded, "B T D", **check_shape("ids", ids, "B T"))
        x = embedded[:, :count] + self.position_embedding[:count]
        return self.projection(self.transformer(x, causal=True, rows=end))

    def _ends(self, ids: Tensor) -> tuple[Tensor, int]:
        """Where captions end (B,), and how many places of the batch matter."""
        length = check_shape("ids", ids, "B T")["T"]
        check_range("number of tokens", length, 1, len(self.position_embedding))
        end = first_end(ids)
        last = int(torch.where((ids == END).any(dim=1), end, length).max())
        if last == length:
            raise ValueError(f"ids has a row without the end token {END}")
        return end, last + 1


class TextStates(nn.Module):
    """A text transformer's outputs at all places, those of padding too: (B, T) -> (B, T, D).

    >>> ids = torch.tensor([[1, 5, 6, 2, 0, 0]])
    >>> encoder = TextTransformer(10, width=8, depth=1, heads=2, length=6, out_features=4)
    >>> torch.allclose(TextStates(encoder)(ids)[:, 3], encoder(ids), atol=1e-6)
    True
    """

    def __init__(self, encoder: TextTransformer):
        super().__init__()
        self.encoder = encoder
        self.out_features: int = encoder.out_features

    def forward(self, ids: Tensor) -> Tensor:
        places, length = self.encoder.position_embedding, check_shape("ids", ids, "B T")["T"]
        check_range("number of tokens", length, 1, len(places))
        x = self.encoder.token_embedding(ids) + places[:length]
        return self.encoder.projection(self.encoder.transformer(x, causal=True))
