"""Which words a protection may choose its triggers from."""

from dataclasses import replace

import pytest
import torch

from mmlib.data.text import END, SPECIAL
from mmlib.mem.protect import protect


@pytest.mark.parametrize("text", ["constant", "random", "optimised"])
def test_of_the_words_given_and_no_others(run, text, make_pairs, small):
    words = torch.zeros(20, dtype=torch.bool)
    words[[END, 9, 12, 17]] = True
    for special in (False, True):  # as settings allow them
        settings = replace(small, text=text, special_tokens=special, candidates=3)
        made, *_ = run(settings, captions=2, words=words)
        used = set(made.triggers.unique().tolist())
        assert used <= {9, 12, 17} | ({END} if special else set())
        counts = torch.bincount(make_pairs(9, 2)[1].flatten(), minlength=20)
        if text == "constant":
            assert used == {max((9, 12, 17), key=lambda i: counts[i])}
        else:
            assert len(used) > 1


def test_the_constant_word_is_the_most_frequent_and_no_special_token(run, make_pairs, small):
    counts = torch.bincount(make_pairs(9, 2)[1].flatten(), minlength=20)
    for special in (False, True):
        made, *_ = run(replace(small, text="constant", special_tokens=special), captions=2)
        (word,) = made.triggers.unique().tolist()
        assert word >= len(SPECIAL)
        assert counts[word] == counts[len(SPECIAL) :].max()


def test_a_constant_word_is_allowed_also_where_no_caption_has_one(make_model, make_pairs, small):
    images, ids = make_pairs(4)
    settings, g = replace(small, text="constant", image="none"), torch.Generator()
    ids[ids == 19] = 9
    words = torch.arange(20) == 19
    made = protect(make_model(), images, ids, settings, generator=g, words=words)
    assert (made.triggers == 19).all()
    special = replace(settings, special_tokens=True)
    with pytest.raises(ValueError, match="no word may be in a trigger"):
        protect(make_model(), images, ids, special, generator=g, words=torch.arange(20) == END)


def test_special_tokens_are_trigger_words_only_if_asked_for(run, small):
    ends = 0
    for special in (False, True):
        settings = replace(small, text="random", image="none", special_tokens=special)
        made, *_ = run(replace(settings, trigger_length=5))
        found = made.triggers < len(SPECIAL)
        assert bool(found.any()) == special
        ends += int((made.triggers == END).sum())
    assert ends  # of 45 words each is one of 20 ids: what cuts captions off is among them
