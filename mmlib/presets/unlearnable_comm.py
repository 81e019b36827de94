"""Settings of chapter 14: does MEM protect pairs from CoMM and from self-supervision?"""

from __future__ import annotations

from typing import Literal

from mmlib.presets import unlearnable
from mmlib.presets.base import Field
from mmlib.presets.protected import ProtectedSettings

Method = Literal["clip", "clip_views", "cross_self", "alone", "comm", "comm_samples"]
Published = Literal["random_tokens", "mem_3", "mem_images", "mem_views", "comm_views"]


class CommHackerSettings(ProtectedSettings):
    """Which hackers train on what, and what is asked of their encoders."""

    data: Literal["scenes", "flickr8k"] = Field(description="images with captions and labels")
    n_labelled: int = Field(ge=12, description="clean labelled images that probes are fitted on")
    methods: tuple[Method, ...] = Field(min_length=1, description="how hackers train")
    published: tuple[Published, ...] = Field(description="what is published, beside clean pairs")
    crop_low: float = Field(gt=0, le=1, description="smallest share of an image in a view")
    fusion_heads: int = Field(ge=1, description="attention heads of CoMM's fusion")
    head_features: int = Field(ge=1, description="what projection heads give")
    points: int = Field(ge=1, description="points of the retrieval curves")


# Networks and budget are chapter 6's but for what is named here.
_CHAPTER_6 = ProtectedSettings.part_of(unlearnable.PRESETS)
_SAME = {"data": "scenes", "crop_low": 0.5}
_ALL = {"methods": Method.__args__, "published": Published.__args__}

PRESETS = {
    "smoke": {
        **_CHAPTER_6["smoke"], **_SAME, **_ALL,
        "n_test": 40, "n_labelled": 64, "fusion_heads": 2, "head_features": 16, "points": 1,
    },
    "quick": {
        **_CHAPTER_6["quick"], **_SAME,
        "methods": ("clip", "comm"), "published": ("mem_3",),
        "n_train": 1536, "n_test": 250, "n_labelled": 400, "fusion_heads": 4, "head_features": 64,
        "steps": 160, "learning_rate": 2e-3, "points": 1,
    },
    # CoMM takes a core 0.1 s a step; a seed takes ten minutes.
    "desk": {
        **_CHAPTER_6["desk"], **_SAME, **_ALL,
        "published": ("random_tokens", "mem_3", "mem_images"),
        "n_train": 2048, "n_labelled": 1600, "fusion_heads": 4, "head_features": 64,
        "steps": 400, "points": 4,
    },
    "paper": {
        **_CHAPTER_6["paper"], **_SAME, **_ALL,
        "n_labelled": 6000, "fusion_heads": 8, "head_features": 256, "points": 32,
    },
}  # fmt: skip
