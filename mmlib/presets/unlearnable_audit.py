"""Settings of chapter 11: the audit of unlearnable examples."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from mmlib.presets import unlearnable
from mmlib.presets.base import Field
from mmlib.presets.protected import KnownPairsSettings, ProtectedSettings

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


# Networks, schedule and budget are chapter 6's but for what is named here.
_CHAPTER_6 = ProtectedSettings.part_of(unlearnable.PRESETS)
_SAME = {"data": "scenes", "split": "standard", "pixel_noise": 0.4, "known_pairs": 100}
_ALL = {"rows": Row.__args__, "switches": Switch.__args__, "clean_controls": True}
_WRITTEN = Defence.__args__[1:]  # words are read as they were written, so none is to be reread

PRESETS = {
    "smoke": {
        **_CHAPTER_6["smoke"], **_SAME, **_ALL,
        "known_pairs": 8, "tokenizer": "words", "pieces": 128, "mode": "corrected",
        "defences": Defence.__args__, "steps": 2, "points": 1,
    },
    # The task is hard on purpose: on an easy one no protection is worth the name.
    "quick": {
        **_CHAPTER_6["quick"], **_SAME,
        "n_train": 1024, "n_test": 250,
        "tokenizer": "words", "pieces": 512, "mode": "corrected",
        "rows": ("mem_3", "random_tokens", "constant_prefix"), "switches": (),
        "defences": ("first", "words", "rare", "views", "round", "mixed"),
        "clean_controls": False,
        "steps": 180, "points": 3, "rounds": 2, "trigger_rounds": 2,
    },
    # A core trains a hacker in 20 s; with all rows and controls a seed takes half an hour.
    "desk": {
        **_CHAPTER_6["desk"], **_SAME, **_ALL,
        "tokenizer": "words", "pieces": 4096, "mode": "corrected", "defences": _WRITTEN,
        "steps": 600, "warmup_steps": 0, "points": 10, "candidates": 8,
    },
    # The data stay the scenes, and the vocabulary has pieces of their words.
    "paper": {
        **_CHAPTER_6["paper"], **_SAME, **_ALL,
        "tokenizer": "pieces", "pieces": 4096, "mode": "faithful",
        "defences": Defence.__args__, "points": 32,
    },
}  # fmt: skip
