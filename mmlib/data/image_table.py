"""What every image-table data set gives: three parts, the table's columns, the classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.data.table import TableSchema


@dataclass(frozen=True)
class Part:
    """One part of a split: N images, their table rows and their labels."""

    images: Tensor  # uint8 (N, 3, S, S)
    table: Tensor  # float (N, C), continuous columns standardised
    labels: Tensor  # long (N,)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ImageTable:
    """A data set, split; ``mean`` and ``sd`` undo the standardisation of the continuous columns."""

    train: Part
    validation: Part
    test: Part
    mean: Tensor
    sd: Tensor
    columns: tuple[str, ...]  # names, continuous columns first
    categories: dict[str, tuple[str, ...]]  # meaning of each code of a categorical column
    classes: tuple[str, ...]

    @property
    def schema(self) -> TableSchema:
        codes = tuple(len(names) for names in self.categories.values())
        return TableSchema(len(self.columns) - len(codes), codes)


def split(
    images: Tensor,
    table: Tensor,
    labels: Tensor,
    rules: dict[str, Tensor],
    *,
    columns: tuple[str, ...],
    categories: dict[str, tuple[str, ...]],
    classes: tuple[str, ...],
    device: torch.device | str,
) -> ImageTable:
    """Standardise continuous columns by the training rows, and part everything by ``rules``.

    ``rules`` gives a bool (N,) for ``train``, ``validation`` and ``test``. A column that is
    constant on the training rows becomes zero there. Raises ``ValueError`` for less than two
    training rows, which have no deviation, and for another part without rows.
    """
    for name, rows in rules.items():
        check_range(f"rows of part {name!r}", int(rows.sum()), 2 if name == "train" else 1)
    n = len(columns) - len(categories)
    sd, mean = torch.std_mean(table[rules["train"], :n], dim=0)
    sd = torch.where(sd > 0, sd, 1.0)
    table = table.clone()
    table[:, :n] = (table[:, :n] - mean) / sd
    parts = {
        name: Part(*(t[rows].contiguous().to(device) for t in (images, table, labels)))
        for name, rows in rules.items()
    }
    return ImageTable(
        **parts,
        mean=mean.to(device),
        sd=sd.to(device),
        columns=columns,
        categories=categories,
        classes=classes,
    )
