"""How one Trifeature image is drawn: shape masks, texture masks, the draws and their order.

All draws come from one numpy generator, in the order of CoMM's released generator (a
re-implementation of Hermann and Lampinen, 2020), so the same seed gives the same images. Rows i
and y run downward, columns j and x to the right.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import PCG64, Generator

SHAPES = tuple("triangle square plus circle tee rhombus pentagon star fivesquare trapezoid".split())
TEXTURES = tuple("solid stripes grid hexgrid dots noise triangles zigzags rain pluses".split())
COLORS = {  # name -> red, green, blue in [0, 1]
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "pink": (1, 0.4, 1),
    "cyan": (0, 1, 1),
    "purple": (0.3, 0, 0.5),
    "ocean": (0.1, 0.4, 0.5),
    "orange": (1, 0.6, 0),
    "white": (1, 1, 1),
}
CANVAS = 224  # pixels a side
_TEMPLATE = 128  # side of a shape before it is turned: it then fits on the canvas
_FIELD = 448  # side of a texture before it is turned: its centre then covers the canvas
_PERIOD = 10  # pixels after which a texture repeats
_GREY = 0.5
_DROP = 7  # height of a drop of rain


class Draw(NamedTuple):
    """What chance decides about one image; angles in degrees, the rest in pixels."""

    shape_angle: int
    top: int
    left: int
    texture_x: int
    texture_y: int
    field: dict | None  # the generator's state before the noise's pixels, or the rain's
    texture_angle: int


def draw(rng: Generator, texture: str) -> Draw:
    """Draw one image's chances. These calls, in this order, are what makes the images exact."""
    shape_angle = int(rng.integers(-45, 45))
    room = CANVAS - _turned_side(shape_angle)
    top, left = int(rng.integers(0, room)), int(rng.integers(0, room))
    texture_x, texture_y = int(rng.integers(0, _PERIOD)), int(rng.integers(0, _PERIOD))
    field = None
    if texture == "rain":
        rng.integers(0, _PERIOD)  # the released generator draws a number that it does not use
    if texture in ("noise", "rain"):
        field = _pass_over(rng, _FIELD**2)
    texture_angle = int(rng.integers(-45, 45))
    return Draw(shape_angle, top, left, texture_x, texture_y, field, texture_angle)


def _pass_over(rng: Generator, count: int) -> dict:
    """Leave out ``count`` uniform numbers; returns the state from which they are drawn.

    Small integers come two from a word; the half that waits for the next one stays.
    """
    bits = rng.bit_generator
    start = bits.state
    bits.advance(count)
    bits.state = start | {"state": bits.state["state"]}
    return start


def _bernoulli(start: dict, p: float) -> np.ndarray:
    """What ``binomial(1, p)`` gives from ``start`` for one pixel after the other: bool (448, 448).

    Each such call takes one uniform number and gives 1 where it exceeds 1 - p.
    """
    bits = PCG64(0)
    bits.state = start
    return Generator(bits).random((_FIELD, _FIELD)) > 1 - p


def render(shape: str, texture: str, color: str, chance: Draw, texture_zoom: int = 1) -> np.ndarray:
    """The image, uint8 (3, 224, 224)."""
    template = _turned_shape(shape, chance.shape_angle)
    below, right = chance.top + template.shape[0], chance.left + template.shape[1]
    inside = np.s_[chance.top : below, chance.left : right]
    on = _texture(texture, chance).ravel()[_source(chance.texture_angle, texture_zoom)[inside]]
    alpha = template * on
    paint = np.array(COLORS[color], dtype=float)[:, None, None]
    image = np.full((3, CANVAS, CANVAS), int(_GREY * 255), dtype=np.uint8)
    image[:, *inside] = (alpha * paint + (1 - alpha) * _GREY) * 255
    return image


def shape_mask(shape: str) -> np.ndarray:
    """Whether each pixel of the upright shape is on: bool (128, 128)."""
    i, j = np.ogrid[:_TEMPLATE, :_TEMPLATE]
    half = _TEMPLATE // 2
    i, j = np.broadcast_arrays(i, j)
    aside = np.abs(j - half)

    def between(margin: np.ndarray) -> np.ndarray:
        return (margin < j) & (j < _TEMPLATE - margin)

    def middle(k: np.ndarray) -> np.ndarray:
        return (k >= 43) & (k <= 85)

    if shape == "triangle":
        return aside < i // 2 + 1
    if shape == "square":
        return np.ones_like(i, dtype=bool)
    if shape == "plus":
        return middle(i) | middle(j)
    if shape == "circle":
        return (i + 0.5 - half) ** 2 + (j + 0.5 - half) ** 2 < half**2
    if shape == "tee":
        return middle(j) | (i <= 41)
    if shape == "rhombus":
        along = j - half + i // 2
        return (along > 0) & (along < half)
    if shape == "pentagon":  # 31 // 3.1 is 9 in binary fractions: so are the released shapes
        return np.where(i <= 50, aside < 1.25 * i + 1, between((i - 51) // 3.1))
    if shape == "star":
        r = i - 70

        def leg(k: np.ndarray) -> np.ndarray:
            return (42.24 - 0.43 * r < k) & (k < 79.36 - 1.05 * r)

        head = (i <= 50) & (aside < i // 4 + 1)
        arms = (i > 50) & (i <= 75) & between(2.4 * (i - 51))
        return head | arms | ((r >= 0) & (leg(j) | leg(_TEMPLATE - j)))
    if shape == "fivesquare":
        return (np.digitize(i, (42, 85)) + np.digitize(j, (42, 85))) % 2 == 0
    return between(i // 3.1)  # trapezoid


@cache
def texture_mask(texture: str) -> np.ndarray:
    """Whether each pixel of a periodic texture is on: bool (457, 457), room for both phases."""
    side = _FIELD + _PERIOD - 1
    y, x = np.ogrid[:side, :side]
    y, x = np.broadcast_arrays(y, x)
    v, u, odd = y % _PERIOD, x % _PERIOD, (y // _PERIOD) % 2 == 1
    stripes = v < 3
    if texture == "solid":
        return np.ones_like(stripes)
    if texture == "stripes":
        return stripes
    if texture == "grid":
        return stripes | (u < 3)
    if texture == "hexgrid":
        lean = (1.73 * y).astype(int)
        return ((x + lean) % _PERIOD < 2) | ((x - lean) % _PERIOD < 2) | (v < 2)
    if texture == "dots":
        return (u - 5) ** 2 + (v - 5) ** 2 < 16
    if texture == "triangles":
        return v // 2 > np.abs(u - 5)
    if texture == "zigzags":
        along = np.where(odd, 9 - u, u)
        return (v // 2 < along) & (along < 5 + v // 2)
    wide, high = np.abs(u - 5) < 1.5, np.abs(v - 5) < 1.5  # pluses, half a period apart
    return np.where(odd, (u < 1.5) | (10 - u < 1.5) | (high & ~wide), wide | high)


def _texture(texture: str, chance: Draw) -> np.ndarray:
    """The texture before it is turned: bool (448, 448)."""
    if texture == "noise":
        return _bernoulli(chance.field, 0.5)
    if texture == "rain":
        starts = _bernoulli(chance.field, 0.05)
        on = starts.copy()
        for below in range(1, _DROP):
            on[below:] |= starts[:-below]
        return on
    y, x = chance.texture_y, chance.texture_x
    return np.ascontiguousarray(texture_mask(texture)[y : y + _FIELD, x : x + _FIELD])


@lru_cache(maxsize=90)  # all angles of the shape that is being drawn
def _turned_shape(shape: str, angle: int) -> np.ndarray:
    """The shape's cover of each pixel after turning, in [0, 1]: float64 (side, side)."""
    from scipy import ndimage

    return ndimage.rotate(shape_mask(shape).astype(float), angle, order=1)


@cache
def _turned_side(angle: int) -> int:
    from scipy import ndimage

    return len(ndimage.rotate(np.zeros((_TEMPLATE, _TEMPLATE)), angle, order=0))


@cache
def _source(angle: int, zoom: int) -> np.ndarray:
    """Which pixel of the flat texture each pixel of the canvas shows: int32 (224, 224).

    Turning the pixels' numbers once for each angle, instead of each texture, gives the same nearest
    neighbours, ties included, and leaves one look-up for each image.
    """
    from scipy import ndimage

    numbers = np.arange(_FIELD**2, dtype=np.int32).reshape(_FIELD, _FIELD)
    turned = ndimage.rotate(numbers, angle, reshape=False, order=0)
    edge = (_FIELD - CANVAS) // 2
    y, x = np.divmod(turned[edge:-edge, edge:-edge], _FIELD)
    return y // zoom * _FIELD + x // zoom
