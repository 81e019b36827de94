"""What the chapters that train on Trifeature share: the world, the network, its training."""

from __future__ import annotations

from typing import Any, Literal

from mmlib.presets.base import Field, Settings

# What :func:`mmlib.methods.image_pairs.build` builds.
Method = Literal[
    "cross",
    "cross_self",
    "cross_self_fused",
    "factorcl",
    "comm",
    "comm_matching",
    "full_only",
    "masked_only",
    "supcon",
]
Fusion = Literal["transformer", "two_layers", "marked", "mlp", "linear"]
Views = Literal["full", "no_crop", "crop", "light", "none"]


class TrifeatureSettings(Settings):
    """Which world is seen, by which network, and how that is trained and probed."""

    convention: Literal["paper", "released", "views", "other_view", "nt_xent", "mean"] = Field(
        description="form of CoMM's loss: the formula, released code, or the formula with one of "
        "the code's choices"
    )

    image_size: int = Field(ge=16, le=224, description="side of the images in pixels")
    shapes: tuple[str, ...] = Field(min_length=2, description="shapes of the world")
    textures: tuple[str, ...] = Field(min_length=2, description="its textures")
    colors: tuple[str, ...] = Field(min_length=2, description="its colours")
    texture_zoom: int = Field(ge=1, description="how much larger than the paper's textures are")
    train_renderings: int = Field(ge=1, description="images of each combination for training")
    test_renderings: int = Field(ge=1, description="images of each combination for the test")
    same_texture: bool = Field(
        description="whether both images of a pair may show one texture, as in the released code"
    )
    train_pairs: int = Field(ge=2, description="pairs to learn from, at most")
    probe_pairs: int = Field(ge=2, description="pairs to fit and to test a probe on, at most")

    trunk: Literal["small", "alexnet"] = Field(description="image encoder")
    trunk_width: int = Field(ge=1, description="channels of the small trunk's first layer")
    width: int = Field(ge=4, description="of tokens and embedding")
    heads: int = Field(ge=1, description="attention heads")
    head_hidden: int = Field(ge=1, description="hidden width of the projection heads")
    head_features: int = Field(ge=1, description="what the projection heads give")
    temperature: float = Field(gt=0, le=1, description="of the losses")

    crop_low: float = Field(gt=0, le=1, description="smallest share of the area in a view")
    blur: bool = Field(description="whether views may be blurred")
    synergy_steps: int = Field(ge=1, description="optimiser steps on pairs that follow the map M")
    batch_size: int = Field(ge=2, description="pairs a step")
    learning_rate: float = Field(gt=0, description="of AdamW, constant")
    weight_decay: float = Field(ge=0, description="of AdamW")
    precision: Literal["float32", "bfloat16"] = Field(description="of autocast")

    def world(self) -> dict[str, Any]:
        """Arguments of :func:`mmlib.data.trifeature.load`."""
        return {
            "size": self.image_size,
            "shapes": self.shapes,
            "textures": self.textures,
            "colors": self.colors,
            "renderings": (self.train_renderings, self.test_renderings),
            "texture_zoom": self.texture_zoom,
        }
