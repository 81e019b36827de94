"""What the chapters on unlearnable examples share: the pairs, the networks, MEM's budget."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from mmlib.presets.base import Field, Settings


class ProtectedSettings(Settings):
    """Which pairs are published, how MEM protects them, and how a hacker trains on them."""

    n_train: int = Field(ge=8, description="images that are published")
    n_test: int = Field(ge=12, description="clean images that retrieval is measured on")
    image_size: int = Field(ge=8, description="side of the images in pixels")
    pixel_noise: float = Field(ge=0, le=1, description="standard deviation of scenes' grain")

    trunk: Literal["small", "patches", "resnet50", "resnet101"] = Field(
        description="image encoder; ResNets are CLIP's"
    )
    width: int = Field(ge=1, description="channels of the first layer, or of a ResNet's stem")
    patches: int = Field(ge=1, description="along a side of the image, of the patch transformer")
    patch_width: int = Field(ge=1, description="its width")
    patch_depth: int = Field(ge=1, description="its layers")
    patch_heads: int = Field(ge=1, description="its heads")
    text_width: int = Field(ge=1, description="width of the text transformer")
    text_depth: int = Field(ge=1, description="its layers")
    text_heads: int = Field(ge=1, description="its heads")
    features: int = Field(ge=1, description="size of the joint embedding")

    steps: int = Field(ge=1, description="optimiser steps of each hacker")
    batch_size: int = Field(ge=2, description="pairs a step, for hackers and protection")
    learning_rate: float = Field(gt=0, description="of the hackers' AdamW, its peak")
    warmup_steps: int = Field(ge=0, description="of the hackers' linear warm-up, up to all steps")
    schedule: Literal["constant", "cosine"] = Field(description="of their learning rate after it")
    weight_decay: float = Field(ge=0, description="of hackers and surrogate")
    precision: Literal["float32", "bfloat16"] = Field(description="of autocast")

    epsilon: int = Field(ge=0, le=127, description="bound of the noise, in levels of 1/255")
    rounds: int = Field(ge=1, description="rounds of the alternation, R")
    trigger_rounds: int = Field(ge=1, description="the first of them, in which triggers change")
    surrogate_steps: int = Field(ge=1, description="surrogate steps a round, M")
    surrogate_learning_rate: float = Field(gt=0, description="of the surrogate's AdamW")
    noise_steps: int = Field(ge=1, description="PGD steps at each visit, S")
    candidates: int = Field(ge=1, description="words tried at each position, J")


class KnownPairsSettings(ProtectedSettings):
    """What the two audits have beside: other pairs than scenes, and known ones for choices."""

    data: Literal["scenes", "flickr8k", "flickr30k", "mscoco", "emoji"] = Field(
        description="images with captions"
    )
    split: Literal["standard", "released"] = Field(
        description="of photos: Karpathy's, or that of MEM's released code"
    )
    known_pairs: int = Field(ge=4, description="clean pairs for choices; of no other part")

    @field_validator("split")
    @classmethod
    def _of_photos(cls, given: str, info: ValidationInfo) -> str:
        data = info.data.get("data")
        if data in ("scenes", "emoji") and given != "standard":
            raise ValueError(f"a split of photos; allowed with the data {data!r}: 'standard'")
        return given
