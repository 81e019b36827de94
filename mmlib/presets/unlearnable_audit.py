"""Settings of chapter 8: the audit of unlearnable examples."""

from __future__ import annotations

from typing import Literal

from mmlib.presets.base import Field, Settings

Row = Literal[
    "random_noise", "random_tokens", "constant_prefix", "em", "em_mem_budget", "em_shuffle", "tap",
    "tap_other", "uap", "random_tokens_noise", "text_only", "mem_5",
]  # fmt: skip
Defence = Literal["first", "words", "rare", "views", "jpeg", "grey", "all"]


class AuditSettings(Settings):
    """Which protections and defences are compared, on which pairs, by which hackers."""

    data: Literal["scenes", "flickr8k"] = Field(description="images with five captions each")
    n_train: int = Field(ge=8, description="images that are published")
    n_test: int = Field(ge=12, description="clean images that retrieval is measured on")
    image_size: int = Field(ge=8, description="side of the images in pixels")
    pixel_noise: float = Field(ge=0, le=1, description="standard deviation of scenes' grain")

    mode: Literal["corrected", "faithful"] = Field(description="choices of MEM that differ")
    rows: tuple[Row, ...] = Field(description="protections beside clean, MEM-3 and its two parts")
    defences: tuple[Defence, ...] = Field(description="what hackers do to MEM-3's pairs first")
    clean_controls: bool = Field(description="train a hacker with each defence on clean pairs too")
    known_pairs: int = Field(ge=4, description="clean examples that a detector has seen")

    trunk: Literal["small", "resnet50"] = Field(description="image encoder")
    width: int = Field(ge=1, description="channels of the small trunk's first layer")
    text_width: int = Field(ge=1, description="width of the text transformer")
    text_depth: int = Field(ge=1, description="its layers")
    text_heads: int = Field(ge=1, description="its heads")
    features: int = Field(ge=1, description="size of the joint embedding")

    steps: int = Field(ge=1, description="optimiser steps of each hacker")
    batch_size: int = Field(ge=2, description="pairs a step, for hackers and protection")
    learning_rate: float = Field(gt=0, description="of the hackers' AdamW")
    weight_decay: float = Field(ge=0, description="of hackers and surrogate")
    precision: Literal["float32", "bfloat16"] = Field(description="of autocast")
    points: int = Field(ge=1, description="points of the retrieval curves")

    epsilon: int = Field(ge=0, le=127, description="bound of the noise, in levels of 1/255")
    rounds: int = Field(ge=1, description="rounds of the alternation, R")
    trigger_rounds: int = Field(ge=1, description="the first of them, in which triggers change")
    surrogate_steps: int = Field(ge=1, description="surrogate steps a round, M")
    surrogate_learning_rate: float = Field(gt=0, description="of the surrogate's AdamW")
    noise_steps: int = Field(ge=1, description="PGD steps at each visit, S")
    candidates: int = Field(ge=1, description="words tried at each position, J")


_ALL_ROWS = Row.__args__
_ALL_DEFENCES = Defence.__args__

PRESETS = {
    "smoke": {
        "data": "scenes", "n_train": 32, "n_test": 12, "image_size": 16, "pixel_noise": 0.4,
        "mode": "corrected", "rows": _ALL_ROWS, "defences": _ALL_DEFENCES,
        "clean_controls": True, "known_pairs": 8,
        "trunk": "small", "width": 4,
        "text_width": 16, "text_depth": 1, "text_heads": 2, "features": 16,
        "steps": 2, "batch_size": 16, "learning_rate": 1e-3,
        "weight_decay": 0.1, "precision": "float32", "points": 1,
        "epsilon": 8, "rounds": 2, "trigger_rounds": 1,
        "surrogate_steps": 2, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 4,
    },
    # The task is hard on purpose: on an easy one no protection is worth the name.
    "quick": {
        "data": "scenes", "n_train": 1024, "n_test": 250, "image_size": 32, "pixel_noise": 0.4,
        "mode": "corrected", "rows": ("random_tokens", "constant_prefix"),
        "defences": ("first", "words", "rare", "views"),
        "clean_controls": False, "known_pairs": 100,
        "trunk": "small", "width": 16,
        "text_width": 64, "text_depth": 1, "text_heads": 4, "features": 64,
        "steps": 180, "batch_size": 128, "learning_rate": 1e-3,
        "weight_decay": 0.1, "precision": "float32", "points": 3,
        "epsilon": 8, "rounds": 2, "trigger_rounds": 2,
        "surrogate_steps": 30, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 8,
    },
    "desk": {
        "data": "scenes", "n_train": 4096, "n_test": 1000, "image_size": 48, "pixel_noise": 0.4,
        "mode": "corrected", "rows": _ALL_ROWS, "defences": _ALL_DEFENCES,
        "clean_controls": True, "known_pairs": 100,
        "trunk": "small", "width": 24,
        "text_width": 128, "text_depth": 2, "text_heads": 4, "features": 128,
        "steps": 1000, "batch_size": 128, "learning_rate": 1e-3,
        "weight_decay": 0.1, "precision": "float32", "points": 10,
        "epsilon": 8, "rounds": 10, "trigger_rounds": 3,
        "surrogate_steps": 40, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 16,
    },
    # Networks and budget of the released code on Flickr8K; the data stay the scenes.
    "paper": {
        "data": "scenes", "n_train": 6000, "n_test": 1000, "image_size": 224, "pixel_noise": 0.4,
        "mode": "faithful", "rows": _ALL_ROWS, "defences": _ALL_DEFENCES,
        "clean_controls": True, "known_pairs": 100,
        "trunk": "resnet50", "width": 64,
        "text_width": 512, "text_depth": 12, "text_heads": 8, "features": 1024,
        "steps": 7488, "batch_size": 128, "learning_rate": 3.744e-4,
        "weight_decay": 0.2, "precision": "bfloat16", "points": 32,
        "epsilon": 8, "rounds": 20, "trigger_rounds": 5,
        "surrogate_steps": 200, "surrogate_learning_rate": 1e-4, "noise_steps": 8, "candidates": 16,
    },
}  # fmt: skip
