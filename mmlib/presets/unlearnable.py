"""Settings of chapter 6: unlearnable examples, after MEM."""

from __future__ import annotations

from typing import Literal

from mmlib.presets.base import Field
from mmlib.presets.protected import ProtectedSettings


class UnlearnableSettings(ProtectedSettings):
    """Which scenes are protected how, and how the hackers train on them."""

    n_train: int = Field(ge=4, description="scenes that are published, five captions each")
    unit: Literal["image", "pair"] = Field(description="what has its own noise and trigger")
    trigger_length: int = Field(ge=1, description="words in front of each caption, K")
    points: int = Field(ge=1, description="points of the retrieval curves")


_SAME = {
    "pixel_noise": 0.2, "schedule": "constant", "epsilon": 8, "trigger_length": 3, "noise_steps": 8,
}  # fmt: skip
_SMALL = {
    **_SAME, "unit": "image", "trunk": "small",
    "patches": 4, "patch_depth": 2, "patch_heads": 4, "text_depth": 1, "learning_rate": 1e-3,
    "weight_decay": 0.1, "precision": "float32", "surrogate_learning_rate": 1e-3,
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_SMALL, "n_train": 32, "n_test": 12, "image_size": 16, "width": 4, "patch_width": 16,
        "text_width": 16, "text_heads": 2, "features": 16,
        "steps": 4, "batch_size": 16, "warmup_steps": 0, "points": 2,
        "rounds": 2, "trigger_rounds": 1, "surrogate_steps": 2, "candidates": 4,
    },
    "quick": {
        **_SMALL, "n_train": 2048, "n_test": 500, "image_size": 32, "width": 16, "patch_width": 64,
        "text_width": 64, "text_heads": 4, "features": 64,
        "steps": 400, "batch_size": 128, "warmup_steps": 0, "points": 8,
        "rounds": 3, "trigger_rounds": 1, "surrogate_steps": 30, "candidates": 8,
    },
    # A core trains a hacker in half a minute; a seed takes five.
    "desk": {
        **_SMALL, "n_train": 4096, "n_test": 1000, "image_size": 32, "width": 16, "patch_width": 64,
        "text_width": 64, "text_heads": 4, "features": 128,
        "steps": 800, "batch_size": 128, "warmup_steps": 50, "points": 16,
        "rounds": 4, "trigger_rounds": 2, "surrogate_steps": 40, "candidates": 16,
    },
    # Networks, budget and schedule of the released code on Flickr8K; the data stay the scenes, and
    # the vocabulary has their words.
    # Its warm-up of 10,000 steps to 5e-4, counted from the first epoch's end, never ends: this is
    # the part of it that 7,488 steps see.
    "paper": {
        **_SAME, "n_train": 6000, "n_test": 1000, "image_size": 224, "unit": "pair",
        "trunk": "resnet50", "width": 64,
        "patches": 7, "patch_width": 768, "patch_depth": 12, "patch_heads": 12,
        "text_width": 512, "text_depth": 12, "text_heads": 8, "features": 1024,
        "steps": 7488, "batch_size": 128, "learning_rate": 3.861e-4, "warmup_steps": 7488,
        "weight_decay": 0.2, "precision": "bfloat16", "points": 32, "rounds": 20,
        "trigger_rounds": 5, "surrogate_steps": 200, "surrogate_learning_rate": 1e-4,
        "candidates": 16,
    },
}  # fmt: skip
