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


PRESETS = {
    "smoke": {
        "n_train": 32, "n_test": 12, "image_size": 16, "pixel_noise": 0.2, "unit": "image",
        "trunk": "small", "width": 4,
        "patches": 4, "patch_width": 16, "patch_depth": 2, "patch_heads": 4,
        "text_width": 16, "text_depth": 1, "text_heads": 2, "features": 16,
        "steps": 4, "batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 0,
        "schedule": "constant", "weight_decay": 0.1, "precision": "float32", "points": 2,
        "epsilon": 8, "trigger_length": 3, "rounds": 2, "trigger_rounds": 1,
        "surrogate_steps": 2, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 4,
    },
    "quick": {
        "n_train": 2048, "n_test": 500, "image_size": 32, "pixel_noise": 0.2, "unit": "image",
        "trunk": "small", "width": 16,
        "patches": 4, "patch_width": 64, "patch_depth": 2, "patch_heads": 4,
        "text_width": 64, "text_depth": 1, "text_heads": 4, "features": 64,
        "steps": 400, "batch_size": 128, "learning_rate": 1e-3, "warmup_steps": 0,
        "schedule": "constant", "weight_decay": 0.1, "precision": "float32", "points": 8,
        "epsilon": 8, "trigger_length": 3, "rounds": 3, "trigger_rounds": 1,
        "surrogate_steps": 30, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 8,
    },
    # A core trains a hacker in half a minute; a seed takes five.
    "desk": {
        "n_train": 4096, "n_test": 1000, "image_size": 32, "pixel_noise": 0.2, "unit": "image",
        "trunk": "small", "width": 16,
        "patches": 4, "patch_width": 64, "patch_depth": 2, "patch_heads": 4,
        "text_width": 64, "text_depth": 1, "text_heads": 4, "features": 128,
        "steps": 800, "batch_size": 128, "learning_rate": 1e-3, "warmup_steps": 50,
        "schedule": "constant", "weight_decay": 0.1, "precision": "float32", "points": 16,
        "epsilon": 8, "trigger_length": 3, "rounds": 4, "trigger_rounds": 2,
        "surrogate_steps": 40, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 16,
    },
    # Networks, budget and schedule of the released code on Flickr8K; the data stay the scenes, and
    # the vocabulary has their words.
    # Its warm-up of 10,000 steps to 5e-4, counted from the first epoch's end, never ends: this is
    # the part of it that 7,488 steps see.
    "paper": {
        "n_train": 6000, "n_test": 1000, "image_size": 224, "pixel_noise": 0.2, "unit": "pair",
        "trunk": "resnet50", "width": 64,
        "patches": 7, "patch_width": 768, "patch_depth": 12, "patch_heads": 12,
        "text_width": 512, "text_depth": 12, "text_heads": 8, "features": 1024,
        "steps": 7488, "batch_size": 128, "learning_rate": 3.861e-4, "warmup_steps": 7488,
        "schedule": "constant", "weight_decay": 0.2, "precision": "bfloat16", "points": 32,
        "epsilon": 8, "trigger_length": 3, "rounds": 20, "trigger_rounds": 5,
        "surrogate_steps": 200, "surrogate_learning_rate": 1e-4, "noise_steps": 8, "candidates": 16,
    },
}  # fmt: skip
