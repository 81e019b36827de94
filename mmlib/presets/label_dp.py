"""Settings of chapter 4: label differential privacy."""

from __future__ import annotations

from mmlib.presets.base import Field, Settings


class LabelDpSettings(Settings):
    """Which epsilon is read, and how long the small worlds are checked and audited."""

    epsilon: float = Field(gt=0, le=50, description="the paper's epsilon, to be read in each way")
    n_classes: int = Field(ge=2, description="classes of the paper's data")
    n_records: int = Field(ge=1, description="training records of the paper's data")

    answers: int = Field(ge=100, description="labels in the survey")
    world_classes: int = Field(ge=2, description="classes of the small audited world")
    world_images: int = Field(ge=2, description="images of each of its classes")
    claim: float = Field(gt=0, le=10, description="epsilon that the audited mechanisms claim")
    draws: int = Field(ge=100, description="runs of a mechanism on each input in an audit")
    confidence: float = Field(gt=0, lt=1, description="with which an audit's bound holds")
    audits: int = Field(ge=1, description="repeated audits of the right mechanism")
    audit_draws: int = Field(ge=100, description="runs on each input in each of these")
    worlds: int = Field(ge=1, description="random worlds in which the theorem is checked")


_SAME = {
    "epsilon": 5.0, "n_classes": 286, "n_records": 70_565,
    "world_classes": 4, "world_images": 3, "claim": 1.0, "confidence": 0.99,
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_SAME, "answers": 1_000, "draws": 1_000, "audits": 5, "audit_draws": 1_000, "worlds": 3,
    },
    "quick": {
        **_SAME, "answers": 1_000_000, "draws": 1_000_000, "audits": 100, "audit_draws": 10_000,
        "worlds": 100,
    },
    "desk": {
        **_SAME, "answers": 1_000_000, "draws": 10_000_000, "audits": 1_000,
        "audit_draws": 100_000, "worlds": 900,
    },
    "paper": {
        **_SAME, "answers": 10_000_000, "draws": 100_000_000, "audits": 1_000,
        "audit_draws": 1_000_000, "worlds": 900,
    },
}  # fmt: skip
