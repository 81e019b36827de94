"""Settings of chapter 2: what two modalities share."""

from __future__ import annotations

from typing import Annotated

from mmlib.presets.base import Field, Settings

Size = Annotated[int, Field(ge=4)]


class InformationSettings(Settings):
    """How many toys the lemmas are checked on, and how large Trifeature's attributes are."""

    worlds: int = Field(ge=1, description="random worlds on which each lemma is checked")
    points: int = Field(ge=2, description="points of the curve over the dependence of two bits")
    values: int = Field(ge=3, le=10, description="values of each Trifeature attribute")
    small_values: int = Field(ge=2, le=4, description="values where all encoders are tried")
    pairs: int = Field(ge=100, description="training pairs of the sampled probes")
    test_pairs: int = Field(ge=100, description="test pairs of the sampled probes")
    hidden: int = Field(ge=1, description="random features of the fused control")
    sample_sizes: tuple[Size, ...] = Field(min_length=2, description="of the plug-in estimate")
    repeats: int = Field(ge=2, description="samples of each size")


PRESETS = {
    "smoke": {
        "worlds": 2, "points": 3, "values": 3, "small_values": 3, "pairs": 200, "test_pairs": 200,
        "hidden": 32, "sample_sizes": (8, 64), "repeats": 2,
    },
    "quick": {
        "worlds": 100, "points": 41, "values": 10, "small_values": 4, "pairs": 10_000,
        "test_pairs": 4_094, "hidden": 256,
        "sample_sizes": (8, 16, 32, 64, 128, 256, 512, 1024), "repeats": 30,
    },
    "desk": {
        "worlds": 1_000, "points": 101, "values": 10, "small_values": 4, "pairs": 10_000,
        "test_pairs": 10_000, "hidden": 512,
        "sample_sizes": (8, 16, 32, 64, 128, 256, 512, 1024, 4096), "repeats": 200,
    },
    "paper": {  # the pairs of CoMM's probe; nothing else of this chapter has a size of the paper's
        "worlds": 3_000, "points": 101, "values": 10, "small_values": 4, "pairs": 10_000,
        "test_pairs": 4_094, "hidden": 512,
        "sample_sizes": (8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16_384), "repeats": 500,
    },
}  # fmt: skip
