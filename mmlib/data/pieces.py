"""Captions in pieces of words: a byte-pair vocabulary, learned from the captions.

As in CLIP, the last letter of a word carries an end mark, so that what is decoded has blanks where
words end, and a word is put together by the merges in the order in which they were learned. The
alphabet is the captions' own letters where CLIP's is all 256 bytes: of the few thousand entries
that one set's captions support, an eighth would be bytes that no caption has. It is our own code
and no library's because whether a trigger survives writing hangs on each of these choices.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise

from mmlib._checks import check_range
from mmlib.data.text import SPECIAL, UNKNOWN, Tokenizer, words_of

END_OF_WORD = "</w>"  # no word has such a sign

Pair = tuple[str, str]


class BytePairTokenizer(Tokenizer):
    """Pieces of lower-case words to ids: special tokens, letters, letters that end a word, merges.

    A word with a letter that is not in ``alphabet`` is one unknown word. Raises ``ValueError`` if
    two merges spell the same.

    >>> tokenizer = BytePairTokenizer.fit(["a cat", "a hat", "the cat"], size=16)
    >>> ids = tokenizer.encode(["a hat", "the chat"], length=7)
    >>> [[tokenizer.vocabulary[i] for i in row if i > 4] for row in ids.tolist()]
    [['a</w>', 'h', 'at</w>'], ['t', 'h', 'e</w>', 'c', 'h']]
    >>> tokenizer.decode(ids[0])
    'a hat'
    """

    def __init__(self, alphabet: Iterable[str], merges: Iterable[Pair]):
        letters, merges = sorted(set(alphabet)), list(merges)
        ending = [letter + END_OF_WORD for letter in letters]
        super().__init__([*letters, *ending, *(a + b for a, b in merges)])
        self._rank = {pair: rank for rank, pair in enumerate(merges)}
        self._known: dict[str, tuple[int, ...]] = {}  # words met so far

    @classmethod
    def fit(cls, captions: Iterable[str], size: int) -> BytePairTokenizer:
        """A vocabulary of ``size`` entries, or fewer where every word is a piece before.

        The most frequent pair of neighbours in a word becomes a piece, again and again; of equally
        frequent ones the first in alphabetical order, so the same captions in any order give the
        same ids. Raises ``ValueError`` if ``size`` has no room for the special tokens and letters.

        Source: Sennrich et al. (ACL 2016), Algorithm 1.
        """
        counts = Counter(word for caption in captions for word in words_of(caption))
        alphabet = {letter for word in counts for letter in word}
        base = len(SPECIAL) + 2 * len(alphabet)
        check_range("size", size, base)
        return cls(alphabet, islice(_merges(counts), size - base))

    def _of_word(self, word: str) -> Sequence[int]:
        if word not in self._known:
            pieces = _letters(word)
            while len(pieces) > 1:
                first = min(pairwise(pieces), key=lambda pair: self._rank.get(pair, len(self)))
                if first not in self._rank:
                    break
                pieces = _merged(pieces, first)
            ids = tuple(self._ids.get(piece, UNKNOWN) for piece in pieces)
            self._known[word] = (UNKNOWN,) if UNKNOWN in ids else ids
        return self._known[word]

    def _spell(self, entries: Sequence[str]) -> str:
        spaced = (f" {entry} " if entry in SPECIAL else entry for entry in entries)
        return " ".join("".join(spaced).replace(END_OF_WORD, " ").split())


def _merges(counts: Counter[str]) -> Iterator[Pair]:
    """The pairs to merge, in order. Only the words that have a pair are looked at again."""
    words, weights = [_letters(word) for word in counts], list(counts.values())
    pairs: Counter[Pair] = Counter()
    having: dict[Pair, set[int]] = defaultdict(set)  # may hold words that have it no more
    for i, (word, weight) in enumerate(zip(words, weights, strict=True)):
        for pair in pairwise(word):
            pairs[pair] += weight
            having[pair].add(i)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    while heap:
        count, best = heapq.heappop(heap)
        if pairs[best] != -count:  # it changed since, and was put there again
            continue
        yield best
        changed = set()
        for i in having.pop(best):
            for pair in pairwise(words[i]):
                pairs[pair] -= weights[i]
                changed.add(pair)
            words[i] = _merged(words[i], best)
            for pair in pairwise(words[i]):
                pairs[pair] += weights[i]
                having[pair].add(i)
                changed.add(pair)
        for pair in changed:
            if pairs[pair] > 0:
                heapq.heappush(heap, (-pairs[pair], pair))


def _letters(word: str) -> list[str]:
    return [*word[:-1], word[-1] + END_OF_WORD]


def _merged(pieces: list[str], pair: Pair) -> list[str]:
    """The pieces with each occurrence of ``pair``, from the left, as one."""
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged
