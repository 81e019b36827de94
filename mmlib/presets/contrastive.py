"""Settings of chapter 1: contrastive learning."""

from __future__ import annotations

from typing import Annotated

from mmlib.presets.base import Field, Settings


class ContrastiveSettings(Settings):
    """Which Gaussian worlds are estimated and learned, at which batch sizes and temperatures."""

    informations: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        min_length=1, description="mutual informations, in nats, of the pairs that are estimated"
    )
    coordinates: int = Field(ge=1, description="coordinates of each side of a pair")
    batch_sizes: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        min_length=1, description="at which the bound is taken"
    )
    anchors: int = Field(ge=4, description="anchors that an estimate averages over, at least")

    information: float = Field(gt=0, description="of the pair on which critics are learned, nats")
    few: int = Field(ge=2, description="records of the critic that learns them by heart")
    repeats: int = Field(ge=2, description="trainings, each with weights and records of its own")
    steps: int = Field(ge=1, description="optimiser steps of each training")
    batch_size: int = Field(ge=2, description="records a step")
    learning_rate: float = Field(gt=0, description="of AdamW")
    width: int = Field(ge=1, description="of an encoder's two hidden layers")
    points: int = Field(ge=1, description="points of a training curve")
    records: int = Field(ge=2, description="training records")
    test_records: int = Field(ge=20, description="fresh records for everything that is reported")

    shared: int = Field(ge=1, description="factors that both modalities read")
    private: int = Field(ge=1, description="factors of one modality alone, of each")
    style: int = Field(ge=1, description="factors of one modality that every view draws anew")
    agreement: float = Field(gt=0, lt=1, description="correlation of the two readings")
    echo: float = Field(gt=0, lt=1, description="correlation of two views of a modality")
    mixing_seed: int = Field(ge=0, description="of the maps from factors to what is observed")
    embedding: int = Field(ge=2, description="width of an embedding")
    wide_embedding: int = Field(ge=2, description="width that leaves CLIP room to spare")
    temperature: float = Field(gt=0, description="of the comparison of CLIP and SimCLR")
    temperatures: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=2, description="that are compared"
    )
    sweep_steps: int = Field(ge=1, description="optimiser steps at each of these")


_WORLD = {
    "information": 2.0, "coordinates": 4,
    "shared": 3, "private": 3, "style": 6, "agreement": 0.9, "echo": 0.9, "mixing_seed": 0,
    "embedding": 6, "wide_embedding": 32, "temperature": 0.1,
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_WORLD, "informations": (1.0, 4.0), "batch_sizes": (4, 16), "anchors": 64,
        "few": 32, "repeats": 2, "steps": 2, "batch_size": 32, "learning_rate": 3e-3, "width": 16,
        "points": 2, "records": 64, "test_records": 100,
        "temperatures": (0.1, 1.0), "sweep_steps": 2,
    },
    "quick": {
        **_WORLD, "informations": (2.0, 5.0, 10.0), "batch_sizes": (4, 16, 64, 256, 1024),
        "anchors": 8_192, "few": 512, "repeats": 3, "steps": 400, "batch_size": 256,
        "learning_rate": 3e-3, "width": 128, "points": 10, "records": 20_000,
        "test_records": 4_000, "temperatures": (0.03, 0.1, 0.3, 1.0), "sweep_steps": 200,
    },
    "desk": {
        **_WORLD, "informations": (2.0, 5.0, 10.0), "batch_sizes": (4, 16, 64, 256, 1024, 4096),
        "anchors": 65_536, "few": 512, "repeats": 4, "steps": 1_500, "batch_size": 256,
        "learning_rate": 1e-3, "width": 192, "points": 20, "records": 100_000,
        "test_records": 10_000, "temperatures": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        "sweep_steps": 750,
    },
    "paper": {  # no paper stands behind this chapter: desk, with larger batches and networks
        **_WORLD, "informations": (2.0, 5.0, 10.0),
        "batch_sizes": (4, 16, 64, 256, 1024, 4096, 16_384),
        "anchors": 262_144, "few": 2_048, "repeats": 10, "steps": 20_000, "batch_size": 1024,
        "learning_rate": 1e-3, "width": 512, "points": 20, "records": 1_000_000,
        "test_records": 20_000, "temperatures": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
        "sweep_steps": 10_000,
    },
}  # fmt: skip
