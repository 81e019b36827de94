"""Frozen encoders that others have trained, read from local folders; nothing is downloaded.

CoMM's MM-IMDb experiment takes two. Each is a folder in ``MMLIB_DATA/pretrained`` that holds its
publisher's files as they are and is called by the last part of its name on Hugging Face:

* ``openai/clip-vit-base-patch32``, of which the vision tower gives 50 tokens of 768 for an image of
  224 pixels a side, without the projection;
* ``sentence-transformers/clip-ViT-B-32-multilingual-v1``, whose transformer gives a token of 768
  for each of at most 128 pieces of a text, without pooling and projection.

They are read by the library transformers, which nothing else here needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmlib._checks import check_range
from mmlib.data._root import data_root, set_folder
from mmlib.data.text import PAD

IMAGE = "openai/clip-vit-base-patch32"
TEXT = "sentence-transformers/clip-ViT-B-32-multilingual-v1"


class Frozen(nn.Module):
    """An encoder whose weights no training moves and whose dropout is off, whatever the mode.

    So a copy would be the same, and copying gives the module itself.
    """

    def __init__(self, model: nn.Module, width: int):
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.out_features = width

    def train(self, mode: bool = True) -> Frozen:
        return super().train(False)

    def __deepcopy__(self, memo: dict) -> Frozen:
        return self


class ImageTokens(Frozen):
    """Normalised images (B, 3, S, S) to tokens (B, 1 + patches, D), the class token first.

    All tokens go through the layer norm that the publisher applies to the first alone, as they do
    in timm's model of the same weights, which the released code takes. Raises ``ValueError`` for
    images of another size than the encoder's.
    """

    def __init__(self, model: nn.Module):
        super().__init__(model, model.config.hidden_size)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return self.model.post_layernorm(self.model(images).last_hidden_state)


class TextTokens(Frozen):
    """Ids (B, T) of :func:`piece_ids` to tokens (B, T, D).

    Pieces do not see padding. What stands at the place of padding is a token nevertheless; whether
    a fusion sees it is CoMM's choice.
    """

    def __init__(self, model: nn.Module, ids: Tensor):
        super().__init__(model, model.config.hidden_size)
        self.register_buffer("ids", ids, persistent=False)

    @torch.no_grad()
    def forward(self, ids: Tensor) -> Tensor:
        seen = (ids != PAD).long()
        return self.model(input_ids=self.ids[ids], attention_mask=seen).last_hidden_state


class PieceMean(nn.Module):
    """One vector (B, D) of a text: the mean over the tokens of its pieces, padding left out."""

    def __init__(self, encoder: TextTokens):
        super().__init__()
        self.encoder = encoder
        self.out_features: int = encoder.out_features

    def forward(self, ids: Tensor) -> Tensor:
        seen = (ids != PAD).unsqueeze(2)
        return (self.encoder(ids) * seen).sum(dim=1) / seen.sum(dim=1)


def image_tokens() -> ImageTokens:
    """CLIP's vision tower, of :data:`IMAGE`.

    All callers get the same frozen weights. Raises ``ImportError`` without transformers,
    ``FileNotFoundError`` where the folder is absent, both saying what to do, and ``ValueError`` for
    files that cannot be read.
    """
    return ImageTokens(_read("CLIPModel", _folder(IMAGE)).vision_model)


def text_tokens(ids: Tensor) -> TextTokens:
    """The text encoder of :data:`TEXT`, for what :func:`piece_ids` gave together with ``ids``.

    Raises as :func:`image_tokens` does.
    """
    return TextTokens(_read("AutoModel", _folder(TEXT)), ids)


def piece_ids(texts: Mapping[str, Sequence[str]], length: int) -> tuple[dict[str, Tensor], Tensor]:
    """Ids (N, ``length``) of the pieces of texts in parts, and the publisher's id (V,) of each.

    Ids are this library's: padding, start, end, unknown and mask are 0 to 4, and then come the
    pieces that occur in any part, the most frequent of the part ``"train"`` first. Long texts lose
    their last pieces. Raises as :func:`image_tokens` does, and ``ValueError`` for a length without
    room for start, a piece and end.
    """
    check_range("length", length, 3)
    reader = _read("AutoTokenizer", _folder(TEXT))
    coded = {
        part: reader(
            list(told), padding="max_length", truncation=True, max_length=length,
            return_tensors="pt",
        )["input_ids"]
        for part, told in texts.items()
    }  # fmt: skip
    names = ("pad_token_id", "cls_token_id", "sep_token_id", "unk_token_id", "mask_token_id")
    special = torch.tensor([getattr(reader, name) for name in names])
    used = torch.cat([ids.flatten() for ids in coded.values()]).unique()
    pieces = used[~torch.isin(used, special)]
    counts = coded["train"].flatten().bincount(minlength=len(reader))
    order = counts[pieces].argsort(descending=True, stable=True)
    theirs = torch.cat([special, pieces[order]])
    ours = torch.zeros(len(reader), dtype=torch.long)
    ours[theirs] = torch.arange(len(theirs))
    return {part: ours[ids] for part, ids in coded.items()}, theirs


@torch.no_grad()
def tokens_of(
    encoder: Frozen, samples: Tensor, prepare: Callable[[Tensor, None], Tensor]
) -> Tensor:
    """Tokens (N, T, D) of all ``samples`` (N, ...), in half precision, to be used in their place.

    ``prepare`` makes the encoder's input without chance. The encoder is moved to their device.
    """
    encoder = encoder.to(samples.device)
    return torch.cat([encoder(prepare(part, None)).half() for part in samples.split(256)])


def _folder(name: str) -> Path:
    short = name.split("/")[1]
    folder = data_root() / "pretrained" / short
    how = f"hf download {name} --local-dir {folder} fetches the publisher's files"
    return set_folder(short, ("config.json",), how, folder)


@cache
def _read(kind: str, folder: Path) -> Any:
    """What a class of transformers, called ``kind``, makes of the folder's files."""
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "pre-trained encoders are read by transformers: pip install transformers"
        ) from error
    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} cannot be read ({error})") from error
