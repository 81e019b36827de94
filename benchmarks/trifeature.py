"""Rendering Trifeature: against loops over pixels with scalar draws, and the whole world.

python benchmarks/trifeature.py: one thread; prints ratios measured side by side, and the seconds
for all 2,600 images at 224 pixels (at most 20 on one core are allowed).
"""

import os
import tempfile
import time
from pathlib import Path
from runpy import run_path

import numpy as np
import torch
from _interleave import ratios

from mmlib.data import trifeature
from mmlib.data._trifeature_render import TEXTURES, draw, render

torch.set_num_threads(1)
plain_image = run_path(str(Path(__file__).parents[1] / "tests/data/test_trifeature.py"))[
    "plain_image"
]


def ours(textures):
    rng = np.random.default_rng(0)
    return [render("star", texture, "pink", draw(rng, texture)) for texture in textures]


def plain(textures):
    rng = np.random.default_rng(0)
    return [plain_image(rng, "star", texture, "pink") for texture in textures]


for name, textures in (("rain", ["rain"] * 3), ("every texture once", TEXTURES)):
    for image, expected in zip(ours(textures), plain(textures), strict=True):
        assert np.array_equal(image.transpose(1, 2, 0), expected)
    r = ratios(lambda t=textures: plain(t), lambda t=textures: ours(t))
    print(
        f"{name}: loops over pixels {1e3 * r['a'] / len(textures):.0f} ms an image,"
        f" mmlib {1e3 * r['b'] / len(textures):.1f} ms:"
        f" {r['ratio']:.0f} times as fast ({r['low']:.0f} to {r['high']:.0f})"
    )

with tempfile.TemporaryDirectory() as folder:
    os.environ["MMLIB_DATA"] = folder
    for what in ("rendered and kept", "read back and checked"):
        start = time.perf_counter()
        trifeature.load()
        print(f"2,600 images at 224 pixels {what}: {time.perf_counter() - start:.1f} s")
start = time.perf_counter()
world = trifeature.load(
    32,
    shapes=("square", "plus", "circle", "star"),
    textures=("solid", "stripes", "grid", "dots"),
    texture_zoom=3,
)
count = len(world.train) + len(world.test)
print(f"smaller world of {count} images at 32 pixels: {time.perf_counter() - start:.2f} s")
