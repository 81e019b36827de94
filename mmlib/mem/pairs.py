"""Images with captions as ids: a part to publish, and clean parts to measure and to choose by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmlib.data.pieces import BytePairTokenizer
from mmlib.data.text import SPECIAL, Tokenizer, WordTokenizer, first_end, words_of

Part = tuple[Tensor, Sequence[Sequence[str]]]  # images with the captions of each


@dataclass(frozen=True)
class Pairs:
    """Parts of uint8 images (N, 3, H, W) and caption ids (N, C, T), on one device.

    ``train`` is published; ``test`` is clean, and what results are measured on; ``known``, where a
    chapter has it, is clean too, for whatever is to be chosen. Ids end with padding that has room
    for a trigger.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    known: tuple[Tensor, Tensor] | None
    tokenizer: Tokenizer

    @property
    def captions(self) -> int:
        """Captions of an image, C."""
        return self.train[1].shape[1]

    @property
    def length(self) -> int:
        """Ids of a caption with its trigger and padding, T."""
        return self.train[1].shape[2]

    @property
    def own_words(self) -> int:
        """Entries of the vocabulary that occur in published captions, as far as those count."""
        return int((self.train[1].unique() >= len(SPECIAL)).sum())

    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, for the record's content hash."""
        return *self.train, *self.test, *(self.known or ())


def encode_pairs(
    train: Part,
    test: Part,
    known: Part | None = None,
    *,
    longest: int,
    room: int,
    device: torch.device,
    pieces: int | None = None,
) -> Pairs:
    """Images with captions as text, encoded by one tokenizer.

    The vocabulary has the words of the published captions, the most frequent first, and beside
    them common English words, as a tokenizer knows more words than one set uses. With ``pieces``
    it is learned from the same words, as pieces of them, and a caption has room for as many as the
    longest published one needs.

    Args:
        train, test, known: images (N, 3, H, W) uint8 and the C captions of each.
        longest: words of a caption that count.
        room: words of the longest trigger.
        pieces: entries of a byte-pair vocabulary; by default an entry is a word.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    told = [caption for row in train[1] for caption in row]
    common = sorted(ENGLISH_STOP_WORDS)
    if pieces is None:
        own = WordTokenizer.fit(told).vocabulary[len(SPECIAL) :]
        tokenizer, length = WordTokenizer(dict.fromkeys([*own, *common])), longest + 2
    else:
        tokenizer = BytePairTokenizer.fit([*told, *common], pieces)
        texts = [_first(caption, longest) for caption in told]
        ids = tokenizer.encode(texts, max(map(len, texts)) + 2)  # a piece has a letter at least
        length = int(first_end(ids).max()) + 1

    def encoded(images: Tensor, rows: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        texts = [_first(caption, longest) for row in rows for caption in row]
        ids = nn.functional.pad(tokenizer.encode(texts, length), (0, room))
        return images.to(device), ids.unflatten(0, (len(images), -1)).to(device)

    known = encoded(*known) if known is not None else None
    return Pairs(encoded(*train), encoded(*test), known, tokenizer)


def _first(caption: str, count: int) -> str:
    return " ".join(words_of(caption)[:count])


def as_pairs(images: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
    """Each image once for each of its captions: (N C, 3, H, W) and (N C, 1, T).

    >>> [x.shape for x in as_pairs(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 9))]
    [torch.Size([10, 3, 4, 4]), torch.Size([10, 1, 9])]
    """
    return images.repeat_interleave(captions.shape[1], dim=0), captions.flatten(0, 1)[:, None]
