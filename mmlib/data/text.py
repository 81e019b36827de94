"""Captions as ids and back: the special tokens, a vocabulary of words, and where a caption ends."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from mmlib._checks import check_distinct, check_range

PAD, START, END, UNKNOWN, MASK = range(5)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>", "<mask>")

# No caption can spell a special token: brackets are no part of a word.
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Tokenizer:
    """Captions to ids and back; a subclass says which ids a word has.

    Ids 0 to 4 are padding, start, end, unknown word and mask. ``vocabulary[id]`` is the entry.
    Raises ``ValueError`` if ``entries`` holds one twice, or a special token.
    """

    def __init__(self, entries: Iterable[str]):
        self.vocabulary: list[str] = [*SPECIAL, *entries]
        check_distinct("vocabulary", self.vocabulary)
        self._ids = {entry: i for i, entry in enumerate(self.vocabulary)}

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode(self, captions: Sequence[str], length: int) -> Tensor:
        """Captions to (B, length) ids: start, words, end, padding. Long ones lose their last ids.

        Raises ``ValueError`` if ``length`` has no room for start, one id and end.
        """
        check_range("length", length, 3)
        ids = torch.full((len(captions), length), PAD)
        for row, caption in enumerate(captions):
            found = [i for word in words_of(caption) for i in self._of_word(word)]
            coded = [START, *found[: length - 2], END]
            ids[row, : len(coded)] = torch.tensor(coded)
        return ids

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """The words of one row of ids, up to the first end token, separated by blanks."""
        entries = []
        for i in map(int, ids):
            if i == END:
                break
            if i not in (PAD, START):
                entries.append(self.vocabulary[i])
        return self._spell(entries)

    def survives(self, ids: Tensor) -> Tensor:
        """Whether each row of ids (B, K), written as text and read again, is the same: (B,) bool.

        A row with a special token is not: no text spells those.
        """
        ids, k = ids.cpu(), ids.shape[1]
        again = self.encode([self.decode(row) for row in ids], max(3, k + 2))
        return ((again[:, 1 : k + 1] == ids) & (ids >= len(SPECIAL))).all(dim=1)

    def whole_words(self) -> Tensor:
        """Which ids (V,) are words by themselves: any row of them :meth:`survives`."""
        return self.survives(torch.arange(len(self))[:, None])

    def _of_word(self, word: str) -> Sequence[int]:
        raise NotImplementedError

    def _spell(self, entries: Sequence[str]) -> str:
        raise NotImplementedError


class WordTokenizer(Tokenizer):
    """Lower-case words to ids: the five special tokens, then words.

    >>> tokenizer = WordTokenizer.fit(["A red square.", "a blue square"])
    >>> ids = tokenizer.encode(["a green square"], length=6)
    >>> ids.tolist(), tokenizer.decode(ids[0])
    ([[1, 5, 3, 6, 2, 0]], 'a <unknown> square')
    """

    @classmethod
    def fit(cls, captions: Iterable[str], max_size: int | None = None) -> WordTokenizer:
        """The words of ``captions``, the most frequent first.

        With ``max_size``, at most so many entries, special tokens included. Words of equal count
        stand in alphabetical order, so the same captions in any order give the same ids.
        """
        check_range("max_size", len(SPECIAL) if max_size is None else max_size, len(SPECIAL))
        counts = Counter(word for caption in captions for word in words_of(caption))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked if max_size is None else ranked[: max_size - len(SPECIAL)])

    def _of_word(self, word: str) -> Sequence[int]:
        return (self._ids.get(word, UNKNOWN),)

    def _spell(self, entries: Sequence[str]) -> str:
        return " ".join(entries)


def words_of(caption: str) -> list[str]:
    """A caption's words in lower case: letters and digits, joined by apostrophes or hyphens.

    >>> words_of("Don't mix T-shapes!"), words_of(" . ")
    (["don't", 'mix', 't-shapes'], [])
    """
    return _WORD.findall(caption.lower())


def first_end(ids: Tensor) -> Tensor:
    """The place (B,) of the first end token of each row (B, T); 0 also where there is none.

    >>> first_end(torch.tensor([[1, 5, 2, 2], [1, 5, 6, 7]]))
    tensor([2, 0])
    """
    return (ids == END).int().argmax(dim=1)
