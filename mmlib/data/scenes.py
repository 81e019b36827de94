"""Captioned scenes: two or three coloured shapes on a plain ground, drawn and described in code.

A :class:`Layout` says what is in each scene; :func:`render` draws all scenes at once, each time
with other positions, sizes, rotations, shades, light and pixel noise; :func:`describe` writes five
different captions of 5 to 15 words for each, all true of the layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mmlib._checks import check_range
from mmlib.data._scenes_captions import FORMS, Thing, caption

CAPTIONS = 5
LONGEST = 15  # words
MOST = 3  # shapes in a scene

SHAPES = ("circle", "square", "triangle", "cross", "ring", "bar")
SIZES = ("small", "large")
COLORS = {  # name -> red, green, blue in [0, 1]
    "red": (0.88, 0.10, 0.10),
    "green": (0.10, 0.65, 0.15),
    "blue": (0.12, 0.25, 0.92),
    "yellow": (0.95, 0.87, 0.10),
    "orange": (0.96, 0.50, 0.05),
    "purple": (0.52, 0.13, 0.70),
    "pink": (1.00, 0.55, 0.78),
    "cyan": (0.10, 0.80, 0.86),
}
BACKGROUNDS = {
    "black": (0.06, 0.06, 0.06),
    "grey": (0.50, 0.50, 0.50),
    "white": (0.96, 0.96, 0.96),
    "brown": (0.36, 0.22, 0.12),
}


@dataclass(frozen=True)
class Layout:
    """What is in N scenes. Shapes lie in different cells of a 3 x 3 grid, cell = 3 row + column.

    No two shapes of a scene share both shape and colour. Entries of ``shape``, ``color``,
    ``large`` and ``cell`` beyond ``count`` mean nothing.
    """

    count: Tensor  # (N,) 2 or 3
    shape: Tensor  # (N, 3) index into SHAPES
    color: Tensor  # (N, 3) index into COLORS
    large: Tensor  # (N, 3) bool
    cell: Tensor  # (N, 3) 0 to 8
    background: Tensor  # (N,) index into BACKGROUNDS

    def __getitem__(self, which) -> Layout:
        return Layout(*(getattr(self, field.name)[which] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.count)

    def present(self) -> dict[str, Tensor]:
        """Which ``colors`` (N, 8) and ``shapes`` (N, 6) a scene has, each bool.

        >>> layout = draw(1, generator=torch.Generator().manual_seed(0))
        >>> [SHAPES[s] for s in layout.present()["shapes"][0].nonzero()]
        ['circle', 'bar']
        """
        there = torch.arange(MOST, device=self.count.device) < self.count[:, None]
        kinds = {"colors": (self.color, COLORS), "shapes": (self.shape, SHAPES)}
        return {
            name: (torch.nn.functional.one_hot(of, len(names)).bool() & there[..., None]).any(1)
            for name, (of, names) in kinds.items()
        }


@dataclass(frozen=True)
class Scenes:
    """N scenes: ``images`` (N, 3, size, size) uint8, five ``captions`` each, and the ``layout``."""

    images: Tensor
    captions: list[tuple[str, ...]]
    layout: Layout


def make(n: int, size: int, *, noise: float = 0.05, generator: torch.Generator) -> Scenes:
    """Draw ``n`` scenes of ``size`` x ``size`` pixels with captions, on the generator's device.

    ``noise`` is the standard deviation of the pixel noise on the scale [0, 1]. The scenes are a
    function of the generator's state. Raises ``ValueError`` for ``n`` < 1, ``size`` < 8 or
    ``noise`` < 0.

    >>> scenes = make(2, 32, generator=torch.Generator().manual_seed(0))
    >>> scenes.images.shape, scenes.images.dtype
    (torch.Size([2, 3, 32, 32]), torch.uint8)
    >>> len(scenes.captions[0])
    5
    """
    layout = draw(n, generator=generator)
    captions = describe(layout, generator=generator)
    return Scenes(render(layout, size, noise=noise, generator=generator), captions, layout)


def draw(n: int, *, generator: torch.Generator) -> Layout:
    """Draw what is in ``n`` scenes: every attribute uniform, cells and kinds without repeats.

    >>> draw(4, generator=torch.Generator().manual_seed(0)).cell.shape
    torch.Size([4, 3])
    """
    check_range("n", n, 1)
    device = generator.device

    def distinct(kinds: int) -> Tensor:  # (n, 3) without replacement
        keys = torch.rand(n, kinds, generator=generator, device=device)
        return keys.argsort(1)[:, :MOST]

    def below(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator, device=device)

    kind = distinct(len(SHAPES) * len(COLORS))
    return Layout(
        count=2 + below(2, n),
        shape=kind % len(SHAPES),
        color=kind // len(SHAPES),
        large=below(2, n, MOST).bool(),
        cell=distinct(9),
        background=below(len(BACKGROUNDS), n),
    )


def render(layout: Layout, size: int, *, noise: float = 0.05, generator: torch.Generator) -> Tensor:
    """Draw the scenes of a layout as (N, 3, size, size) uint8 images.

    Each call places every shape anew within its cell, and draws its radius, rotation and shade, the
    scene's light and the pixel noise of standard deviation ``noise`` (scale [0, 1]).

    >>> layout = draw(1, generator=torch.Generator().manual_seed(0))
    >>> render(layout, 16, generator=torch.Generator().manual_seed(0)).float().mean() > 0
    tensor(True)
    """
    check_range("size", size, 8)
    check_range("noise", noise, 0.0)
    block = max(1, 2**22 // size**2)  # scenes at a time: memory must not grow with N
    starts = range(0, len(layout), block)
    return torch.cat([_render(layout[i : i + block], size, noise, generator) for i in starts])


def occupied(layout: Layout, size: int) -> Tensor:
    """Which pixels (N, size, size) lie in a cell that holds a shape; the margin is in none.

    A shape's centre is in its cell, and nine tenths of all shapes' pixels are in their cells.

    >>> layout = draw(1, generator=torch.Generator().manual_seed(0))
    >>> bool(occupied(layout, 20).sum() == layout.count * 6 * 6)
    True
    """
    check_range("size", size, 8)
    place = (torch.arange(size, device=layout.cell.device) + 0.5) / size
    along = ((place - 0.05) / 0.3).floor()  # row or column, -1 and 3 in the margin
    row, column = (layout.cell[..., None, None] // 3, layout.cell[..., None, None] % 3)
    inside = (along[:, None] == row) & (along == column)  # (N, slots, size, size)
    there = torch.arange(MOST, device=along.device) < layout.count[:, None]
    return (inside & there[..., None, None]).any(dim=1)


def _render(layout: Layout, size: int, noise: float, generator: torch.Generator) -> Tensor:
    n, device = len(layout), generator.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator, device=device)

    x = (torch.arange(size, device=device) + 0.5) / size
    y = x[:, None]
    palette = torch.tensor([*COLORS.values(), *BACKGROUNDS.values()], device=device)
    ground = palette[len(COLORS) + layout.background] + uniform(-0.05, 0.05, 3)
    shades = palette[layout.color] + uniform(-0.06, 0.06, MOST, 3)
    images = ground[:, :, None, None].expand(n, 3, size, size)
    small, large = uniform(0.085, 0.105, MOST), uniform(0.14, 0.16, MOST)
    radius = torch.where(layout.large, large, small)[..., None, None]
    turn = uniform(0.0, 2 * torch.pi, MOST)[..., None, None]
    # Cells are 0.3 apart: so small a jitter keeps "left of" and "above" true.
    jitter = uniform(-0.04, 0.04, MOST, 2)
    for slot in range(MOST):
        r, angle = radius[:, slot], turn[:, slot]
        cell = layout.cell[:, slot]
        centre_y = (0.2 + 0.3 * (cell // 3) + jitter[:, slot, 0])[:, None, None]
        centre_x = (0.2 + 0.3 * (cell % 3) + jitter[:, slot, 1])[:, None, None]
        dy, dx = (y - centre_y) / r, (x - centre_x) / r
        u = dx * angle.cos() + dy * angle.sin()  # (N, size, size) in units of the radius
        v = dy * angle.cos() - dx * angle.sin()
        outside = _distance(u, v, layout.shape[:, slot])
        cover = (0.5 - outside * r * size).clamp(0, 1)  # one pixel of soft edge
        cover = cover * (slot < layout.count)[:, None, None]
        images = torch.lerp(images, shades[:, slot, :, None, None], cover[:, None])

    angle = uniform(0.0, 2 * torch.pi, 1, 1)
    slope = (x - 0.5) * angle.cos() + (y - 0.5) * angle.sin()
    light = uniform(0.8, 1.1, 1, 1) * (1 + uniform(0.0, 0.4, 1, 1) * slope)
    grain = torch.randn(n, 3, size, size, generator=generator, device=device)
    images = images * light[:, None] + noise * grain
    return (images * 255).round_().clamp_(0, 255).to(torch.uint8)


def _distance(u: Tensor, v: Tensor, shape: Tensor) -> Tensor:
    """About the distance (N, H, W) to the outline of each scene's shape, negative inside."""
    length, a, b = torch.hypot(u, v), u.abs(), v.abs()
    far, near = torch.maximum(a, b), torch.minimum(a, b)
    of_each = {
        "circle": length - 1,
        "square": far - 0.89,
        "triangle": torch.maximum(v, 0.866 * a - 0.5 * v) - 0.75,
        "cross": torch.maximum(near - 0.36, far - 1.1),
        "ring": (length - 0.8).abs() - 0.28,
        "bar": torch.maximum(a - 1.35, b - 0.5),
    }
    distances = torch.stack([of_each[name] for name in SHAPES], dim=1)
    return distances[torch.arange(len(shape), device=shape.device), shape]


def describe(layout: Layout, *, generator: torch.Generator) -> list[tuple[str, ...]]:
    """Five different captions of 5 to 15 words for each scene of a layout.

    Synonyms, the order of the shapes, the relation told and the details left out are drawn anew for
    each caption; a scene's five captions have five of seven sentence forms. Every caption is true:
    its shapes can be found in the scene, standing as it says.

    >>> layout = draw(1, generator=torch.Generator().manual_seed(0))
    >>> for caption in describe(layout, generator=torch.Generator().manual_seed(0))[0]:
    ...     print(caption)
    a small purple bar with a circle above it
    a huge blue disc on the right and a little violet bar at the bottom
    one of two objects is a disc on a white backdrop
    a picture of a blue circle and a little purple stripe
    a small violet stripe to the left of a blue circle on a white background
    """
    n, device = len(layout), generator.device
    keys = torch.rand(n, FORMS, generator=generator, device=device)
    forms = keys.argsort(1)[:, :CAPTIONS].tolist()
    choices = torch.randint(2**31, (n, CAPTIONS, 32), generator=generator, device=device).tolist()
    grounds = [tuple(BACKGROUNDS)[ground] for ground in layout.background.tolist()]
    return [
        tuple(
            caption(form, things, ground, numbers, LONGEST)
            for form, numbers in zip(*drawn, strict=True)
        )
        for things, ground, *drawn in zip(_things(layout), grounds, forms, choices, strict=True)
    ]


def _things(layout: Layout) -> Iterator[list[Thing]]:
    columns = (layout.shape, layout.color, layout.large, layout.cell)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for count, row in zip(layout.count.tolist(), rows, strict=True):
        yield [
            Thing(SHAPES[s], tuple(COLORS)[c], SIZES[big], cell // 3, cell % 3)
            for s, c, big, cell in list(zip(*row, strict=True))[:count]
        ]
