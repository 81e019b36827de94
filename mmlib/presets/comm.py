"""Settings of chapter 3: CoMM on Trifeature."""

from __future__ import annotations

from typing import Literal

from mmlib.data.trifeature import COLORS, SHAPES, TEXTURES
from mmlib.presets.base import Field
from mmlib.presets.trifeature import Method, TrifeatureSettings

# Where the released code and the paper's text or sound practice differ, as far as it is a choice.
PROTOCOLS = {
    "reference": {
        "convention": "released",  # mean of NT-Xent over n + 1 augmented masked views
        "probe_crops": True,  # probes see random crops, so a score is itself a little random
        "probe_penalty": "unsquared",  # the norm itself, of features that are not standardised
        "test_renderings": 1,  # with ten values of each attribute 4,094 pairs of 200 images
    },
    "clean": {
        "convention": "paper",  # sum of one-sided InfoNCE, the samples themselves masked
        "probe_crops": False,
        "probe_penalty": "l2",
        "test_renderings": 10,
    },
}


class CommSettings(TrifeatureSettings):
    """Who learns from the world, under which protocol, and how that is measured."""

    methods: tuple[Method, ...] = Field(min_length=1, description="who is trained")
    protocol: Literal["reference", "clean"] | None = Field(
        description="released code's choices or the paper's; None: a mixture of the preset's own"
    )
    steps: int = Field(ge=1, description="optimiser steps on pairs of free texture and colour")
    points: int = Field(ge=1, description="probes of each training, evenly spread")
    probe_crops: bool = Field(description="whether probes see random crops of the images")
    probe_penalty: Literal["l2", "unsquared"] = Field(description="norm of a probe's weights")
    resamples: int = Field(ge=10, description="draws of combinations for an interval")


# Four values of each attribute: with ten, S takes hours of two cores to leave 50. Crops keep more
# of an image than the paper's: a third of 24 pixels a side would be little of a shape.
_SMALL = {
    "image_size": 24, "shapes": ("square", "circle", "plus", "triangle"),
    "textures": ("solid", "stripes", "dots", "pluses"),
    "colors": ("red", "green", "blue", "yellow"), "texture_zoom": 4,
    "same_texture": True, "train_pairs": 10_000,
    "trunk": "small", "trunk_width": 16, "width": 64, "heads": 4,
    "head_hidden": 64, "head_features": 64, "temperature": 0.1,
    "crop_low": 0.6, "blur": False, "batch_size": 128,
    "learning_rate": 3e-3, "weight_decay": 1e-4, "precision": "float32",
    "probe_crops": False, "probe_penalty": "l2", "resamples": 200,
}  # fmt: skip

PRESETS = {
    "smoke": {
        "methods": (
            "cross", "cross_self", "cross_self_fused", "factorcl",
            "full_only", "masked_only", "comm", "supcon",
        ),
        "protocol": None, "convention": "released",
        "image_size": 16, "shapes": ("plus", "triangle"), "textures": ("stripes", "dots"),
        "colors": ("yellow", "white"), "texture_zoom": 5,
        "train_renderings": 4, "test_renderings": 4,
        "same_texture": True, "train_pairs": 64, "probe_pairs": 64,
        "trunk": "small", "trunk_width": 4, "width": 16, "heads": 2,
        "head_hidden": 16, "head_features": 8, "temperature": 0.1,
        "crop_low": 0.3, "blur": False, "steps": 2, "synergy_steps": 2, "batch_size": 16,
        "learning_rate": 1e-3, "weight_decay": 1e-4, "precision": "float32",
        "points": 1, "probe_crops": False, "probe_penalty": "l2", "resamples": 10,
    },
    "quick": {  # the loss is the paper's formula, where the larger ones take the released code's
        **_SMALL, "methods": ("cross", "cross_self", "comm"),
        "protocol": "clean", "convention": "paper",
        "train_renderings": 20, "test_renderings": 10, "probe_pairs": 1500,
        "steps": 300, "synergy_steps": 100, "points": 3,
    },
    "desk": {
        **_SMALL,
        "methods": (
            "cross", "cross_self", "factorcl", "full_only", "masked_only", "comm", "supcon",
        ),
        "protocol": None, "convention": "released",
        "train_renderings": 60, "test_renderings": 20, "probe_pairs": 3000,
        "steps": 900, "synergy_steps": 900, "points": 6,
    },
    # Every number is the released code's; bfloat16 is ours, for a GPU's matrix units.
    "paper": {
        "methods": (
            "cross", "cross_self", "factorcl", "full_only", "masked_only", "comm", "supcon",
        ),
        "protocol": "reference",
        "convention": "released",
        "image_size": 224, "shapes": SHAPES, "textures": TEXTURES, "colors": tuple(COLORS),
        "texture_zoom": 1,
        "train_renderings": 3, "test_renderings": 1,
        "same_texture": True, "train_pairs": 10_000, "probe_pairs": 10_000,
        "trunk": "alexnet", "trunk_width": 64, "width": 512, "heads": 8,
        "head_hidden": 512, "head_features": 256, "temperature": 0.1,
        "crop_low": 0.08, "blur": True, "steps": 15_700, "synergy_steps": 15_700,
        "batch_size": 64,
        "learning_rate": 3e-4, "weight_decay": 1e-4, "precision": "bfloat16",
        "points": 20, "probe_crops": True, "probe_penalty": "unsquared", "resamples": 200,
    },
}  # fmt: skip
