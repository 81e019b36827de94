"""Settings of chapter 11: the audit of unlearnable examples."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from mmlib.presets.base import Field
from mmlib.presets.protected import KnownPairsSettings

Row = Literal[
    "mem_3", "random_noise", "random_tokens", "constant_prefix", "em", "em_mem_budget",
    "em_shuffle", "tap", "tap_other", "uap", "random_tokens_noise", "text_only", "mem_5",
]  # fmt: skip
Defence = Literal[
    "reread", "first", "words", "rare", "views", "jpeg", "grey", "all", "flip", "round", "mixed",
    "adversarial", "swap",
]  # fmt: skip
Switch = Literal["unit", "selection", "special_tokens", "drop_last"]


class AuditSettings(KnownPairsSettings):
    """Which protections and defences are compared."""

    tokenizer: Literal["words", "pieces"] = Field(description="what a caption's ids stand for")
    pieces: int = Field(ge=8, description="entries of the vocabulary of pieces")
    mode: Literal["corrected", "faithful"] = Field(description="choices of MEM that differ")
    rows: tuple[Row, ...] = Field(description="protections beside clean; MEM-3's two parts, too")
    switches: tuple[Switch, ...] = Field(description="choices of the other mode, one at a time")
    defences: tuple[Defence, ...] = Field(description="what hackers do to protected pairs first")
    clean_controls: bool = Field(description="train a hacker with each defence on clean pairs too")
    points: int = Field(ge=1, description="points of the retrieval curves")

    @field_validator("switches", "defences")
    @classmethod
    def _of_mem_3(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if given and "mem_3" not in info.data.get("rows", ("mem_3",)):
            raise ValueError("tried on MEM-3, which is not in rows; allowed then: none")
        by_pair = info.data.get("mode") == "faithful" or "unit" in info.data.get("switches", ())
        if "swap" in given and not by_pair:
            raise ValueError("'swap' is tried on MEM-3 by pair; allowed with the switch 'unit'")
        return given


_ALL_ROWS = Row.__args__
_ALL_DEFENCES = Defence.__args__[1:]  # words are read as they were written
_ALL_SWITCHES = Switch.__args__

PRESETS = {
    "smoke": {
        "data": "scenes", "n_train": 32, "n_test": 12, "image_size": 16, "pixel_noise": 0.4,
        "split": "standard", "tokenizer": "words", "pieces": 128,
        "mode": "corrected", "rows": _ALL_ROWS, "switches": _ALL_SWITCHES,
        "defences": Defence.__args__, "clean_controls": True, "known_pairs": 8,
        "trunk": "small", "width": 4,
        "patches": 4, "patch_width": 16, "patch_depth": 2, "patch_heads": 4,
        "text_width": 16, "text_depth": 1, "text_heads": 2, "features": 16,
        "steps": 2, "batch_size": 16, "learning_rate": 1e-3, "warmup_steps": 0,
        "schedule": "constant", "weight_decay": 0.1, "precision": "float32", "points": 1,
        "epsilon": 8, "rounds": 2, "trigger_rounds": 1,
        "surrogate_steps": 2, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 4,
    },
    # The task is hard on purpose: on an easy one no protection is worth the name.
    "quick": {
        "data": "scenes", "n_train": 1024, "n_test": 250, "image_size": 32, "pixel_noise": 0.4,
        "split": "standard", "tokenizer": "words", "pieces": 512,
        "mode": "corrected", "rows": ("mem_3", "random_tokens", "constant_prefix"),
        "switches": (), "defences": ("first", "words", "rare", "views", "round", "mixed"),
        "clean_controls": False, "known_pairs": 100,
        "trunk": "small", "width": 16,
        "patches": 4, "patch_width": 64, "patch_depth": 2, "patch_heads": 4,
        "text_width": 64, "text_depth": 1, "text_heads": 4, "features": 64,
        "steps": 180, "batch_size": 128, "learning_rate": 1e-3, "warmup_steps": 0,
        "schedule": "constant", "weight_decay": 0.1, "precision": "float32", "points": 3,
        "epsilon": 8, "rounds": 2, "trigger_rounds": 2,
        "surrogate_steps": 30, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 8,
    },
    # A core trains a hacker in 20 s; with all rows and controls a seed takes half an hour.
    "desk": {
        "data": "scenes", "n_train": 4096, "n_test": 1000, "image_size": 32, "pixel_noise": 0.4,
        "split": "standard", "tokenizer": "words", "pieces": 4096,
        "mode": "corrected", "rows": _ALL_ROWS, "switches": _ALL_SWITCHES,
        "defences": _ALL_DEFENCES, "clean_controls": True, "known_pairs": 100,
        "trunk": "small", "width": 16,
        "patches": 4, "patch_width": 64, "patch_depth": 2, "patch_heads": 4,
        "text_width": 64, "text_depth": 1, "text_heads": 4, "features": 128,
        "steps": 600, "batch_size": 128, "learning_rate": 1e-3, "warmup_steps": 0,
        "schedule": "constant", "weight_decay": 0.1, "precision": "float32", "points": 10,
        "epsilon": 8, "rounds": 4, "trigger_rounds": 2,
        "surrogate_steps": 40, "surrogate_learning_rate": 1e-3, "noise_steps": 8, "candidates": 8,
    },
    # Networks, budget and schedule of the released code on Flickr8K, as chapter 6 has them; the
    # data stay the scenes, and the vocabulary has pieces of their words.
    "paper": {
        "data": "scenes", "n_train": 6000, "n_test": 1000, "image_size": 224, "pixel_noise": 0.4,
        "split": "standard", "tokenizer": "pieces", "pieces": 4096,
        "mode": "faithful", "rows": _ALL_ROWS, "switches": _ALL_SWITCHES,
        "defences": Defence.__args__, "clean_controls": True, "known_pairs": 100,
        "trunk": "resnet50", "width": 64,
        "patches": 7, "patch_width": 768, "patch_depth": 12, "patch_heads": 12,
        "text_width": 512, "text_depth": 12, "text_heads": 8, "features": 1024,
        "steps": 7488, "batch_size": 128, "learning_rate": 3.861e-4, "warmup_steps": 7488,
        "schedule": "constant", "weight_decay": 0.2, "precision": "bfloat16", "points": 32,
        "epsilon": 8, "rounds": 20, "trigger_rounds": 5,
        "surrogate_steps": 200, "surrogate_learning_rate": 1e-4, "noise_steps": 8, "candidates": 16,
    },
}  # fmt: skip
