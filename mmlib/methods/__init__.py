"""Pre-training methods, all with one interface.

A method is a module with ``loss(batch, generator) -> dict`` (the entry ``"loss"`` is minimised, the
others are logged) and ``embed(batch) -> (B, E)``, the features that a probe sees. A batch is one
raw tensor per modality. Each method holds, for each modality, a random transform that makes views
for training and one without chance that makes the encoder's input for everything else.

``embed`` has two halves, which :func:`mmlib.evaluate.features.embed_pairs` uses where samples share
inputs: ``encode(modality, batch)``, what is computed from one modality alone, and
``combine(parts)``, the embedding of what ``encode`` gave for each modality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import combinations

import torch
from torch import Tensor, nn

from mmlib import losses

Transform = Callable[[Tensor, torch.Generator | None], Tensor]


def transformed(
    transforms: Sequence[Transform], batch: Sequence[Tensor], generator: torch.Generator | None
) -> list[Tensor]:
    """Each modality of ``batch`` through its own transform."""
    return [t(x, generator) for t, x in zip(transforms, batch, strict=True)]


def by_batch(head: nn.Module, features: Tensor) -> Tensor:
    """A head's output where its batch normalisations take the statistics of ``features``.

    So a head works in training. Where one head serves several masks or kinds of views, each has
    statistics of its own there, and the running ones are of no single one. The head stays as it is.

    >>> head = nn.BatchNorm1d(2, affine=False).eval()
    >>> by_batch(head, torch.tensor([[1.0, 5.0], [3.0, 7.0]])).round(decimals=3)
    tensor([[-1., -1.],
            [ 1.,  1.]])
    >>> head.running_mean
    tensor([0., 0.])
    """
    return deepcopy(head).train()(features)


def check_lengths(n_modalities: int, **parts: Sequence) -> None:
    """Raise ``ValueError`` unless each of ``parts`` has one entry per modality."""
    for name, entries in parts.items():
        if len(entries) != n_modalities:
            raise ValueError(f"{name} has {len(entries)} entries for {n_modalities} modalities")


def mean_match(embeddings: Sequence[Tensor]) -> Tensor:
    """Percent of rows that match across two modalities, the mean over all pairs of them.

    >>> mean_match([torch.eye(4), torch.eye(4), torch.eye(4).roll(1, 0)])
    tensor(33.3333)
    """
    pairs = combinations(embeddings, 2)
    return torch.stack([losses.match_accuracy(a, b) for a, b in pairs]).mean()
