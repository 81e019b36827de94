import pytest
import torch

from mmlib.data.text import END, MASK, PAD, SPECIAL, START, UNKNOWN
from mmlib.data.text import WordTokenizer as Tokenizer

CAPTIONS = ["A red square left of a blue circle.", "a red, striped square", "Don't mix T-shapes!"]


def test_words_stand_by_frequency_then_alphabet_in_any_order_of_captions():
    tokenizer = Tokenizer.fit(CAPTIONS)
    assert tokenizer.vocabulary[:8] == [*SPECIAL, "a", "red", "square"]
    assert tokenizer.vocabulary[8:] == sorted(tokenizer.vocabulary[8:])
    assert "don't" in tokenizer.vocabulary
    assert "t-shapes" in tokenizer.vocabulary
    assert Tokenizer.fit(CAPTIONS[::-1]).vocabulary == tokenizer.vocabulary
    assert len(tokenizer) == len(tokenizer.vocabulary)


def test_encode_and_decode_are_inverse_up_to_case_and_punctuation():
    tokenizer = Tokenizer.fit(CAPTIONS)
    ids = tokenizer.encode(CAPTIONS, length=12)
    assert ids.shape == (3, 12)
    assert ids.dtype == torch.long
    assert [tokenizer.decode(row) for row in ids] == [
        "a red square left of a blue circle",
        "a red striped square",
        "don't mix t-shapes",
    ]


def test_each_row_starts_ends_and_is_padded_also_when_the_caption_is_cut():
    ids = Tokenizer.fit(CAPTIONS).encode([*CAPTIONS, ""], length=6)
    assert (ids[:, 0] == START).all()
    assert (ids == END).sum(dim=1).eq(1).all()
    whole = Tokenizer.fit(CAPTIONS).encode(CAPTIONS, length=12)
    assert ids[0].tolist() == [*whole[0, :5].tolist(), END]  # cut at its end, but still ended
    assert ids[3].tolist() == [START, END, PAD, PAD, PAD, PAD]


def test_surplus_words_become_unknown():
    tokenizer = Tokenizer.fit(CAPTIONS, max_size=7)
    assert tokenizer.vocabulary[5:] == ["a", "red"]
    assert tokenizer.encode(["a red square"], 5).tolist() == [[START, 5, 6, UNKNOWN, END]]


def test_a_caption_cannot_spell_a_special_token():
    ids = Tokenizer.fit(["end mask"]).encode(["<end> <mask> <start>"], 8)[0]
    assert (ids == END).sum() == 1
    assert MASK not in ids
    assert (ids == START).sum() == 1


def test_tokenizer_errors():
    with pytest.raises(ValueError, match="length is 2"):
        Tokenizer.fit(CAPTIONS).encode(CAPTIONS, 2)
    with pytest.raises(ValueError, match="max_size is 4"):
        Tokenizer.fit(CAPTIONS, max_size=4)
    with pytest.raises(ValueError, match="twice"):
        Tokenizer(["a", "a"])
