"""Two or more modalities in one form, whatever they are; :mod:`mmlib.sets` has the sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlib._checks import check_choice, check_range
from mmlib.data.table import TableSchema
from mmlib.data.text import SPECIAL

_SIDE = 32  # of the largest image that is read without an encoder
Kind = Literal["image", "table", "vector", "sequence", "text"]


@dataclass(frozen=True, eq=False)
class Modality:
    """What one modality's tensors are.

    ``features`` is the side of an image in pixels, the columns of a table, the entries of a vector
    or of a step of a sequence, the words that a text's tokenizer knows. A table has a ``schema``
    and ``marginals``, the training rows that its views take values from; a text has a ``length`` in
    tokens; ``upright`` says of images that their mirror images are something else, ``blurred`` that
    their views are blurred half of the time. ``changes`` are what makes the views of vectors and
    sequences, in that order. ``network`` names the paper's encoder of it in
    :mod:`mmlib.methods.published`, if there is one; ``ids`` are its own ids (V,) of a text's, where
    it is a pre-trained one, and then ``features`` are those that raw features count, the most
    frequent.
    """

    name: str
    kind: Kind
    features: int
    schema: TableSchema | None = None
    marginals: Tensor | None = field(default=None, repr=False)
    length: int = 0
    upright: bool = False
    blurred: bool = False
    changes: tuple[Literal["drop", "noise"], ...] = ("drop", "noise")
    network: str = ""
    ids: Tensor | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Part:
    """N samples: an input (N, ...) of each modality, ``labels`` (N,) and ``units`` (N,).

    Samples of one unit, as the utterances of one video, are not independent of each other. Where a
    sample has several units, as a triple has images, ``units`` is (N, roles). ``tasks`` are
    further labels (N,), by name.
    """

    inputs: tuple[Tensor, ...]
    labels: Tensor
    units: Tensor
    tasks: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of_independent(cls, inputs: tuple[Tensor, ...], labels: Tensor) -> Part:
        """Samples each of which is a unit of its own."""
        return cls(inputs, labels, torch.arange(len(labels), device=labels.device))

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, rows: Tensor) -> Part:
        """The samples at those places."""
        tasks = {name: labels[rows] for name, labels in self.tasks.items()}
        inputs = tuple(x[rows] for x in self.inputs)
        return Part(inputs, self.labels[rows], self.units[rows], tasks)


@dataclass(frozen=True)
class Multimodal:
    """A set in three parts; the first two modalities are the pair that two-modality methods take.

    ``unit`` names what ``units`` number. ``target`` says what ``labels`` are: one of K ``classes``
    for each sample; of each of K whether the sample has it (N, K); or K numbers (N, K), of which
    ``classes`` are the names. ``learn`` is what methods learn from without labels, if that is not
    the training part, on which probes are fitted.
    """

    modalities: tuple[Modality, ...]
    train: Part
    validation: Part
    test: Part
    classes: tuple[str, ...]
    unit: str = "sample"
    learn: Part | None = None
    target: Literal["classes", "labels", "numbers"] = "classes"


def redrawn(
    data: Multimodal, sizes: Mapping[str, int], *, generator: torch.Generator
) -> dict[str, Part]:
    """Parts of those sizes, drawn anew from all three, none of whose samples are in two of them.

    Who is in which part is chance alone, so nothing but a training tells the parts apart. Units
    are not heeded. Raises ``ValueError`` where the sizes ask for more samples than there are.
    """
    parts = (data.train, data.validation, data.test)
    total = sum(map(len, parts))
    check_range("samples asked for", sum(sizes.values()), 1, total)
    pool = Part.of_independent(
        tuple(torch.cat(xs) for xs in zip(*(part.inputs for part in parts), strict=True)),
        torch.cat([part.labels for part in parts]),
    )
    order = torch.randperm(total, generator=generator, device=generator.device)
    pieces = order.to(pool.labels.device)[: sum(sizes.values())].split(list(sizes.values()))
    return {name: pool.at(piece) for name, piece in zip(sizes, pieces, strict=True)}


def with_entry(modality: Modality, batch: Tensor, codes: Tensor, kinds: int) -> tuple:
    """A modality and a batch of it that also tell a code (N,), from 0 to ``kinds`` - 1.

    A table gets one more column, a vector one more entry for each kind, a text one more word, its
    first, of as many that no other text has. A table's ``marginals`` have no such column and are
    left out. Raises ``ValueError`` for another kind of modality.

    >>> ids = torch.tensor([[1, 6, 2, 0]])
    >>> title = Modality("title", "text", 8, length=4)
    >>> title, longer = with_entry(title, ids, torch.tensor([1]), kinds=2)
    >>> longer, title.features, title.length
    (tensor([[1, 9, 6, 2, 0]]), 10, 5)
    """
    check_choice("kind", modality.kind, ("table", "vector", "text"))
    if modality.kind == "text":
        grown = replace(modality, features=modality.features + kinds, length=modality.length + 1)
        first = codes[:, None] + modality.features
        return grown, torch.cat([batch[:, :1], first.to(batch.dtype), batch[:, 1:]], dim=1)
    if modality.kind == "vector":
        entries = F.one_hot(codes, kinds).to(batch.dtype)
        grown = replace(modality, features=modality.features + kinds)
        return grown, torch.cat([batch, entries], dim=1)
    schema = modality.schema
    grown = replace(
        modality,
        features=modality.features + 1,
        schema=TableSchema(schema.n_continuous, (*schema.cardinalities, kinds)),
        marginals=None,
    )
    return grown, torch.cat([batch, codes[:, None].to(batch.dtype)], dim=1)


def as_vectors(modality: Modality, batch: Tensor) -> Tensor:
    """A batch as plain features (N, F), which a linear classifier can read without an encoder.

    Pixels in [0, 1], of images averaged down to 32 a side where they are larger; a table's columns
    with its codes one-hot; a vector itself; the mean over the steps of a sequence; how often a text
    has each word (special tokens do not count).

    >>> ids = torch.tensor([[1, 6, 9, 6, 2, 0]])  # 9 is beyond the words that are counted
    >>> as_vectors(Modality("title", "text", 8, length=6), ids)
    tensor([[0., 2., 0.]])
    """
    if modality.kind == "image":
        return torch.cat([_pixels(images) for images in batch.split(1024)])
    if modality.kind == "table":
        return modality.schema.one_hot(batch)
    if modality.kind == "sequence":
        return batch.mean(dim=1)
    if modality.kind == "text":
        counts = torch.zeros(len(batch), modality.features, device=batch.device)
        known = batch < modality.features
        counts.scatter_add_(1, batch * known, known.to(counts.dtype))
        return counts[:, len(SPECIAL) :]
    return batch


def _pixels(images: Tensor) -> Tensor:
    pixels = images.float() / 255
    if images.shape[-1] > _SIDE:
        pixels = F.adaptive_avg_pool2d(pixels, _SIDE)
    return pixels.flatten(1)
