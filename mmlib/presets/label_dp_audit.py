"""Settings of chapter 10: the audit of label differential privacy."""

from __future__ import annotations

from typing import Annotated

from mmlib.presets.base import Field, Settings


class LabelDpAuditSettings(Settings):
    """At which epsilon repairs are compared, and how many records are released and attacked."""

    epsilon: float = Field(gt=0, le=50, description="the paper's epsilon")
    n_classes: int = Field(ge=2, description="classes of the paper's data")
    largest_class: int = Field(ge=1, description="training images of its largest class")
    neighbours: int = Field(ge=1, description="k of the nearest-neighbour draws that are priced")

    claim: float = Field(gt=0, le=10, description="epsilon that the attacked releases claim")
    confidence: float = Field(gt=0, lt=1, description="with which an interval or bound holds")
    draws: int = Field(ge=100, description="runs of a mechanism on each input in an audit")
    people: int = Field(ge=100, description="records of the releases that are attacked")

    many_classes: int = Field(ge=3, description="classes of the world in which models are trained")
    learners: int = Field(ge=200, description="records whose labels these models learn from")
    learner_steps: int = Field(ge=1, description="optimiser steps of each of these models")
    releases: int = Field(ge=1, description="independent releases by each mechanism and epsilon")

    rows: int = Field(ge=2_860, description="training records of the world of the paper's classes")
    features: int = Field(ge=1, description="coordinates of an image there")
    apart: float = Field(gt=0, description="deviation of a class's place there; an image's is 1")
    rows_steps: int = Field(ge=1, description="optimiser steps of a linear model there")
    rows_epsilons: tuple[Annotated[float, Field(gt=0, le=50)], ...] = Field(
        description="further population epsilons at which models are trained there"
    )


_SAME = {
    "epsilon": 5.0, "n_classes": 286, "largest_class": 1980, "neighbours": 10,
    "claim": 1.0, "confidence": 0.99,
    # As many records as the code that the paper builds on trains on. They lie so far apart that a
    # linear model of true labels reaches what the paper's has without noise, 94 %.
    "rows": 70_565, "features": 64, "apart": 0.605, "rows_steps": 350, "learner_steps": 200,
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_SAME, "n_classes": 160, "draws": 1_000, "people": 400, "many_classes": 5,
        "learners": 400, "releases": 1, "learner_steps": 5, "rows": 2_860, "rows_steps": 3,
        "rows_epsilons": (),
    },
    "quick": {
        **_SAME, "draws": 1_000_000, "people": 10_000, "many_classes": 50, "learners": 10_000,
        "releases": 2, "rows_epsilons": (),
    },
    "desk": {
        **_SAME, "draws": 10_000_000, "people": 100_000, "many_classes": 50, "learners": 10_000,
        "releases": 10, "rows_epsilons": (6.0, 7.0, 8.0, 9.0, 12.0, 15.0),
    },
    "paper": {
        **_SAME, "draws": 100_000_000, "people": 100_000, "many_classes": 286, "learners": 70_565,
        "releases": 10, "rows_epsilons": (6.0, 7.0, 8.0, 9.0, 11.0, 12.0, 13.0, 15.0),
    },
}  # fmt: skip
