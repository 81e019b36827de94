"""Trifeature: images of one shape with one texture in one colour, ten of each, and pairs of them.

The 2,600 images, their split, the pairs and the map M are exactly those of CoMM's experiments; they
are drawn here, not downloaded. 200 of the 1,000 combinations are test images, so a test image shows
a new combination of a shape, a texture and a colour that are known from training.

A sample is an ordered pair of images of the same shape. What the two share is the shape
(redundancy, R); texture and colour of each are its own (uniqueness, U1 and U2: the texture of the
first and of the second image); synergy, S, is whether the map M sends the texture of the first
image to the colour of the second, which neither image tells alone.

Source: CoMM, released code, after Hermann and Lampinen (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mmlib._checks import check_choice, check_distinct, check_range
from mmlib.data._cache import cached
from mmlib.data._root import data_root
from mmlib.data._trifeature_images import RENDERINGS, SEED, Key, Values, images_of, keys_of
from mmlib.data._trifeature_render import CANVAS, COLORS, SHAPES, TEXTURES

_VERSION = 1  # of the files kept on disk; raise it when images or their order change


@dataclass(frozen=True)
class Part:
    """The N images of one part of the split."""

    images: Tensor  # uint8 (N, 3, S, S)
    labels: Tensor  # long (N, 3): index of the shape, the texture and the colour
    names: tuple[str, ...]  # such as circle_dots_blue_0 (train, rendering 0), circle_grid_blue

    def __len__(self) -> int:
        return len(self.names)

    def where(self, keep: Tensor) -> Part:
        """The images for which bool (N,) ``keep`` is true, in the same order."""
        names = tuple(name for name, kept in zip(self.names, keep.tolist(), strict=True) if kept)
        return Part(self.images[keep], self.labels[keep], names)


@dataclass(frozen=True)
class Pairs:
    """P ordered pairs of images of one part, and the label of each probe task."""

    first: Tensor  # long (P,), index of an image
    second: Tensor  # long (P,)
    labels: dict[str, Tensor]  # "R", "U1", "U2", "S", each long (P,)
    combinations: Tensor  # long (N,), number of the combination that each image of the part shows

    def __len__(self) -> int:
        return len(self.first)

    def where(self, keep: Tensor) -> Pairs:
        """The pairs for which bool (P,) ``keep`` is true, in the same order."""
        labels = {task: label[keep] for task, label in self.labels.items()}
        return replace(self, first=self.first[keep], second=self.second[keep], labels=labels)


@dataclass(frozen=True)
class Trifeature:
    """Images for training and for the test, the names of their values, and the map M."""

    train: Part
    test: Part
    shapes: tuple[str, ...]
    textures: tuple[str, ...]
    colors: tuple[str, ...]
    mapping: Tensor  # long (textures,): M, the index of the colour that goes with each texture
    val: Part | None = None  # what hold_out took from train

    @property
    def parts(self) -> dict[str, Part]:
        """The parts of the split by name: ``"train"``, ``"test"`` and, if held out, ``"val"``."""
        named = {"train": self.train, "test": self.test, "val": self.val}
        return {name: part for name, part in named.items() if part is not None}

    def hold_out(self, share: float, *, seed: int) -> Trifeature:
        """The same world, with some of the training images' combinations as its part ``"val"``.

        As in the test, whole combinations are held out: ``share`` of those of each shape, rounded
        and at least one, drawn with ``seed``, with all their renderings. Raises ``ValueError`` for
        a share outside (0, 1), and if training images would miss a shape, a texture or a colour.

        >>> world = load(16, shapes=["star", "plus"], textures=["grid", "dots"])
        >>> world = world.hold_out(0.25, seed=2)
        >>> len(world.train), len(world.val), set(world.train.names) & set(world.val.names)
        (69, 24, set())
        """
        check_range("share", share, 0, 1, open_low=True, open_high=True)
        rng = np.random.default_rng(seed)
        combinations, which = self.train.labels.unique(dim=0, return_inverse=True)
        held = torch.zeros(len(combinations), dtype=torch.bool)
        for shape in range(len(self.shapes)):
            own = (combinations[:, 0] == shape).nonzero()[:, 0]
            count = min(len(own), max(1, round(share * len(own))))
            held[own[rng.permutation(len(own))[:count]]] = True
        for k, (name, known) in enumerate(
            {"shapes": self.shapes, "textures": self.textures, "colors": self.colors}.items()
        ):
            seen = {known[value] for value in combinations[~held, k].tolist()}
            given = {known[value] for value in combinations[:, k].tolist()}
            if seen != given:
                raise ValueError(
                    f"share is {share!r}, which leaves no training image of the {name} "
                    f"{', '.join(sorted(given - seen))}"
                )
        held = held[which]
        return replace(self, train=self.train.where(~held), val=self.train.where(held))

    def pairs(
        self,
        split: str,
        n: int | None = None,
        *,
        biased: bool,
        seed: int,
        same_texture: bool = True,
    ) -> Pairs:
        """Draw at most ``n`` different ordered pairs of the same shape from one of :attr:`parts`.

        An image may be paired with itself. ``biased`` keeps to pairs whose texture of image 1 and
        colour of image 2 are in M, all with S = 1; without ``same_texture`` their textures differ
        (so say descriptions of the paper, not its code). By default all such pairs, in random
        order. With ``seed=SEED`` these are the released experiments' pairs: 10,000 of 576,846 for
        training (57,636 if biased), all 4,094 for the test. Raises ``ValueError`` for another
        ``split``, for ``n`` < 1 and where there is no such pair.
        """
        check_choice("split", split, self.parts)
        shape, texture, color = self.parts[split].labels.T
        partner = self.mapping[texture]
        allowed = shape[:, None] == shape
        if biased:
            allowed &= partner[:, None] == color
        if not same_texture:
            allowed &= texture[:, None] != texture
        allowed = allowed.flatten().nonzero()[:, 0]
        check_range("number of such pairs", len(allowed), 1)
        n = len(allowed) if n is None else min(check_range("n", n, 1), len(allowed))
        rng = np.random.default_rng(seed)
        rng.permutation(len(self.colors))  # the released experiments draw M first
        chosen = allowed[rng.choice(len(allowed), size=n, replace=False)]
        first, second = chosen // len(shape), chosen % len(shape)
        labels = {
            "R": shape[first],
            "U1": texture[first],
            "U2": texture[second],
            "S": (partner[first] == color[second]).long(),
        }
        shown = self.parts[split].labels.unique(dim=0, return_inverse=True)[1]
        return Pairs(first, second, labels, shown)


def load(
    size: int = CANVAS,
    *,
    shapes: Sequence[str] = SHAPES,
    textures: Sequence[str] = TEXTURES,
    colors: Sequence[str] = tuple(COLORS),
    renderings: tuple[int, int] = (RENDERINGS["train"], RENDERINGS["test"]),
    texture_zoom: int = 1,
) -> Trifeature:
    """Render the world at ``size`` x ``size`` pixels; at other sizes than 224 by area resampling.

    Fewer ``shapes``, ``textures`` or ``colors`` make a smaller world, of the same images as the
    whole one; M is then drawn among what is left, which needs as many colours as textures.
    ``renderings`` of each combination for training and for the test: the first (3, 1) are the
    released experiments', whatever the number, and come first. ``texture_zoom`` enlarges the
    textures, whose period of 10 pixels (of 224) vanishes in small images.

    The whole world is kept on disk (``MMLIB_DATA``, else ``data/``), smaller ones are not. Raises
    ``ValueError`` for unknown or repeated values and for a split that leaves a part empty.

    >>> world = load(32, shapes=["star", "plus"], textures=["grid", "dots"], renderings=(1, 2))
    >>> world.train.images.shape, world.test.names[0]
    (torch.Size([31, 3, 32, 32]), 'plus_dots_yellow')
    """
    check_range("size", size, 1)
    check_range("texture_zoom", texture_zoom, 1)
    known = {"shapes": SHAPES, "textures": TEXTURES, "colors": tuple(COLORS)}
    values = (tuple(shapes), tuple(textures), tuple(colors))
    for (name, allowed), given in zip(known.items(), values, strict=True):
        for value in given:
            check_choice(name, value, allowed)
        check_distinct(name, given)
    if len(colors) < len(textures):
        raise ValueError(f"colors has {len(colors)} values; allowed: {len(textures)} (textures) up")
    counts = dict(zip(RENDERINGS, renderings, strict=True))
    keys = {}
    for split, count in counts.items():
        check_range(f"renderings of {split}", count, 1)
        keys[split] = keys_of(split, count, values)
        if not keys[split]:
            raise ValueError(f"the world has no {split} images; allowed: more values")

    def build() -> dict[str, Tensor]:
        return images_of(keys, size, texture_zoom)

    if sum(map(len, values)) == sum(map(len, known.values())):
        what = f"v{_VERSION}-{size}px-{counts['train']}-{counts['test']}-zoom{texture_zoom}"
        images = cached(data_root() / "trifeature" / f"{what}.safetensors", build)
    else:
        images = build()
    mapping = np.random.default_rng(SEED).permutation(len(colors))[: len(textures)]
    parts = [_part(split, images[split], keys[split], values) for split in keys]
    return Trifeature(*parts, *values, torch.from_numpy(mapping))


def _part(split: str, images: Tensor, keys: list[Key], values: Values) -> Part:
    labels = [[known.index(v) for known, v in zip(values, key[1:4], strict=True)] for key in keys]
    names = ["_".join(key[1:4]) for key in keys]
    for place, key in enumerate(keys):
        if split == "train" or key.rendering > 0:
            names[place] += f"_{key.rendering}"
    return Part(images, torch.tensor(labels), tuple(names))
