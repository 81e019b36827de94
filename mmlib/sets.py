"""The real and drawn sets of two or more modalities, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmlib._checks import check_choice
from mmlib.augment.image import Normalize
from mmlib.augment.transform import as_it_is
from mmlib.data import (
    digits,
    mimic,
    mmimdb,
    multibench,
    products,
    triples,
    utterances,
    vision_touch,
)
from mmlib.data.image_table import ImageTable
from mmlib.data.multimodal import Modality, Multimodal, Part
from mmlib.data.text import WordTokenizer
from mmlib.encoders import pretrained

_PARTS = ("train", "validation", "test")


class Form(NamedTuple):
    """In what form a set's inputs are wanted: the options of :func:`load`."""

    size: int
    words: int
    length: int
    device: torch.device | str


def load(
    name: str, *, size: int, words: int, length: int, device: torch.device | str = "cpu"
) -> Multimodal:
    """One of :data:`SETS`, images at ``size`` pixels a side.

    Texts are ids of the ``words`` most frequent words of the training part (special tokens
    included), ``length`` of them. Raises what the set's own module raises.
    """
    check_choice("name", name, SETS)
    return SETS[name](Form(size, words, length, device))


def image_table(data: ImageTable, *, upright: bool) -> Multimodal:
    """An image-table set: ``image`` and ``table``."""
    table = Modality("table", "table", len(data.columns), data.schema, data.train.table)
    return _of_images(data, table, {p: getattr(data, p).table for p in _PARTS}, upright)


def image_text(
    data: ImageTable, titles: dict[str, Sequence[str]], *, words: int, length: int
) -> Multimodal:
    """The images of an image-table set and a text for each of them: ``image`` and ``title``."""
    tokenizer = WordTokenizer.fit(titles["train"], max_size=words)
    device = data.train.labels.device
    ids = {part: tokenizer.encode(titles[part], length).to(device) for part in _PARTS}
    return _of_images(data, Modality("title", "text", len(tokenizer), length=length), ids, False)


def of_utterances(
    data: dict[str, utterances.Part], *, words: int | None = None, length: int = 0
) -> Multimodal:
    """MOSI by the utterance: ``text``, ``video``, ``audio``.

    With ``words`` the text is the transcript (``words``) in place of a vector that was learned from
    labels.
    """
    kinds, first = ("text", "video", "audio"), data["train"]
    modalities = [Modality(k, "vector", first.vectors[k].shape[1]) for k in kinds]
    inputs = {name: [part.vectors[kind] for kind in kinds] for name, part in data.items()}
    if words is not None:
        tokenizer = WordTokenizer.fit(first.transcripts, max_size=words)
        modalities[0] = Modality("words", "text", len(tokenizer), length=length)
        for name, part in data.items():
            inputs[name][0] = tokenizer.encode(part.transcripts, length).to(part.labels.device)
    parts = {
        name: Part(tuple(inputs[name]), part.labels, part.videos) for name, part in data.items()
    }
    return Multimodal(tuple(modalities), **parts, classes=utterances.CLASSES, unit="video")


def of_steps(data: dict[str, Part], classes: tuple[str, ...]) -> Multimodal:
    """A set of MultiBench: ``text``, ``vision``, ``audio``."""
    parts = zip(multibench.KINDS, data["train"].inputs, strict=True)
    modalities = tuple(Modality(kind, "sequence", x.shape[2]) for kind, x in parts)
    return Multimodal(modalities, **data, classes=classes)


def of_stays(data: dict[str, Part]) -> Multimodal:
    """MIMIC: ``table``, in whose views no entry is zeroed, and ``series``."""
    table, series = data["train"].inputs
    modalities = (
        Modality("table", "vector", table.shape[1], changes=("noise",), network="perceptron"),
        Modality("series", "sequence", series.shape[2], network="gru"),
    )
    return Multimodal(modalities, **data, classes=mimic.CLASSES)


def of_contact(data: dict[str, Part]) -> Multimodal:
    """Vision & Touch, contact at the next step: ``image``, ``proprio`` and ``force``."""
    modalities = (
        _seen_by_hand(data),
        Modality("proprio", "vector", 8, changes=("noise",), network="proprio"),
        Modality("force", "sequence", 6, changes=("noise", "drop"), network="force"),
    )
    return Multimodal(modalities, **data, classes=vision_touch.CLASSES, unit="recording")


def of_position(data: dict[str, Part]) -> Multimodal:
    """Vision & Touch, place of the hand at the next step: ``image`` and ``force``."""
    force = Modality("force", "sequence", 6, changes=("noise", "drop"), network="force_tokens")
    return Multimodal(
        (_seen_by_hand(data), force),
        **data,
        classes=vision_touch.OUTPUTS,
        unit="recording",
        target="numbers",
    )


def of_films(data: dict[str, mmimdb.Part], *, words: int, length: int) -> Multimodal:
    """MM-IMDb: ``image``, the poster, and ``plot``, by the words of the training part's plots."""
    tokenizer = WordTokenizer.fit(data["train"].plots, max_size=words)
    modalities = (
        Modality("image", "image", _side(data), blurred=True),
        Modality("plot", "text", len(tokenizer), length=length),
    )
    inputs = {
        name: (part.posters, tokenizer.encode(part.plots, length).to(part.genres.device))
        for name, part in data.items()
    }
    return _of_genres(modalities, data, inputs)


def of_films_as_pieces(data: dict[str, mmimdb.Part], *, words: int, length: int) -> Multimodal:
    """MM-IMDb for the paper's pre-trained encoders: ``image``, and ``plot`` in their pieces.

    Views are of posters and of pieces, so the frozen encoders run in every step, as in the released
    code. Raw features count the ``words`` most frequent pieces.
    """
    ids, theirs = pretrained.piece_ids({name: part.plots for name, part in data.items()}, length)
    modalities = (
        Modality("image", "image", _side(data), blurred=True, network="clip_image"),
        Modality(
            "plot", "text", min(words, len(theirs)), length=length, network="clip_text", ids=theirs
        ),
    )
    device = data["train"].genres.device
    inputs = {name: (part.posters, ids[name].to(device)) for name, part in data.items()}
    return _of_genres(modalities, data, inputs)


def of_films_as_tokens(data: dict[str, mmimdb.Part], *, length: int) -> Multimodal:
    """MM-IMDb as what these encoders give, computed once: ``image`` and ``plot``, sequences.

    Neither poster nor plot is augmented; views are those of sequences, of tokens.
    """
    ids, theirs = pretrained.piece_ids({name: part.plots for name, part in data.items()}, length)
    image, text = pretrained.image_tokens(), pretrained.text_tokens(theirs)
    inputs = {
        name: (
            pretrained.tokens_of(image, part.posters, Normalize()),
            pretrained.tokens_of(text, ids[name].to(part.genres.device), as_it_is),
        )
        for name, part in data.items()
    }
    modalities = tuple(
        Modality(name, "sequence", encoder.out_features, network="tokens")
        for name, encoder in {"image": image, "plot": text}.items()
    )
    return _of_genres(modalities, data, inputs)


def _of_genres(
    modalities: tuple[Modality, ...],
    data: dict[str, mmimdb.Part],
    inputs: dict[str, tuple[Tensor, ...]],
) -> Multimodal:
    parts = {name: Part.of_independent(inputs[name], part.genres) for name, part in data.items()}
    return Multimodal(modalities, **parts, classes=mmimdb.GENRES, target="labels")


def _side(data: dict[str, mmimdb.Part]) -> int:
    return data["train"].posters.shape[-1]


def _seen_by_hand(data: dict[str, Part]) -> Modality:
    side = data["train"].inputs[0].shape[-1]
    return Modality("image", "image", side, blurred=True, network="resnet18")


def of_triples(data: dict[str, triples.Triples]) -> Multimodal:
    """Three images: ``image1``, ``image2``, ``image3``, with the shape as the label.

    The units are combinations, not images: what is claimed is of combinations that nobody saw.
    """
    size = data["learn"].images.shape[-1]
    modalities = tuple(Modality(f"image{k}", "image", size) for k in (1, 2, 3))
    parts = {
        name: Part(part.inputs, part.tasks["R"], part.combinations, part.tasks)
        for name, part in data.items()
    }
    return Multimodal(modalities, **parts, classes=triples.SHAPES, unit="combination")


def _of_images(
    data: ImageTable, second: Modality, inputs: dict[str, Tensor], upright: bool
) -> Multimodal:
    image = Modality("image", "image", data.train.images.shape[-1], upright=upright)
    sources = {name: getattr(data, name) for name in _PARTS}
    parts = {
        name: Part.of_independent((part.images, inputs[name]), part.labels)
        for name, part in sources.items()
    }
    return Multimodal((image, second), **parts, classes=data.classes)


def _touched(task: str, split: str, f: Form) -> dict[str, Part]:
    return vision_touch.load(task, split=split, size=f.size, device=f.device)


SETS: dict[str, Callable[[Form], Multimodal]] = {
    "digits": lambda f: image_table(digits.load(f.size, device=f.device), upright=True),
    "products_table": lambda f: image_table(products.load(f.size, device=f.device), upright=False),
    "products_title": lambda f: image_text(
        products.load(f.size, device=f.device), products.titles(), words=f.words, length=f.length
    ),
    "mosi": lambda f: of_utterances(utterances.load(device=f.device)),
    "mosi_words": lambda f: of_utterances(
        utterances.load(device=f.device), words=f.words, length=f.length
    ),
    "triples": lambda f: of_triples(triples.load(f.size, device=f.device)),
    "triples_free": lambda f: of_triples(triples.load(f.size, follow=False, device=f.device)),
    **{
        f"multibench_{name}": lambda f, name=name: of_steps(
            multibench.load(name, device=f.device), multibench.CLASSES[name]
        )
        for name in multibench.FILES
    },
    "multibench_mimic": lambda f: of_stays(mimic.load(device=f.device)),
    "multibench_visionandtouch_ee": lambda f: of_position(_touched("ee", "released", f)),
    "multibench_visionandtouch_ee_clean": lambda f: of_position(_touched("ee", "clean", f)),
    "multibench_visionandtouch_cp": lambda f: of_contact(_touched("cp", "released", f)),
    "multibench_visionandtouch_cp_clean": lambda f: of_contact(_touched("cp", "clean", f)),
    "mmimdb": lambda f: of_films(
        mmimdb.load(f.size, device=f.device), words=f.words, length=f.length
    ),
    "mmimdb_clip": lambda f: of_films_as_pieces(
        mmimdb.load(f.size, device=f.device), words=f.words, length=f.length
    ),
    "mmimdb_tokens": lambda f: of_films_as_tokens(
        mmimdb.load(f.size, device=f.device), length=f.length
    ),
}
