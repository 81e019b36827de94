"""Byte-pair pieces against a plain restatement, and what survives being written."""

from collections import Counter
from itertools import pairwise

import pytest
import torch

from mmlib.data import scenes
from mmlib.data.pieces import END_OF_WORD, BytePairTokenizer
from mmlib.data.text import END, PAD, SPECIAL, START, UNKNOWN, WordTokenizer, words_of

WORDS = "the theatre then other others there ether heather bather a aaaa baaaaa aaab don't t-shirts"
CAPTIONS = [*WORDS.split(), "the other theatre", "then there", "Don't bathe the others, heather!"]


@pytest.fixture(scope="module")
def captions():
    made = scenes.make(200, 8, generator=torch.Generator().manual_seed(0)).captions
    return [caption for five in made for caption in five]


@pytest.fixture(scope="module")
def tokenizer(captions):
    return BytePairTokenizer.fit(captions, 120)


def merged(pieces, pair):
    """The pieces with the pair joined, from the left."""
    out, i = [], 0
    while i < len(pieces):
        both = tuple(pieces[i : i + 2]) == pair
        out.append("".join(pair) if both else pieces[i])
        i += 2 if both else 1
    return out


def letters(word):
    return [*word[:-1], word[-1] + END_OF_WORD]


def learned_slowly(captions, count):
    """All words are counted anew before each merge."""
    counts = Counter(word for caption in captions for word in words_of(caption))
    pieces, merges = {word: letters(word) for word in counts}, []
    for _ in range(count):
        pairs = Counter()
        for word, n in counts.items():
            for pair in pairwise(pieces[word]):
                pairs[pair] += n
        if not pairs:
            break
        merges.append(min(pairs, key=lambda pair: (-pairs[pair], pair)))
        pieces = {word: merged(p, merges[-1]) for word, p in pieces.items()}
    return merges, pieces


def entries(tokenizer, caption):
    (row,) = tokenizer.encode([caption], 60).tolist()
    return [tokenizer.vocabulary[i] for i in row[1 : row.index(END)]]


@pytest.mark.parametrize("count", [1, 7, 25, 1000])
def test_merges_are_those_of_counting_anew_each_time(count, captions):
    for texts in (CAPTIONS, captions):
        merges, pieces = learned_slowly(texts, count)
        alphabet = {letter for word in pieces for letter in word}
        base = [*SPECIAL, *sorted(alphabet), *(x + END_OF_WORD for x in sorted(alphabet))]
        tokenizer = BytePairTokenizer.fit(texts, len(base) + count)
        assert tokenizer.vocabulary == base + [a + b for a, b in merges]
        for word, expected in pieces.items():  # what it learned from it reads as it learned it
            assert entries(tokenizer, word) == expected


def test_a_new_word_is_put_together_in_the_order_of_the_merges():
    tokenizer = BytePairTokenizer.fit(CAPTIONS, 60)
    base = len(SPECIAL) + 2 * len({x for caption in CAPTIONS for w in words_of(caption) for x in w})
    merges, _ = learned_slowly(CAPTIONS, 60 - base)
    assert len(merges) > 10
    for word in ("bathes", "heaters", "aaaaaaa", "ththth", "reheathen"):
        pieces = letters(word)
        for pair in merges:
            pieces = merged(pieces, pair)
        assert entries(tokenizer, word) == pieces


def test_the_order_of_captions_does_not_matter_and_size_is_kept(captions):
    one = BytePairTokenizer.fit(captions, 120)
    assert len(one) == len(one.vocabulary) == 120
    assert BytePairTokenizer.fit(captions[::-1], 120).vocabulary == one.vocabulary
    assert one.vocabulary[: len(SPECIAL)] == list(SPECIAL)


def test_with_room_for_all_merges_a_word_is_a_piece(captions):
    tokenizer = BytePairTokenizer.fit(captions, 5000)
    words = {word for caption in captions for word in words_of(caption)}
    assert len(tokenizer) < 5000
    assert all(entries(tokenizer, word) == [word + END_OF_WORD] for word in words)
    by_word = WordTokenizer.fit(captions)
    for row, other in zip(*(t.encode(captions, 20) for t in (tokenizer, by_word)), strict=True):
        assert torch.equal(row == END, other == END)


def test_what_is_decoded_has_blanks_where_words_end(captions, tokenizer):
    for texts in (captions[:100], CAPTIONS):
        reader = BytePairTokenizer.fit(texts, 90)
        rows = reader.encode(texts, 99)
        assert [reader.decode(row) for row in rows] == [" ".join(words_of(x)) for x in texts]
    ids = {entry: i for i, entry in enumerate(tokenizer.vocabulary)}
    row = [START, ids["r"], ids["e"], ids["d</w>"], ids["a</w>"], ids["b"], END, ids["e"]]
    assert tokenizer.decode(row) == "red a b"


def test_rows_start_end_and_are_padded_also_when_cut(tokenizer, captions):
    ids = tokenizer.encode([*captions[:20], ""], 6)
    assert (ids[:, 0] == START).all()
    assert (ids == END).sum(dim=1).eq(1).all()
    assert ids[-1].tolist() == [START, END, PAD, PAD, PAD, PAD]
    whole = tokenizer.encode(captions[:20], 80)
    assert torch.equal(ids[:-1, :5], whole[:, :5])


def test_a_word_with_a_letter_that_no_caption_has_is_one_unknown_word(tokenizer):
    ids = tokenizer.encode(["a ζed <end> red"], 12)[0]
    assert ids.tolist().count(UNKNOWN) == 1
    assert (ids == END).sum() == 1  # a caption spells no special token
    assert tokenizer.decode(ids) == "a <unknown> end red"


def test_a_trigger_survives_where_it_is_read_as_it_was_made(tokenizer):
    ids = {entry: i for i, entry in enumerate(tokenizer.vocabulary)}
    for kept, *pieces in [
        (True, "blue</w>", "square</w>"),
        (True, "back", "blue</w>"),  # one word now, but no merge joins parts of it otherwise
        (False, "backg", "ro"),  # the last letter gets an end mark
        (False, "gre", "en</w>"),  # read as one piece
        (False, "blue</w>", "<end>"),
        (False, "<pad>", "blue</w>"),
        (False, "blue</w>", "<unknown>"),
    ]:
        row = torch.tensor([[ids[piece] for piece in pieces]])
        assert tokenizer.survives(row).tolist() == [kept], pieces


def test_random_pieces_survive_in_part_and_whole_words_always(tokenizer):
    g = torch.Generator().manual_seed(0)
    rows = torch.randint(len(SPECIAL), len(tokenizer), (2000, 3), generator=g)
    survives = tokenizer.survives(rows)
    for row, kept in zip(rows[:200], survives, strict=False):
        again = entries(tokenizer, tokenizer.decode(row))
        assert kept == (again == [tokenizer.vocabulary[i] for i in row])
    assert 0.2 < survives.float().mean() < 0.8
    whole = tokenizer.whole_words()
    ends = torch.tensor([entry.endswith(END_OF_WORD) for entry in tokenizer.vocabulary])
    assert torch.equal(whole, ends)  # no letter here is an apostrophe or hyphen
    alone = whole[rows].all(dim=1)
    assert alone.any()
    assert survives[alone].all()
    assert not survives[~whole[rows[:, 2]]].any()  # the last always gets an end mark


def test_a_mark_that_starts_no_word_is_no_whole_word():
    tokenizer = BytePairTokenizer.fit(["black-haired dog-tired", "red-haired"], 200)
    sign = tokenizer.vocabulary.index("-haired</w>")
    assert not tokenizer.whole_words()[sign]
    words = WordTokenizer.fit(["a black-haired dog"])
    assert words.whole_words().tolist() == [False] * 5 + [True] * 3


def test_errors():
    with pytest.raises(ValueError, match="size is 10; allowed"):
        BytePairTokenizer.fit(["abc"], 10)
    assert len(BytePairTokenizer.fit(["abc"], 11)) == 11
    with pytest.raises(ValueError, match="twice"):
        BytePairTokenizer("abc", [("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")])
