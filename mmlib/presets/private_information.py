"""Settings of chapter 13: what label-DP costs each kind of information."""

from __future__ import annotations

from typing import Annotated, Literal

from mmlib.presets import comm
from mmlib.presets.base import Field
from mmlib.presets.trifeature import TrifeatureSettings

# How records are released: mmlib.studies.private_pairs.ways.
Way = Literal["double_rr", "moves", "redrawn_shape", "redrawn_texture"]


class PrivateInformationSettings(TrifeatureSettings):
    """The world and the network of chapter 3, the releases, and who is trained on them."""

    methods: tuple[Literal["cross", "comm"], ...] = Field(
        min_length=1, description="who is trained"
    )
    epsilon: float = Field(gt=0, description="the privacy loss that is looked at closely")
    epsilons: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        description="privacy losses of double RR, beside that one and 0"
    )
    trained: tuple[Way, ...] = Field(
        description="releases that methods are trained on, beside none and that of epsilon 0"
    )


_CHAPTER_3 = TrifeatureSettings.part_of(comm.PRESETS)
_ALL = {
    "methods": ("cross", "comm"), "epsilon": 5.0, "epsilons": (1.0, 3.0), "trained": Way.__args__,
}  # fmt: skip

PRESETS = {
    # Three values: with two, no pair that follows M has one of the textures.
    "smoke": {
        **_CHAPTER_3["smoke"], **_ALL,
        "shapes": ("square", "circle", "plus"), "textures": ("solid", "stripes", "dots"),
        "colors": ("red", "green", "blue"),
    },
    # Two releases of five, in a smaller world.
    "quick": {
        **_CHAPTER_3["quick"], **_ALL, "epsilons": (), "trained": ("redrawn_shape",),
        "synergy_steps": 100,
    },
    # Six values of each attribute: with four, a network that never saw the map scores high on S.
    "desk": {
        **_CHAPTER_3["desk"], **_ALL,
        "shapes": ("square", "circle", "plus", "triangle", "star", "tee"),
        "textures": ("solid", "stripes", "dots", "pluses", "grid", "noise"),
        "colors": ("red", "green", "blue", "yellow", "pink", "cyan"),
        "train_renderings": 20, "test_renderings": 8, "synergy_steps": 400,
    },
    "paper": {**_CHAPTER_3["paper"], **_ALL},
}  # fmt: skip
