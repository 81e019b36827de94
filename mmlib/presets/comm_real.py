"""Settings of the chapter on real data and three modalities: CoMM and its rivals on such sets."""

from __future__ import annotations

from typing import Literal, get_args

from mmlib.presets.base import Field, Settings

Data = Literal[
    "digits", "mosi", "mosi_words", "products_title", "products_table",
    "multibench_mosi", "multibench_urfunny", "multibench_mustard", "multibench_mimic",
    "multibench_visionandtouch_cp", "multibench_visionandtouch_cp_clean",
    "multibench_visionandtouch_ee", "multibench_visionandtouch_ee_clean",
    "mmimdb", "mmimdb_clip", "mmimdb_tokens",
    "triples", "triples_free",
]  # fmt: skip
Other = Literal["cross", "cross_self", "factorcl", "alone", "comm_tuned", "supcon"]


class CommRealSettings(Settings):
    """Which set is learned from, by which networks, and how that is probed."""

    data: Data = Field(description="modalities and labels")
    image_size: int = Field(ge=8, le=224, description="side of the images in pixels")
    words: int = Field(ge=6, description="entries of a text's vocabulary, special tokens included")
    length: int = Field(ge=3, description="tokens of a text")

    methods: tuple[Other, ...] = Field(description="what is trained beside CoMM")
    convention: Literal["paper", "released"] = Field(description="form of CoMM's loss")
    masks: Literal["single", "subsets"] = Field(
        description="CoMM's masks: each modality alone and all, or every choice of modalities"
    )
    texts: Literal["whole", "words"] = Field(
        description="what the fusion sees of a text that no pre-trained encoder reads: one token, "
        "read at its end, or one for each place"
    )
    padding: Literal["seen", "hidden", "released"] = Field(
        description="whether the fusion sees tokens of a text's padding; released: CoMM does in "
        "training and not afterwards, as in the released code"
    )
    align: Literal["light", "strong"] = Field(
        description="views that Cross and Cross+Self align across modalities"
    )
    encoders: Literal["small", "published"] = Field(
        description="a small one for each kind, or the paper's where it has one for the modality"
    )
    trunk_width: int = Field(ge=1, description="channels of the image encoder's first layer")
    encoder_depth: int = Field(ge=1, description="layers of text and sequence encoders")
    encoder_heads: int = Field(ge=1, description="their attention heads")
    encoder_hidden: int = Field(ge=1, description="hidden width of sequence encoders' layers")
    width: int = Field(ge=4, description="of tokens and embedding")
    heads: int = Field(ge=1, description="attention heads of the fusion")
    head_hidden: int = Field(ge=1, description="hidden width of the projection heads")
    head_features: int = Field(ge=1, description="what the projection heads give")
    temperature: float = Field(gt=0, le=1, description="of the losses; Cross learns its own")

    crop_low: float = Field(gt=0, le=1, description="smallest share of an image in a view")
    epochs: int = Field(ge=1, description="passes over the training part in each training")
    patience: int = Field(
        ge=1, description="passes without a lower validation loss that end learning from labels"
    )
    batch_size: int = Field(ge=2, description="samples a step")
    learning_rate: float = Field(gt=0, description="of AdamW, at its peak")
    warmup_epochs: int = Field(ge=0, description="of linear warm-up, up to all epochs")
    schedule: Literal["constant", "cosine"] = Field(description="of the learning rate after it")
    weight_decay: float = Field(ge=0, description="of AdamW")
    precision: Literal["float32", "bfloat16"] = Field(description="of autocast")

    probe_penalty: Literal["l2", "unsquared"] = Field(description="norm of a probe's weights")
    components: int = Field(ge=1, description="principal components of a raw modality, at most")
    resamples: int = Field(ge=10, description="of test samples, for an interval")
    most_modalities: int = Field(ge=3, le=8, description="to which the cost of a step is followed")
    timed_steps: int = Field(ge=1, description="steps timed for each number of modalities")


_SAME = {
    "convention": "released", "masks": "single", "align": "light", "methods": get_args(Other),
    "texts": "whole", "padding": "seen", "temperature": 0.1, "weight_decay": 1e-2,
    "precision": "float32",
}  # fmt: skip

PRESETS = {
    "smoke": {
        **_SAME, "data": "digits", "image_size": 8, "words": 50, "length": 8,
        "encoders": "small", "trunk_width": 4,
        "encoder_depth": 1, "encoder_heads": 2, "encoder_hidden": 16,
        "width": 16, "heads": 2, "head_hidden": 16, "head_features": 8,
        "crop_low": 0.6, "epochs": 1, "patience": 1, "batch_size": 360,
        "learning_rate": 1e-3, "warmup_epochs": 1, "schedule": "cosine", "probe_penalty": "l2",
        "components": 10, "resamples": 10, "most_modalities": 3, "timed_steps": 1,
    },
    "quick": {
        **_SAME, "data": "digits", "image_size": 16, "words": 2000, "length": 16,
        "encoders": "small", "trunk_width": 16,
        "encoder_depth": 1, "encoder_heads": 4, "encoder_hidden": 128,
        "width": 64, "heads": 4, "head_hidden": 64, "head_features": 64,
        "crop_low": 0.6, "epochs": 30, "patience": 3, "batch_size": 128,
        "learning_rate": 3e-3, "warmup_epochs": 0, "schedule": "constant", "probe_penalty": "l2",
        "components": 100, "resamples": 500, "most_modalities": 6, "timed_steps": 12,
    },
    "desk": {
        **_SAME, "data": "mosi", "image_size": 32, "words": 2000, "length": 16,
        "encoders": "small", "trunk_width": 16,
        "encoder_depth": 1, "encoder_heads": 4, "encoder_hidden": 128,
        "width": 64, "heads": 8, "head_hidden": 128, "head_features": 64,
        "crop_low": 0.3, "epochs": 50, "patience": 5, "batch_size": 64,
        "learning_rate": 1e-3, "warmup_epochs": 0, "schedule": "constant", "probe_penalty": "l2",
        "components": 200, "resamples": 1000, "most_modalities": 6, "timed_steps": 20,
    },
    # The released code's numbers for the affect sets of MultiBench, of which this is the first.
    "paper": {
        **_SAME, "data": "multibench_mosi", "image_size": 224, "words": 2000, "length": 16,
        "encoders": "published", "trunk_width": 64,
        "encoder_depth": 5, "encoder_heads": 5, "encoder_hidden": 2048,
        "width": 40, "heads": 8, "head_hidden": 512, "head_features": 256,
        "crop_low": 0.08, "epochs": 100, "patience": 10, "batch_size": 64, "learning_rate": 1e-3,
        "warmup_epochs": 0, "schedule": "constant", "probe_penalty": "unsquared",
        "components": 200, "resamples": 1000, "most_modalities": 6, "timed_steps": 20,
    },
}  # fmt: skip
