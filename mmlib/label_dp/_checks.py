"""What labels, indices of records and priors have to be."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlib._checks import check_range, check_shape


def check_labels(labels: Tensor, n_classes: int) -> None:
    """Raise unless ``labels`` are integers (N,) from 0 to K - 1, of a dtype that holds them all."""
    check_range("n_classes", n_classes, 2)
    _check_integers("label", labels, n_classes)
    check_range("n_classes", n_classes, 2, torch.iinfo(labels.dtype).max + 1)


def records_or_all(labels: Tensor, records: Tensor | None) -> Tensor:
    """Indices (Q,) of the records that are asked for, by default of all, each once."""
    if records is None:
        return torch.arange(len(labels), device=labels.device)
    _check_integers("record", records, len(labels))
    return records.long()  # torch takes uint8 for a mask


def prior_of_each(prior: Tensor, n_records: int, **sizes: int) -> Tensor:
    """Chances (N, K) of the classes for each record, from such or from (K,) for all.

    Raises ``ValueError`` for another shape, or another K than one in ``sizes``.
    """
    check_shape("prior", prior, "K" if prior.ndim == 1 else "N K", N=n_records, **sizes)
    return prior.expand(n_records, prior.shape[-1])


def _check_integers(name: str, values: Tensor, count: int) -> None:
    """Raise unless ``values`` are integers (N,) from 0 to ``count`` - 1."""
    check_shape(f"{name}s", values, "N")
    if values.is_floating_point() or values.dtype == torch.bool:
        raise ValueError(f"{name}s have dtype {values.dtype}; allowed: integers")
    if len(values):
        check_range(f"smallest {name}", values.min().item(), 0, count - 1)
        check_range(f"largest {name}", values.max().item(), 0, count - 1)
