"""Settings of the chapter on real data and three modalities: CoMM and its rivals on such sets."""

from __future__ import annotations

from typing import Literal, get_args

from mmlib.presets.base import Field
from mmlib.presets.modalities import ModalitySettings

Other = Literal["cross", "cross_self", "factorcl", "alone", "comm_tuned", "supcon"]


class CommRealSettings(ModalitySettings):
    """Which methods are trained, and how far the cost of a step is followed."""

    methods: tuple[Other, ...] = Field(description="what is trained beside CoMM")
    most_modalities: int = Field(ge=3, le=8, description="to which the cost of a step is followed")
    timed_steps: int = Field(ge=1, description="steps timed for each number of modalities")


_SAME = {
    "convention": "released", "masks": "single", "align": "light", "methods": get_args(Other),
    "texts": "whole", "padding": "seen", "temperature": 0.1, "weight_decay": 1e-2,
    "precision": "float32",
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_SAME, "data": "digits", "image_size": 8, "words": 50, "length": 8,
        "encoders": "small", "trunk_width": 4,
        "encoder_depth": 1, "encoder_heads": 2, "encoder_hidden": 16,
        "width": 16, "heads": 2, "head_hidden": 16, "head_features": 8,
        "crop_low": 0.6, "epochs": 1, "patience": 1, "batch_size": 360,
        "learning_rate": 1e-3, "warmup_epochs": 1, "schedule": "cosine", "probe_penalty": "l2",
        "components": 10, "resamples": 10, "most_modalities": 3, "timed_steps": 1,
    },
    "quick": {
        **_SAME, "data": "digits", "image_size": 16, "words": 2000, "length": 16,
        "encoders": "small", "trunk_width": 16,
        "encoder_depth": 1, "encoder_heads": 4, "encoder_hidden": 128,
        "width": 64, "heads": 4, "head_hidden": 64, "head_features": 64,
        "crop_low": 0.6, "epochs": 30, "patience": 3, "batch_size": 128,
        "learning_rate": 3e-3, "warmup_epochs": 0, "schedule": "constant", "probe_penalty": "l2",
        "components": 100, "resamples": 500, "most_modalities": 6, "timed_steps": 12,
    },
    "desk": {
        **_SAME, "data": "mosi", "image_size": 32, "words": 2000, "length": 16,
        "encoders": "small", "trunk_width": 16,
        "encoder_depth": 1, "encoder_heads": 4, "encoder_hidden": 128,
        "width": 64, "heads": 8, "head_hidden": 128, "head_features": 64,
        "crop_low": 0.3, "epochs": 50, "patience": 5, "batch_size": 64,
        "learning_rate": 1e-3, "warmup_epochs": 0, "schedule": "constant", "probe_penalty": "l2",
        "components": 200, "resamples": 1000, "most_modalities": 6, "timed_steps": 20,
    },
    # The released code's numbers for the affect sets of MultiBench, of which this is the first.
    "paper": {
        **_SAME, "data": "multibench_mosi", "image_size": 224, "words": 2000, "length": 16,
        "encoders": "published", "trunk_width": 64,
        "encoder_depth": 5, "encoder_heads": 5, "encoder_hidden": 2048,
        "width": 40, "heads": 8, "head_hidden": 512, "head_features": 256,
        "crop_low": 0.08, "epochs": 100, "patience": 10, "batch_size": 64, "learning_rate": 1e-3,
        "warmup_epochs": 0, "schedule": "constant", "probe_penalty": "unsquared",
        "components": 200, "resamples": 1000, "most_modalities": 6, "timed_steps": 20,
    },
}  # fmt: skip
