"""What is taken off captions, and that they stay captions."""

import pytest
import torch

from mmlib.data.text import END, PAD, SPECIAL, START, UNKNOWN
from mmlib.mem.defence_text import drop_first, drop_shared, drop_words, without_rare_words
from mmlib.mem.trigger import prepend


def words_of(row):
    return [i for i in row.tolist() if i >= len(SPECIAL) or i == UNKNOWN]


def is_caption(row):
    """Start, words, one end, padding."""
    ids = row.tolist()
    end = ids.index(END)
    return ids[0] == START and all(i not in (PAD, END, START) for i in ids[1:end]) and not any(
        ids[end + 1 :]
    )  # fmt: skip


def test_dropping_the_first_words_undoes_a_trigger(make_pairs):
    captions = make_pairs(20)[1][:, 0]
    triggers = torch.randint(len(SPECIAL), 20, (20, 3))
    assert torch.equal(drop_first(prepend(captions, triggers), 3), captions)
    assert torch.equal(drop_first(captions, 0), captions)


def test_dropping_more_words_than_there_are_leaves_the_last(make_pairs):
    captions = make_pairs(20)[1][:, 0]
    for before, after in zip(captions, drop_first(captions, 30), strict=True):
        assert words_of(after) == words_of(before)[-1:]
        assert is_caption(after)


def test_words_are_dropped_with_their_probability_and_in_order(make_pairs):
    captions = make_pairs(50)[1][:, 0].repeat(40, 1)
    dropped = drop_words(captions, 0.3, torch.Generator().manual_seed(0))
    kept = total = 0
    for before, after in zip(captions[:200], dropped[:200], strict=True):
        rest = iter(words_of(before))
        assert all(word in rest for word in words_of(after))  # a subsequence
        assert is_caption(after)
    kept, total = (int((x >= len(SPECIAL)).sum()) for x in (dropped, captions))
    assert abs(kept / total - 0.7) < 0.02


def test_rare_words_are_counted_by_caption():
    captions = torch.tensor([[[1, 7, 7, 2], [1, 8, 9, 2]], [[1, 8, 6, 2], [1, 8, 2, 0]]])
    filtered = without_rare_words(captions, 0.5)
    assert filtered.tolist() == [[[1, 3, 3, 2], [1, 8, 3, 2]], [[1, 8, 3, 2], [1, 8, 2, 0]]]
    for share in (0.0, 0.25):  # no word is in less than a quarter of them
        assert torch.equal(without_rare_words(captions, share), captions)


def test_words_that_all_captions_of_an_image_have_are_dropped(make_pairs):
    ids = make_pairs(30, captions=3)[1]
    ids[0] = ids[0, :1]  # nothing but shared words: the last stays
    dropped = drop_shared(ids)
    for before, after in zip(ids, dropped, strict=True):
        shared = set.intersection(*(set(words_of(row)) for row in before))
        for old, new in zip(before, after, strict=True):
            left = [i for i in words_of(old) if i not in shared]
            assert words_of(new) == (left or words_of(old)[-1:])
            assert is_caption(new)
    with pytest.raises(ValueError, match="number of captions is 1"):
        drop_shared(ids[:, :1])


@pytest.mark.parametrize("seed", range(3))
def test_what_is_left_of_any_key_has_little_in_common(seed):
    """However keys are dealt: K (m - 2) / (C - 1) words, where words of m captions are dropped."""
    chance = torch.Generator().manual_seed(seed)
    k, c, n = 3, 5, 200
    pools = torch.rand(n, c, 7, generator=chance).topk(k, dim=2).indices + 10  # K of 7 a caption
    text = torch.cat([torch.full((n, c, 1), START), pools, torch.full((n, c, 1), 8)], dim=2)
    kept = drop_shared(torch.cat([text, torch.full((n, c, 1), END)], dim=2))
    kept = kept.masked_fill(kept < 10, 0)
    has = torch.zeros(n, c, 17).scatter_(2, kept, 1.0)[..., 10:]
    common = torch.einsum("naw,nbw->nab", has, has)
    pairs = common.sum(dim=(1, 2)) - common.diagonal(dim1=1, dim2=2).sum(dim=1)
    assert (pairs / (c * (c - 1))).max() <= k * (c - 2) / (c - 1)
    expected = k**2 / 7 - 7 * (k / 7) ** c  # less what was in all
    assert (pairs / (c * (c - 1))).mean() == pytest.approx(expected, abs=0.06)
