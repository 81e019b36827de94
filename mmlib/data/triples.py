"""Triples of Trifeature images, whose pairwise and three-way interactions are known.

Three images show the same shape, each with a texture and a colour of its own. There are four of
each; write the number of a value in two bits, high and low. Then a triple has eight labels:

- R, the shape, which every image tells; U1, U2, U3, the textures, which one image tells;
- S12, S23 and S13: whether the texture of image 1 (2, 3) and the colour of image 2 (3, 1) agree in
  their high bits, which two images tell and no single one;
- S123: whether the low bits of the three textures have an even sum, which no two images tell.

All relations are about different bits, so they can hold together and none follows from others. In
the triples to learn from they all do, as pairs follow the map in CoMM's synergy experiment; what
two of these images share is then the shape and their own relation, exactly, and nothing that tells
S123. Triples to fit, to choose and to test a probe on are free.

Source: after CoMM's Trifeature experiments; the released code has no triples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.data import trifeature

SHAPES = ("square", "circle", "plus", "triangle")
TEXTURES = ("solid", "stripes", "dots", "pluses")
COLORS = ("red", "green", "blue", "yellow")
TASKS = ("R", "U1", "U2", "U3", "S12", "S13", "S23", "S123")
RENDERINGS = (30, 10)  # of each combination for training, and more of it for validation
_ZOOM = 4  # of textures, so that small images show them
_SIZES = {"learn": 10_240, "train": 4096, "validation": 2048, "test": 2560}  # triples, about


@dataclass(frozen=True)
class Triples:
    """P triples of images of one part."""

    images: Tensor  # uint8 (I, 3, S, S), of all parts
    places: Tensor  # long (P, 3): which of them are a triple's first, second and third
    combinations: Tensor  # long (P, 3): numbers of the combinations that these show
    tasks: dict[str, Tensor]  # the labels by their name in TASKS, each long (P,)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """First, second and third images, each uint8 (P, 3, S, S)."""
        return tuple(self.images[place] for place in self.places.T)


def tasks(values: Tensor) -> dict[str, Tensor]:
    """The labels of triples: values (P, 3, 3), shape, texture and colour number of each image.

    >>> square = torch.tensor([[[0, 0, 2], [0, 1, 0], [0, 3, 0]]])  # solid, stripes, pluses
    >>> {name: label.item() for name, label in tasks(square).items()}
    {'R': 0, 'U1': 0, 'U2': 1, 'U3': 3, 'S12': 1, 'S13': 1, 'S23': 1, 'S123': 1}
    """
    texture, color = values[..., 1], values[..., 2]
    return {
        "R": values[:, 0, 0],
        **{f"U{k + 1}": texture[:, k] for k in range(3)},
        "S12": (texture[:, 0] // 2 == color[:, 1] // 2).long(),
        "S13": (texture[:, 2] // 2 == color[:, 0] // 2).long(),
        "S23": (texture[:, 1] // 2 == color[:, 2] // 2).long(),
        "S123": (texture.sum(dim=1) % 2 == 0).long(),
    }


def load(
    size: int,
    *,
    follow: bool = True,
    renderings: tuple[int, int] = RENDERINGS,
    device: torch.device | str = "cpu",
) -> dict[str, Triples]:
    """Triples to ``"learn"`` from, and free ones for ``"train"``, ``"validation"`` and ``"test"``.

    A quarter of the combinations, in which each texture and each colour occurs once with each
    shape, are the test's; images of validation are further renderings of training's combinations.
    All choices of high and low bits of the textures and of high bits of the colours that a part
    allows occur equally often in it; which images show them is drawn, the same at every call. So no
    image tells S12, S13 or S23, and no two tell S123, up to the low bits of colours.

    ``follow`` says whether the triples to learn from follow all relations, or are free as well.
    ``size`` is the side of an image in pixels. Raises ``ValueError`` for ranges.

    >>> {name: len(part) for name, part in load(16, renderings=(1, 1)).items()}
    {'learn': 10240, 'train': 4096, 'validation': 2048, 'test': 2560}
    """
    for count in renderings:
        check_range("renderings", count, 1)
    kept = sum(renderings)
    world = trifeature.load(
        size, shapes=SHAPES, textures=TEXTURES, colors=COLORS, renderings=(kept, kept),
        texture_zoom=_ZOOM,
    )  # fmt: skip
    images = torch.cat([part.images for part in (world.train, world.test)])
    values = torch.cat([part.labels for part in (world.train, world.test)])
    combinations, which = values.unique(dim=0, return_inverse=True)
    shown_by = which.argsort(stable=True).view(len(combinations), kept)  # the images of each
    shape, texture, color = combinations.T
    tested = (color - texture - shape) % 4 == 0
    early, late = shown_by[:, : renderings[0]], shown_by[:, renderings[0] :]
    generator = torch.Generator().manual_seed(trifeature.SEED)
    found = {}
    for name, (own, among) in {
        "learn": (~tested, early), "train": (~tested, early),
        "validation": (~tested, late), "test": (tested, shown_by),
    }.items():  # fmt: skip
        rows = own.nonzero()[:, 0]
        chosen = rows[
            _choose(combinations[rows], _SIZES[name], follow and name == "learn", generator)
        ]
        drawn = torch.randint(among.shape[1], chosen.shape, generator=generator)
        places = among[chosen, drawn].to(device)
        labels = {task: label.to(device) for task, label in tasks(combinations[chosen]).items()}
        found[name] = Triples(images.to(device), places, chosen.to(device), labels)
    return found


def _choose(known: Tensor, n: int, follow: bool, generator: torch.Generator) -> Tensor:
    """About n triples (P, 3) of ``known`` combinations (C, 3), each choice of bits as often.

    They are in random order.
    """
    rows = torch.arange(len(known))
    triples = torch.cat(
        [torch.cartesian_prod(*[rows[known[:, 0] == s]] * 3) for s in known[:, 0].unique()]
    )
    values = known[triples]
    if follow:
        labels = tasks(values)
        holds = torch.stack([labels[name] for name in TASKS if name.startswith("S")]).all(dim=0)
        triples, values = triples[holds], values[holds]
    bits = torch.cat([values[:, :1, 0], values[..., 1], values[..., 2] // 2], dim=1)
    _, cell, counts = bits.unique(dim=0, return_inverse=True, return_counts=True)
    ordered = cell.argsort(stable=True)
    first = counts.cumsum(0) - counts
    times = max(1, n // len(counts))
    within = torch.rand(len(counts), times, generator=generator) * counts[:, None]
    chosen = ordered[(first[:, None] + within.long()).flatten()]
    return triples[chosen[torch.randperm(len(chosen), generator=generator)]]
