"""Settings of chapter 12: how far the protection of unlearnable examples carries."""

from __future__ import annotations

from typing import Annotated, Literal

from mmlib.presets import unlearnable_audit
from mmlib.presets.base import Field
from mmlib.presets.protected import KnownPairsSettings

Sweep = Literal[
    "length", "budget", "shuffle", "share", "transfer", "finetune", "words", "identity", "topics"
]
Network = Literal["usual", "wider", "patches", "resnet101"]
Answer = Literal[
    "woven", "woven_common", "woven_optimised", "woven_words", "woven_pool", "woven_plain",
    "spelled", "spelled_noise",
]  # fmt: skip
Defence = Literal[
    "first", "rare", "words", "shared", "swap", "views", "unspelled", "flip", "jpeg", "grey",
    "round", "adversarial", "mixed", "early", "both", "both_unspelled",
]  # fmt: skip


class SweepsSettings(KnownPairsSettings):
    """Which quantity is varied, over which values."""

    sweeps: tuple[Sweep, ...] = Field(description="sections that train models of their own")
    lengths: tuple[Annotated[int, Field(ge=1)], ...] = Field(description="trigger words, K")
    budgets: tuple[Annotated[int, Field(ge=0, le=127)], ...] = Field(
        description="noise bounds, in levels of 1/255"
    )
    topics: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="topics of captions that noise spells"
    )
    shares: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        description="images that are protected, in percent"
    )
    surrogates: tuple[Network, ...] = Field(description="networks that protections are made on")
    victims: tuple[Network, ...] = Field(description="networks that hackers train")
    people: int = Field(ge=8, le=1000, description="people drawn in code, to be named")
    photos: int = Field(ge=1, description="published photos of each of them")
    answers: tuple[Answer, ...] = Field(min_length=1, description="protections the owner tries")
    defences: tuple[Defence, ...] = Field(min_length=1, description="what the hacker tries first")
    clean_controls: bool = Field(description="train a hacker with each defence on clean pairs too")
    embedded: int = Field(ge=4, description="test images shown by t-SNE, with a caption each")


_CHAPTER_11 = KnownPairsSettings.part_of(unlearnable_audit.PRESETS)
_ALL = {
    "sweeps": Sweep.__args__,
    "lengths": (1, 3, 5, 8), "budgets": (2, 4, 8, 16), "topics": (4, 8, 16, 32),
    "shares": (25, 50, 75),
    "surrogates": ("usual", "patches"), "victims": ("usual", "wider", "patches"),
    "people": 200, "photos": 10,
    "answers": Answer.__args__, "defences": Defence.__args__, "clean_controls": True,
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_CHAPTER_11["smoke"], **_ALL, "known_pairs": 12, "embedded": 8,
        "people": 8, "photos": 3, "lengths": (1, 5), "budgets": (2, 16), "topics": (2, 8),
        "shares": (25, 50),
    },
    "quick": {
        **_CHAPTER_11["quick"], **_ALL, "known_pairs": 250, "steps": 140,
        "sweeps": ("share",), "shares": (50,), "answers": ("woven", "spelled"),
        "defences": ("first", "shared", "views", "both"), "embedded": 50,
    },
    # A core trains a hacker in 11 s; all sweeps together take some twenty minutes a seed.
    "desk": {
        **_CHAPTER_11["desk"], **_ALL, "known_pairs": 500, "embedded": 50,
        "defences": ("first", "rare", "words", "shared", "swap", "views", "unspelled", "both"),
        "steps": 450, "rounds": 3, "trigger_rounds": 1,
    },
    # Victims of the released code: CLIP's ResNet-50 and -101, and what is most like its ViT-B/32.
    "paper": {
        **_CHAPTER_11["paper"], **_ALL, "known_pairs": 1000, "embedded": 50,
        "victims": ("usual", "resnet101", "patches"),
    },
}  # fmt: skip
