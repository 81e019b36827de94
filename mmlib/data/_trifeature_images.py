"""Which images Trifeature's parts have, in which order, and from which draws: then all of them.

An image's chances are a function of what it shows and the number of its rendering, however many are
drawn. The released experiments' images are the first of each combination and come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmlib.data._trifeature_render import COLORS, SHAPES, TEXTURES, Draw, draw, render

SEED = 42  # of the images, the split and M; the released experiments draw the pairs with it too
RENDERINGS = {"train": 3, "test": 1}  # of each combination, in the released experiments
Values = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]  # shapes, textures, colours


class Key(NamedTuple):
    """One image. Sorted, those of the released experiments come first and in their order."""

    extra: int  # 0 for the released experiments' images, else the rendering
    shape: str
    texture: str
    color: str
    rendering: int


def _combinations(rng: np.random.Generator) -> list[tuple[str, str, str, str]]:
    """Split, shape, texture and colour of the 1,000 combinations, in the order of the draws."""
    is_test = np.repeat([1, 0], [200, 800])
    rng.shuffle(is_test)
    splits = [("train", "test")[flag] for flag in is_test]
    return [(s, *v) for s, v in zip(splits, product(SHAPES, TEXTURES, COLORS), strict=True)]


def keys_of(split: str, count: int, values: Values) -> list[Key]:
    """The images of one part, in order."""
    return sorted(
        Key(rendering if rendering >= RENDERINGS[split] else 0, *combination, rendering)
        for this, *combination in _combinations(np.random.default_rng(SEED))
        if this == split and all(map(tuple.__contains__, values, combination))
        for rendering in range(count)
    )


def _stream(counts: dict[str, int]) -> Iterator[tuple[str, Key, Draw]]:
    """The chances of every image of the whole world, in the order of the draws.

    The released images come from one generator, each further round of renderings from its own.
    """
    rng = np.random.default_rng(SEED)
    for split, *combination in _combinations(rng):
        for rendering in range(RENDERINGS[split]):
            yield split, Key(0, *combination, rendering), draw(rng, combination[1])
    for part, count in counts.items():
        for rendering in range(RENDERINGS[part], count):
            rng = np.random.default_rng([SEED, part == "test", rendering])
            for split, *combination in _combinations(np.random.default_rng(SEED)):
                if split == part:
                    yield split, Key(rendering, *combination, rendering), draw(rng, combination[1])


def images_of(keys: dict[str, list[Key]], size: int, zoom: int) -> dict[str, Tensor]:
    """Render the images of ``keys``: uint8 (N, 3, size, size) for each part."""
    images = {s: torch.empty(len(k), 3, size, size, dtype=torch.uint8) for s, k in keys.items()}
    places = {s: {key: place for place, key in enumerate(k)} for s, k in keys.items()}
    counts = {s: 1 + max(key.rendering for key in k) for s, k in keys.items()}
    for split, key, chance in _stream(counts):
        place = places[split].get(key)
        if place is not None:
            image = render(key.shape, key.texture, key.color, chance, zoom)
            images[split][place] = area_resize(torch.from_numpy(image), size)
    return images


def area_resize(image: Tensor, size: int) -> Tensor:
    """Resample uint8 (..., H, W) to ``size`` x ``size``: each pixel the mean of what it covers.

    >>> area_resize(torch.tensor([[0, 0, 90], [0, 0, 90], [0, 0, 90]], dtype=torch.uint8), 2)
    tensor([[ 0, 60],
            [ 0, 60]], dtype=torch.uint8)
    """
    if image.shape[-2:] == (size, size):
        return image
    rows, columns = (_covers(side, size) for side in image.shape[-2:])
    return (rows @ image.float() @ columns.mT).round().byte()


@cache
def _covers(pixels: int, size: int) -> Tensor:
    """Weight of each of ``pixels`` in the mean of each of ``size`` equal parts: (size, pixels)."""
    edge = torch.arange(size + 1, dtype=torch.float64) * pixels / size
    start = torch.arange(pixels)
    overlap = torch.minimum(edge[1:, None], start + 1) - torch.maximum(edge[:-1, None], start)
    return (overlap.clamp(min=0) * size / pixels).float()
