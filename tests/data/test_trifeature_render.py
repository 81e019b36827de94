"""One Trifeature image against the released generator's plain loops over pixels."""

import math

import numpy as np
import pytest
from scipy import ndimage

from mmlib.data import _trifeature_render as rendering


def plain_shape(shape, i, j):
    """Whether pixel (i, j) of the upright shape is on: the sheet's sentence, for one pixel."""
    cut = lambda k: (k >= 42) + (k >= 85)  # noqa: E731
    leg = lambda k, r: 42.24 - 0.43 * r < k < 79.36 - 1.05 * r  # noqa: E731
    if shape == "triangle":
        return abs(j - 64) < math.floor(i / 2) + 1
    if shape == "square":
        return True
    if shape == "plus":
        return 43 <= j <= 85 or 43 <= i <= 85
    if shape == "circle":
        return math.dist((i + 0.5, j + 0.5), (64, 64)) < 64
    if shape == "tee":
        return 43 <= j <= 85 or i <= 41
    if shape == "rhombus":
        return 0 < j - 64 + math.floor(i / 2) < 64
    if shape == "pentagon" and i > 50:
        return (i - 51) // 3.1 < j < 128 - (i - 51) // 3.1
    if shape == "pentagon":
        return abs(j - 64) < 1.25 * i + 1
    if shape == "star":
        on = i <= 50 and abs(j - 64) < math.floor(i / 4) + 1
        on |= 51 <= i <= 75 and 2.4 * (i - 51) < j < 128 - 2.4 * (i - 51)
        return on or (i >= 70 and (leg(j, i - 70) or leg(128 - j, i - 70)))
    if shape == "fivesquare":
        return (cut(i) + cut(j)) % 2 == 0
    return i // 3.1 < j < 128 - i // 3.1


def plain_texture(texture, y, x):
    """Whether pixel (y, x) of a periodic texture is on: the sheet's sentence, for one pixel."""
    v, u, odd = y % 10, x % 10, (y // 10) % 2 == 1
    if texture == "solid":
        return True
    if texture == "stripes":
        return v < 3
    if texture == "grid":
        return v < 3 or u < 3
    if texture == "hexgrid":
        return (x + int(1.73 * y)) % 10 < 2 or (x - int(1.73 * y)) % 10 < 2 or v < 2
    if texture == "dots":
        return (u - 5) ** 2 + (v - 5) ** 2 < 16
    if texture == "triangles":
        return math.floor(v / 2) > abs(u - 5)
    if texture == "zigzags":
        return math.floor(v / 2) < (9 - u if odd else u) < 5 + math.floor(v / 2)
    if odd:
        return u < 1.5 or 10 - u < 1.5 or (abs(v - 5) < 1.5 and abs(u - 5) > 1.5)
    return abs(u - 5) < 1.5 or abs(v - 5) < 1.5


def plain_image(rng, shape, texture, color):
    """One image as the released generator draws it: scalar draws, loops, full rotations."""
    mask = np.array([[plain_shape(shape, i, j) for j in range(128)] for i in range(128)], float)
    mask = ndimage.rotate(mask, rng.integers(-45, 45), order=1)
    top = rng.integers(0, 224 - mask.shape[0])
    left = rng.integers(0, 224 - mask.shape[1])
    alpha = np.zeros((224, 224))
    alpha[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    ox, oy = rng.integers(0, 10), rng.integers(0, 10)
    field = np.zeros((448, 448))
    if texture == "noise":
        field = rng.binomial(1, 0.5, (448, 448)).astype(float)
    elif texture == "rain":
        rng.integers(0, 10)
        for i in range(448):
            for j in range(448):
                if rng.binomial(1, 0.05):
                    field[i : i + 7, j] = 1
    else:
        for i in range(448):
            for j in range(448):
                field[i, j] = plain_texture(texture, i + oy, j + ox)
    field = ndimage.rotate(field, rng.integers(-45, 45), reshape=False, order=0)
    alpha = (alpha * field[112:336, 112:336])[..., None]
    pixels = alpha * np.array(rendering.COLORS[color]) + (1 - alpha) * 0.5
    return (pixels * 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(10))
def test_images_are_those_of_plain_loops(seed):
    shape, texture = rendering.SHAPES[seed], rendering.TEXTURES[(3 * seed + 2) % 10]
    color = list(rendering.COLORS)[seed]
    rng, plain = np.random.default_rng(seed), np.random.default_rng(seed)
    pixels = rendering.render(shape, texture, color, rendering.draw(rng, texture))
    assert np.array_equal(pixels.transpose(1, 2, 0), plain_image(plain, shape, texture, color))
    assert rng.bit_generator.state == plain.bit_generator.state  # so the next is right too


@pytest.mark.parametrize("angle", [-45, -30, 0, 44])  # the first has pixels that tie
def test_one_look_up_turns_as_the_rotation_does(angle):
    field = np.random.default_rng(0).integers(0, 2, (448, 448)).astype(float)
    turned = ndimage.rotate(field, angle, reshape=False, order=0)[112:336, 112:336]
    assert np.array_equal(field.ravel()[rendering._source(angle, 1)], turned)


def test_textures_can_be_enlarged():
    upright = rendering.draw(np.random.default_rng(0), "stripes")._replace(
        shape_angle=0, texture_angle=0, top=48, left=48, texture_y=0
    )
    plain, large = (
        rendering.render("square", "stripes", "white", upright, zoom)[0, 48:176, 112] == 255
        for zoom in (1, 3)
    )
    rows = np.arange(48, 176) + 112
    assert np.array_equal(plain, rows % 10 < 3)
    assert np.array_equal(large, rows // 3 % 10 < 3)
    flat = np.arange(448**2).reshape(448, 448)[:150, :150]
    thrice = flat.repeat(3, axis=0).repeat(3, axis=1)  # to both sides
    assert np.array_equal(rendering._source(0, 3), thrice[112:336, 112:336])
