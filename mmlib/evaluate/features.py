"""Embeddings of samples that share inputs, each input encoded once; fewer features of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmlib._checks import check_range, check_shape
from mmlib.encoders.folded import folded
from mmlib.methods import transformed
from mmlib.methods.fused import FusedEncoder

_AT_ONCE = 256  # inputs, and then samples


@torch.no_grad()
def embed_pairs(method: nn.Module, inputs: Sequence[Tensor], places: Sequence[Tensor]) -> Tensor:
    """Embeddings (P, E) of P samples, each made of one input of each modality.

    Every input that occurs goes through its encoder once, however many samples it is part of: what
    :meth:`embed` of the method gives for the samples, up to rounding. One extraction serves all
    labels.

    Args:
        method: any of :mod:`mmlib.methods`; it is left in evaluation mode.
        inputs: raw tensors (N_m, ...), one per modality; may be the same tensor.
        places: long (P,), one per modality: the place in ``inputs`` of each sample's part.

    Raises ``ValueError`` unless there are as many ``places`` as ``inputs``, all of one length.
    """
    if len(places) != len(inputs):
        raise ValueError(f"places has {len(places)} entries for {len(inputs)} modalities")
    for place in places:
        check_shape("places", place, "P", P=len(places[0]))
    method = folded(method.eval())
    encoded, rows = [], []
    for k, (x, place) in enumerate(zip(inputs, places, strict=True)):
        used, row = place.to(x.device).unique(return_inverse=True)
        encoded.append(torch.cat([method.encode(k, x[u]) for u in used.split(_AT_ONCE)]))
        rows.append(row)
    batches = zip(*(row.split(_AT_ONCE) for row in rows), strict=True)
    found = [
        method.combine([part[row] for part, row in zip(encoded, batch, strict=True)])
        for batch in batches
    ]
    return torch.cat(found).float()


@torch.no_grad()
def head_inputs(
    method: nn.Module, inputs: Sequence[Tensor], generator: torch.Generator | None = None
) -> list[tuple[nn.Module, Tensor]]:
    """Each head of a method, and what it is given (N, F) to make what the loss compares.

    Of a method with a fusion one for each of its ``masks``, of any other one for each modality.
    They are of the samples as they are or, with a ``generator``, of a random view of each. The
    method is left in evaluation mode: there a head's batch normalisations take the statistics that
    ran along in training; by :func:`mmlib.methods.by_batch` they take those of all N.
    """
    method.eval()
    transforms = method.prepare if generator is None else method.augment
    batches = zip(*(x.split(_AT_ONCE) for x in inputs), strict=True)
    views = (transformed(transforms, batch, generator) for batch in batches)
    if isinstance(method, FusedEncoder):
        heads = [method.head] * len(method.masks)
        found = [method.fuse(view, method.masks) for view in views]
    else:
        heads = method.projections
        found = [[e(x) for e, x in zip(method.encoders, view, strict=True)] for view in views]
    return list(zip(heads, map(torch.cat, zip(*found, strict=True)), strict=True))


def principal_components(features: Mapping[str, Tensor], components: int) -> dict[str, Tensor]:
    """Features (N, F) of each part on the ``components`` directions of largest variance in "train".

    They are (N, C), from the smallest of these variances to the largest, with mean zero over the
    part ``"train"``; at most C features stay as they are. Raises ``ValueError`` for less than one.
    """
    check_range("components", components, 1)
    if features["train"].shape[1] <= components:
        return dict(features)
    mean = features["train"].mean(dim=0)
    centred = (features["train"] - mean).double()
    directions = torch.linalg.eigh(centred.mT @ centred)[1][:, -components:].to(mean)
    return {part: (x - mean) @ directions for part, x in features.items()}


def codes(units: Tensor, alike: float) -> Tensor:
    """A code (N,) for each of unit vectors (N, E): that of the first with a cosine above ``alike``.

    >>> codes(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.9, 0.436]]), alike=0.8)
    tensor([0, 1, 0])
    """
    first = (units @ units.T > alike).double().argmax(dim=1)
    return first.unique(return_inverse=True)[1]
