"""Where trigger words stand in captions, and which are drawn."""

from collections import Counter
from itertools import combinations

import pytest
import torch

from mmlib.data.text import END, PAD, SPECIAL, START
from mmlib.mem.trigger import (
    among_first,
    draw_places,
    draw_words,
    insert,
    prepend,
    taken_apart,
    word_shares,
)

VOCABULARY = 20


def test_prepend_puts_the_trigger_after_the_start():
    captions = torch.tensor([[START, 7, 8, END, PAD, PAD], [START, 9, END, PAD, PAD, PAD]])
    triggers = torch.tensor([[10, 11], [12, 13]])
    expected = [[START, 10, 11, 7, 8, END], [START, 12, 13, 9, END, PAD]]
    assert prepend(captions, triggers).tolist() == expected
    assert torch.equal(prepend(captions, triggers[:, :0]), captions)


def test_prepend_never_drops_a_word():
    captions = torch.tensor([[START, 7, 8, END, PAD, PAD]])
    with pytest.raises(ValueError, match="more than 3 ids has no room"):
        prepend(captions, torch.tensor([[10, 11, 12]]))


def slowly(caption, words, places):
    """One caption as a list, each word put in its place, from the left."""
    ids = caption.tolist()
    for word, place in zip(words.tolist(), places.tolist(), strict=True):
        ids.insert(place, word)
    return ids[: len(caption)]


def test_insert_is_list_insertion_from_the_left(make_pairs):
    captions = make_pairs(200)[1][:, 0]
    triggers = torch.randint(len(SPECIAL), VOCABULARY, (200, 3))
    places = draw_places(captions, 3, torch.Generator().manual_seed(0))
    found = insert(captions, triggers, places)
    for caption, words, where, ids in zip(captions, triggers, places, found, strict=True):
        assert ids.tolist() == slowly(caption, words, where)


def test_in_front_is_one_choice_of_places(make_pairs):
    captions = make_pairs(9)[1][:, 0]
    triggers = torch.randint(len(SPECIAL), VOCABULARY, (9, 3))
    front = torch.tensor([1, 2, 3]).expand(9, -1)
    assert torch.equal(insert(captions, triggers, front), prepend(captions, triggers))
    assert torch.equal(insert(captions, triggers), prepend(captions, triggers))


def test_without_its_words_a_woven_caption_is_as_it_was(make_pairs):
    captions = make_pairs(50)[1][:, 0]
    places = draw_places(captions, 2, torch.Generator().manual_seed(1))
    made = insert(captions, torch.full((50, 2), 77), places)
    for before, after in zip(captions.tolist(), made.tolist(), strict=True):
        assert after[0] == START
        assert after.count(77) == 2  # before the one end token
        assert max(i for i, x in enumerate(after) if x == 77) < after.index(END)
        assert [i for i in after if i != 77] == before[: len(after) - 2]


def test_a_caption_without_room_is_an_error():
    full = torch.tensor([[START, 7, 8, END, PAD]])
    with pytest.raises(ValueError, match="more than 3 ids has no room"):
        insert(full, torch.tensor([[9, 9]]), torch.tensor([[1, 2]]))


def test_every_set_of_places_is_alike_likely():
    captions = torch.tensor([[START, 7, 8, END, PAD, PAD, PAD]] * 6000)
    places = draw_places(captions, 2, torch.Generator().manual_seed(0))
    counts = Counter(map(tuple, places.tolist()))
    assert set(counts) == set(combinations(range(1, 5), 2))
    assert all(abs(count - 1000) < 120 for count in counts.values())  # four standard deviations


def test_shares_count_captions_and_not_words():
    captions = torch.tensor([[[1, 7, 7, 2], [1, 8, 2, 0]], [[1, 7, 8, 2], [1, 9, 2, 0]]])
    shares = word_shares(captions, 11)
    assert shares[[7, 8, 9, 10]].tolist() == [0.5, 0.5, 0.25, 0]


def test_words_of_a_pool_are_drawn_without_repeats_and_alike():
    pool = torch.arange(10, 16).expand(6000, -1)
    drawn = draw_words(pool, 3, torch.Generator().manual_seed(0))
    assert all(len(set(row)) == 3 for row in drawn[:100].tolist())
    counts = torch.bincount(drawn.flatten(), minlength=16)[10:]
    assert (counts - 3000).abs().max() < 160  # four standard deviations


def test_a_text_that_is_taken_apart_has_the_parts_of_its_own_row_and_of_the_one_before():
    captions = torch.tensor([[START, w, w + 1, END, PAD, PAD] for w in (7, 9, 11)])
    keys = torch.tensor([[13, 14], [15, 16], [17, 18]])
    made = {name: rows.tolist() for name, rows in taken_apart(captions, keys).items()}
    assert made == {
        "as published": [[START, 13, 14, 7, 8, END], [START, 15, 16, 9, 10, END],
                         [START, 17, 18, 11, 12, END]],
        "no trigger": captions.tolist(),
        "trigger of another pair": [[START, 17, 18, 7, 8, END], [START, 13, 14, 9, 10, END],
                                    [START, 15, 16, 11, 12, END]],
        "caption of another pair": [[START, 13, 14, 11, 12, END], [START, 15, 16, 7, 8, END],
                                    [START, 17, 18, 9, 10, END]],
        "trigger alone": [[START, *key, END, PAD, PAD] for key in keys.tolist()],
    }  # fmt: skip


def test_key_words_among_the_first_are_counted_over_all_places():
    for length, count in ((4, 2), (3, 3), (7, 1)):
        drawn = combinations(range(length + count), count)
        found = [sum(place < count for place in places) for places in drawn]
        expected, none = among_first(torch.tensor([length]), count)
        assert expected.item() == pytest.approx(sum(found) / len(found))
        assert none.item() == pytest.approx(found.count(0) / len(found))
