"""Settings of the chapter on leaks: who was trained on, and what a published vector tells."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from mmlib.presets import comm_real
from mmlib.presets.base import Field
from mmlib.presets.modalities import ModalitySettings

Audited = Literal["cross_self", "full_only", "alone_first", "alone_second", "supervised"]
Pairs = Literal["cross", "cross_self", "comm"]


class LeakSettings(ModalitySettings):
    """How many records are members, how attacks look, and how vectors are blurred."""

    members: int = Field(ge=2, description="records that are trained on, and a reference's")
    partners: int = Field(ge=2, description="held-out records that a record's partner is among")
    outsiders: int = Field(ge=2, description="records to be told from members")
    audited: tuple[Audited, ...] = Field(
        description="models that are attacked beside Cross and CoMM"
    )
    references: tuple[Pairs, ...] = Field(description="of these, trained on others as well")
    draws: int = Field(ge=1, description="pairs of random views of a record in an attack")
    looks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=1, description="epochs after which models are attacked"
    )
    followed: int = Field(ge=2, description="members, outsiders and partners of these, each")
    kinds: int = Field(ge=2, description="values of an entry planted in the second modality")
    candidates: int = Field(ge=2, description="texts or rows that the true one is among")
    noises: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        description="deviations of noise on vectors of length 1"
    )
    bits: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="bits an entry that vectors are rounded to"
    )
    delta: float = Field(gt=0, lt=1, description="of the guarantee that goes with the noise")


_CHAPTER_9 = LeakSettings.part_of(comm_real.PRESETS)
_SAME = {
    "audited": get_args(Audited), "references": get_args(Pairs), "kinds": 4,
    "noises": (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6), "bits": (1, 2, 4),
    "delta": 1e-5,
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_CHAPTER_9["smoke"], **_SAME, "members": 200, "partners": 200, "outsiders": 300,
        "draws": 1, "epochs": 2, "batch_size": 100, "looks": (1, 2), "followed": 60,
        "candidates": 20, "noises": (0.1,), "bits": (1,),
    },
    "quick": {
        **_CHAPTER_9["quick"], **_SAME, "members": 400, "partners": 300, "outsiders": 600,
        "audited": ("cross_self", "alone_first", "supervised"), "references": (),
        "draws": 2, "epochs": 40, "looks": (5, 15, 40), "followed": 300, "candidates": 200,
    },
    "desk": {
        **_CHAPTER_9["desk"], **_SAME, "data": "products_title", "image_size": 24,
        "members": 2000, "partners": 1000, "outsiders": 2000, "draws": 4,
        "epochs": 40, "batch_size": 128, "looks": (2, 5, 10, 20, 40), "followed": 1000,
        "candidates": 500,
    },
    "paper": {
        **_CHAPTER_9["desk"], **_SAME, "data": "products_title", "image_size": 60,
        "members": 3000, "partners": 1000, "outsiders": 3000, "draws": 8, "trunk_width": 64,
        "width": 256, "head_hidden": 512, "head_features": 256,
        "epochs": 200, "batch_size": 128, "looks": (3, 6, 12, 25, 50, 100, 200), "followed": 1000,
        "candidates": 1000,
    },
}  # fmt: skip
