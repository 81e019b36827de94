"""Captions count as far as they are read, and stay with their images."""

import pytest
import torch

from mmlib.data.text import SPECIAL
from mmlib.mem.pairs import as_pairs, encode_pairs


@pytest.mark.parametrize("pieces", [None, 80])
def test_own_words_are_those_of_captions_as_far_as_they_count(pieces):
    """The last word of the first caption lies beyond the cut, and has letters of its own."""
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    texts = [("aba baa xyzzy",), ("baa aba",)]
    given = {"room": 1, "device": torch.device("cpu"), "pieces": pieces}
    cut, whole = (
        encode_pairs((images, texts), (images, texts), longest=longest, **given)
        for longest in (2, 3)
    )
    assert cut.tokenizer.vocabulary == whole.tokenizer.vocabulary
    for pairs in (cut, whole):
        met = set(pairs.train[1].unique().tolist()) - set(range(len(SPECIAL)))
        assert pairs.own_words == len(met)
    assert cut.own_words < whole.own_words
    if pieces is None:
        assert (cut.own_words, whole.own_words) == (2, 3)


def test_in_pairs_each_image_is_there_with_each_of_its_captions(make_pairs):
    images, ids = make_pairs(3, captions=2)
    alone, captions = as_pairs(images, ids)
    for row in range(6):
        assert torch.equal(alone[row], images[row // 2])
        assert torch.equal(captions[row, 0], ids[row // 2, row % 2])
