"""Settings of the audit of CoMM: what its numbers can and cannot show."""

from __future__ import annotations

from typing import Any

from mmlib.presets import comm
from mmlib.presets.base import Field
from mmlib.presets.trifeature import TrifeatureSettings


class CommAuditSettings(TrifeatureSettings):
    """The world and the network of chapter 3, and how often things are drawn again."""

    resamples: int = Field(ge=10, description="of images, and of pairs, for an interval")
    toy_values: int = Field(ge=2, le=4, description="shapes, textures and colours of exact worlds")
    toy_steps: int = Field(ge=1, description="optimiser steps on an exact world")


def as_in_chapter_3(preset: str) -> dict[str, Any]:
    """World, network and training of a preset of chapter 3."""
    values = comm.PRESETS[preset].items()
    return {name: value for name, value in values if name in TrifeatureSettings.model_fields}


PRESETS = {
    "smoke": {**as_in_chapter_3("smoke"), "resamples": 10, "toy_values": 2, "toy_steps": 2},
    "quick": {  # three shapes are enough for what is shown about S
        **as_in_chapter_3("quick"), "shapes": ("square", "circle", "plus"),
        "synergy_steps": 80, "resamples": 200, "toy_values": 3, "toy_steps": 300,
    },
    "desk": {**as_in_chapter_3("desk"), "resamples": 1000, "toy_values": 3, "toy_steps": 2000},
    "paper": {**as_in_chapter_3("paper"), "resamples": 1000, "toy_values": 3, "toy_steps": 2000},
}  # fmt: skip
