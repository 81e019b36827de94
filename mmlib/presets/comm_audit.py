"""Settings of the audit of CoMM: what its numbers can and cannot show."""

from __future__ import annotations

from mmlib.presets import comm
from mmlib.presets.base import Field
from mmlib.presets.trifeature import TrifeatureSettings


class CommAuditSettings(TrifeatureSettings):
    """The world and the network of chapter 3, and how often things are drawn again."""

    resamples: int = Field(ge=10, description="of what is drawn again for an interval")
    toy_values: int = Field(ge=2, le=4, description="shapes, textures and colours of exact worlds")
    toy_steps: int = Field(ge=1, description="optimiser steps on an exact world")


_CHAPTER_3 = TrifeatureSettings.part_of(comm.PRESETS)  # world, network and training

PRESETS = {
    "smoke": {  # with fewer steps on exact worlds, all trainings would end with the same codes
        **_CHAPTER_3["smoke"], "resamples": 10, "toy_values": 2, "toy_steps": 100,
    },
    "quick": {  # three shapes are enough for what is shown about S
        **_CHAPTER_3["quick"], "shapes": ("square", "circle", "plus"),
        "synergy_steps": 80, "resamples": 200, "toy_values": 3, "toy_steps": 300,
    },
    "desk": {**_CHAPTER_3["desk"], "resamples": 1000, "toy_values": 3, "toy_steps": 2000},
    "paper": {**_CHAPTER_3["paper"], "resamples": 1000, "toy_values": 3, "toy_steps": 2000},
}  # fmt: skip
