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
from _measure import Report, parser, ratios

from mmlib.data import trifeature
from mmlib.data._trifeature_render import TEXTURES, draw, render

torch.set_num_threads(1)
plain_image = run_path(str(Path(__file__).parents[1] / "tests/data/test_trifeature_render.py"))[
    "plain_image"
]


def ours(textures):
    rng = np.random.default_rng(0)
    return [render("star", texture, "pink", draw(rng, texture)) for texture in textures]


def plain(textures):
    rng = np.random.default_rng(0)
    return [plain_image(rng, "star", texture, "pink") for texture in textures]


with Report("trifeature", "one thread", keep=parser(__doc__).parse_args().keep) as report:
    for name, textures in (("rain", ["rain"] * 3), ("every texture once", TEXTURES)):
        for image, expected in zip(ours(textures), plain(textures), strict=True):
            assert np.array_equal(image.transpose(1, 2, 0), expected)
        r = ratios(lambda t=textures: plain(t), lambda t=textures: ours(t))
        report.ratio(f"{name}, {len(textures)} images, beside loops over pixels", r)

    with tempfile.TemporaryDirectory() as folder:
        os.environ["MMLIB_DATA"] = folder
        for what, goal in (("rendered and kept", 20), ("read back and checked", None)):
            start = time.perf_counter()
            trifeature.load()
            seconds = time.perf_counter() - start
            report.number(f"2,600 images at 224 pixels {what}", seconds, "s", goal)
    start = time.perf_counter()
    world = trifeature.load(
        32,
        shapes=("square", "plus", "circle", "star"),
        textures=("solid", "stripes", "grid", "dots"),
        texture_zoom=3,
    )
    count = len(world.train) + len(world.test)
    seconds = time.perf_counter() - start
    report.number(f"smaller world of {count} images at 32 pixels", seconds, "s")
