"""Settings of CoMM's ablations: other fusions, other views, one more term."""

from __future__ import annotations

from typing import Annotated, Literal

from mmlib.presets import comm
from mmlib.presets.base import Field
from mmlib.presets.trifeature import Fusion, TrifeatureSettings, Views

# Views of image 1 and image 2.
VIEWS: dict[str, tuple[Views, Views]] = {
    "full": ("full", "full"),
    "no_crop": ("no_crop", "no_crop"),
    "crop": ("crop", "crop"),
    "light": ("light", "light"),
    "none": ("none", "none"),
    "full_light": ("full", "light"),
    "light_full": ("light", "full"),
}
Pair = Literal["full", "no_crop", "crop", "light", "none", "full_light", "light_full"]


class CommAblationSettings(TrifeatureSettings):
    """The world and the network of chapter 3, and what is changed about CoMM."""

    fusions: tuple[Fusion, ...] = Field(min_length=1, description="fusions that are compared")
    views: tuple[Pair, ...] = Field(min_length=1, description="views that are compared")
    crop_lows: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        description="smallest crops, beside the preset's, that are compared"
    )
    matchings: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1, description="weights of the matching term that one is chosen from"
    )
    validation: float = Field(
        gt=0, lt=1, description="share of each shape's training combinations to choose it on"
    )
    steps: int = Field(ge=1, description="optimiser steps on pairs of free texture and colour")
    resamples: int = Field(ge=10, description="of combinations, for an interval")


_CHAPTER_3 = TrifeatureSettings.part_of(comm.PRESETS)  # world, network and training
_EVERY_FUSION = Fusion.__args__

PRESETS = {
    "smoke": {
        **_CHAPTER_3["smoke"], "textures": ("stripes", "dots", "pluses"),
        "colors": ("yellow", "white", "red"), "fusions": _EVERY_FUSION, "views": tuple(VIEWS),
        "crop_lows": (0.9,), "matchings": (0.3, 1.0), "validation": 0.25,
        "steps": 2, "resamples": 10,
    },
    "quick": {
        **_CHAPTER_3["quick"], "convention": "released",
        "fusions": ("transformer", "linear"), "views": ("full", "none"), "crop_lows": (),
        "matchings": (0.3, 1.0), "validation": 0.25,
        "steps": 100, "synergy_steps": 100, "resamples": 200,
    },
    "desk": {
        **_CHAPTER_3["desk"], "fusions": _EVERY_FUSION, "views": tuple(VIEWS),
        "crop_lows": (0.3, 0.9), "matchings": (0.1, 0.3, 1.0), "validation": 0.25,
        "steps": 600, "synergy_steps": 600, "resamples": 1000,
    },
    "paper": {
        **_CHAPTER_3["paper"], "fusions": _EVERY_FUSION, "views": tuple(VIEWS),
        "crop_lows": (0.3, 0.6, 0.9), "matchings": (0.1, 0.3, 1.0), "validation": 0.25,
        "steps": 15_700, "resamples": 1000,
    },
}  # fmt: skip
