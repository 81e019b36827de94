"""What the chapters on sets of several modalities share: the set, the networks, the training."""

from __future__ import annotations

from typing import Literal

from mmlib.presets.base import Field, Settings

Data = Literal[
    "digits", "mosi", "mosi_words", "products_title", "products_table",
    "multibench_mosi", "multibench_urfunny", "multibench_mustard", "multibench_mimic",
    "multibench_visionandtouch_cp", "multibench_visionandtouch_cp_clean",
    "multibench_visionandtouch_ee", "multibench_visionandtouch_ee_clean",
    "mmimdb", "mmimdb_clip", "mmimdb_tokens",
    "triples", "triples_free",
]  # fmt: skip


class ModalitySettings(Settings):
    """Which set is learned from, by which networks, and how that is probed."""

    data: Data = Field(description="modalities and labels")
    image_size: int = Field(ge=8, le=224, description="side of the images in pixels")
    words: int = Field(ge=6, description="entries of a text's vocabulary, special tokens included")
    length: int = Field(ge=3, description="tokens of a text")

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
