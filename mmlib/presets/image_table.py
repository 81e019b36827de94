"""Settings of chapter 5: image-table contrastive learning under label-DP."""

from __future__ import annotations

from typing import Annotated, Literal

from mmlib.presets.base import Field, Settings


class ImageTableSettings(Settings):
    """What one run of the chapter trains, on which noise, and how it measures."""

    data: Literal["digits", "products", "cars", "dvm"] = Field(description="image-table pairs")
    rows: int = Field(ge=10_000, description="of the cars, which are drawn; other sets have theirs")
    models: int = Field(
        ge=3, le=1000, description="classes of the cars, DVM-Car's 286; other sets have theirs"
    )
    dvm_parts: Literal["released", "text"] = Field(
        description="split of DVM-Car: 40 / 10 / 50 % as the code, or 45 / 5 / 50 % as the text"
    )
    epsilon: float = Field(gt=0, description="the privacy loss that is looked at closely")
    epsilons: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1, description="the privacy losses that are compared"
    )
    grid: Literal["core", "full"] = Field(description="conditions that are compared at epsilon")
    noise_draws: int = Field(ge=1, description="independent noise draws of every private condition")
    neighbours: int = Field(ge=1, description="k of the nearest-neighbour draw")
    more_neighbours: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="further k that are compared"
    )
    baselines: tuple[Literal["simclr", "byol", "barlow"], ...] = Field(
        description="pre-trainings on the image alone"
    )
    baseline_sizes: Literal["small", "published"] = Field(
        description="widths and momentum of these: for short runs, or the code base's"
    )

    trunk: Literal["small", "resnet50"] = Field(description="image encoder")
    width: int = Field(ge=1, description="channels of the small trunk's first layer")
    image_size: int = Field(ge=8, description="side of the images in pixels")
    views: Literal["digits", "dvm", "printed"] = Field(
        description="recipe of the image views: digits gentle, dvm as the code, printed as the text"
    )

    steps: int = Field(ge=1, description="optimiser steps of each pre-training")
    batch_size: int = Field(ge=2, le=720, description="pairs a step")
    learning_rate: float = Field(gt=0, description="peak of Adam's learning rate")
    weight_decay: float = Field(ge=0, description="of the pre-training")
    warmup_steps: int = Field(ge=0, description="steps of linear warm-up before the cosine")
    precision: Literal["float32", "bfloat16"] = Field(description="of autocast in pre-training")

    match_batch: int = Field(ge=2, le=897, description="test pairs among which one is to be found")
    points: int = Field(ge=1, description="points of the pre-training curve")
    probe_strengths: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1, description="strengths C that a probe chooses from"
    )
    head_epochs: int = Field(ge=1, description="epochs of the linear head of Figure 2")
    head_learning_rate: float = Field(gt=0, description="of that head")
    tune_epochs: int = Field(ge=1, description="most epochs of a frozen or fine-tuned encoder")
    tune_learning_rate: float = Field(gt=0, description="of both")
    tune_patience: int = Field(ge=1, description="epochs without a rise that end both")


_ALONE = ("simclr", "byol", "barlow")
_STRENGTHS = tuple(10.0**k for k in range(-5, 2))
# One log at 1 and at 5 is the noise of two logs at 2 and at 10.
_SWEEP = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0)
_SAME = {
    "data": "digits", "models": 286, "dvm_parts": "released", "epsilon": 5.0, "neighbours": 10,
    "learning_rate": 3e-3, "weight_decay": 1.5e-6,
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_SAME, "rows": 10_000,
        "epsilons": (2.0, 3.0, 5.0), "noise_draws": 2, "grid": "full", "more_neighbours": (1,),
        "baselines": _ALONE, "baseline_sizes": "small",
        "trunk": "small", "width": 4, "image_size": 8, "views": "digits",
        "steps": 2, "batch_size": 64, "warmup_steps": 1, "precision": "float32",
        "match_batch": 128, "points": 2, "probe_strengths": (0.01,),
        "head_epochs": 2, "head_learning_rate": 1e-2,
        "tune_epochs": 2, "tune_learning_rate": 1e-3, "tune_patience": 1,
    },
    "quick": {
        **_SAME, "rows": 20_000,
        "epsilons": (1.0, 2.0, 5.0), "noise_draws": 3, "grid": "core", "more_neighbours": (),
        "baselines": ("simclr",), "baseline_sizes": "small",
        "trunk": "small", "width": 16, "image_size": 16, "views": "digits",
        "steps": 160, "batch_size": 128, "warmup_steps": 10, "precision": "float32",
        "match_batch": 128, "points": 10, "probe_strengths": _STRENGTHS,
        "head_epochs": 60, "head_learning_rate": 1e-2,
        "tune_epochs": 40, "tune_learning_rate": 1e-2, "tune_patience": 10,
    },
    # The whole grid is some thirty trainings, three minutes of a core. Each seed draws noise of its
    # own, so intervals are over seeds.
    "desk": {
        **_SAME, "rows": 20_000,
        "epsilons": _SWEEP, "noise_draws": 1, "grid": "full", "more_neighbours": (1, 5, 50),
        "baselines": _ALONE, "baseline_sizes": "small",
        "trunk": "small", "width": 16, "image_size": 16, "views": "digits",
        "steps": 300, "batch_size": 128, "warmup_steps": 20, "precision": "float32",
        "match_batch": 128, "points": 20, "probe_strengths": _STRENGTHS,
        "head_epochs": 100, "head_learning_rate": 1e-2,
        "tune_epochs": 60, "tune_learning_rate": 1e-2, "tune_patience": 10,
    },
    # Trunk, views, batch, learning rate, decay and baselines' sizes of the paper; data stay digits.
    "paper": {
        **_SAME, "rows": 176_414,
        "epsilons": _SWEEP, "noise_draws": 5, "grid": "full", "more_neighbours": (1, 5, 50),
        "baselines": _ALONE, "baseline_sizes": "published",
        "trunk": "resnet50", "width": 64, "image_size": 64, "views": "dvm",
        "steps": 3000, "batch_size": 512, "warmup_steps": 60, "precision": "bfloat16",
        "match_batch": 512, "points": 20, "probe_strengths": _STRENGTHS,
        "head_epochs": 500, "head_learning_rate": 1e-3,
        "tune_epochs": 500, "tune_learning_rate": 1e-3,
        "tune_patience": 50,  # the paper's 10 are of 138 steps an epoch; the digits have one
    },
}  # fmt: skip
