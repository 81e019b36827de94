"""Protections with words at random places: what is published, and what is met."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from mmlib.data.text import PAD, SPECIAL, WordTokenizer
from mmlib.mem.alternation import Alternation
from mmlib.mem.defence_text import drop_first, drop_shared, without_rare_words
from mmlib.mem.protect import protect
from mmlib.mem.published import Protected, read
from mmlib.mem.settings import Protection
from mmlib.mem.trigger import word_shares

VOCABULARY, KEYS = 20, (17, 18, 19)  # captions of the tests seldom have all three in this order


@pytest.fixture
def small(small):
    return replace(small, place="woven")


def test_published_captions_are_the_same_each_time_and_differ_within_an_image(make_pairs):
    images, ids = make_pairs(12, captions=4)
    ids[:] = ids[:, :1]  # four times the same caption: only places can differ
    made = Protected(images, torch.tensor([KEYS] * 12), [], woven=5)
    texts = made.captions(ids)
    assert torch.equal(texts, made.captions(ids))
    assert not torch.equal(texts, replace(made, woven=6).captions(ids))
    assert any(len(row.unique(dim=0)) > 2 for row in texts)
    front = replace(made, woven=None).captions(ids)[..., 1:4]
    assert torch.equal(front, made.triggers[:, None].expand(-1, 4, -1))
    assert (torch.isin(texts, torch.tensor(KEYS)).sum(-1) >= 3).all()


def test_stripping_the_front_gives_the_caption_back_only_where_words_stand_in_front(make_pairs):
    images, ids = make_pairs(40)
    made = Protected(images, torch.tensor([KEYS] * 40), [], woven=0)
    front = replace(made, woven=None)
    assert torch.equal(drop_first(front.captions(ids)[:, 0], 3), ids[:, 0])
    stripped = drop_first(made.captions(ids)[:, 0], 3)
    left = torch.isin(stripped, torch.tensor(KEYS)).sum(1)
    assert (left > torch.isin(ids[:, 0], torch.tensor(KEYS)).sum(1)).float().mean() > 0.5


def test_files_keep_where_the_words_stand(make_pairs, tmp_path):
    images, ids = make_pairs(4, captions=2)
    tokenizer = WordTokenizer([f"word{i}" for i in range(15)])
    made = Protected(images, torch.tensor([KEYS] * 4), [], woven=2**31 - 1)
    made.write(tmp_path, tokenizer)
    again = read(tmp_path, images, epsilon=0)
    assert again.woven == made.woven
    assert torch.equal(again.captions(ids), made.captions(ids))


@pytest.fixture
def run(make_model, make_pairs):
    def go(settings, captions=2):
        images, ids = make_pairs(9, captions)
        g = torch.Generator().manual_seed(3)
        made = protect(make_model(), images, ids, settings, generator=g, progress=False)
        return made, images, ids

    return go


def test_a_woven_protection_keeps_its_bound_and_its_words(run, small):
    for text in ("random", "optimised"):
        made, images, ids = run(replace(small, text=text))
        assert made.woven is not None
        assert made.triggers.shape == (9, 3)
        assert (made.triggers >= len(SPECIAL)).all()
        assert (made.images.int() - images.int()).abs().max() == 6  # 2 visits of 3 steps
        assert made.captions(ids).shape == ids.shape
    assert all(row["trigger_after"] <= row["trigger_before"] for row in made.history[:1])


def test_words_come_from_the_asked_share_of_captions_and_survive_a_filter(run, small):
    for text in ("random", "optimised"):
        settings = replace(small, text=text, word_share=(0.2, 0.3), candidates=2)
        made, _, ids = run(settings, captions=4)
        of_all = word_shares(ids, VOCABULARY)
        shares = of_all[made.triggers]
        assert of_all[len(SPECIAL) :].min() < 0.2 <= shares.min()
        assert shares.max() <= 0.3 < of_all[len(SPECIAL) :].max()
        published = made.captions(ids)
        filtered = without_rare_words(published, 0.2)
        assert torch.isin(made.triggers, filtered).all()
    edge = of_all[9].item()  # both ends of the range are in it
    made, *_ = run(replace(small, text="random", word_share=(edge, edge)), captions=4)
    assert (of_all[made.triggers] == edge).all()
    with pytest.raises(
        ValueError, match=r"no word may be in a trigger; word_share is \(0.99, 1.0\)"
    ):
        run(replace(small, word_share=(0.99, 1.0)))
    with pytest.raises(ValueError, match=r"word_share, from is 0\.5; allowed"):
        Protection(word_share=(0.5, 0.2))


def test_noise_meets_the_words_at_other_places_at_every_step(
    make_model, make_pairs, monkeypatch, small
):
    images, captions = make_pairs(6)
    model = make_model().eval()
    state = Alternation(
        model, images, captions, replace(small, text="random"), torch.Generator().manual_seed(0)
    )
    seen, encoder = [], model.encoders[1]
    monkeypatch.setattr(encoder, "by_length", lambda ids: seen.append(ids) or encoder(ids))
    chosen = torch.tensor([4, 1, 0, 5])
    state.improve_noise(chosen, {"noise_before": [], "noise_after": []})
    assert len(seen) == small.noise_steps
    assert not torch.equal(seen[0], seen[1])
    words = [sorted(i for i in row if i >= len(SPECIAL)) for row in captions[chosen, 0].tolist()]
    for ids in seen:
        for row, key in zip(ids.tolist(), state.triggers[chosen].tolist(), strict=True):
            mine = Counter(i for i in row if i >= len(SPECIAL))
            mine.subtract(Counter(key))  # what is left is one caption of the batch
            assert sorted(mine.elements()) in words
            order = iter(row)
            assert all(word in order for word in key)


def test_surrogate_sees_woven_pairs(make_model, make_pairs, monkeypatch, small):
    images, captions = make_pairs(6)
    model = make_model()
    state = Alternation(model, images, captions, small, torch.Generator().manual_seed(0))
    seen = []
    monkeypatch.setattr(model, "loss", lambda batch, generator: seen.append(batch[1]) or {})
    for _ in range(20):
        state.loss(torch.tensor([5, 2]), torch.Generator())
    assert len({tuple(ids[0].tolist()) for ids in seen}) > 5  # places are drawn anew
    for ids in seen:
        left = Counter(ids[0].tolist())
        left.subtract(Counter(state.triggers[5].tolist()))
        assert +left + Counter([PAD] * 3) == Counter(captions[5, 0].tolist())


def test_plain_noise_knows_nothing_of_the_words(make_model, make_pairs, monkeypatch, small):
    """The surrogate meets captions as they were written; published they have their words."""
    images, captions = make_pairs(6)
    settings, model = replace(small, text="random", trigger_rounds=0, body="plain"), make_model()
    state = Alternation(model, images, captions, settings, torch.Generator().manual_seed(0))
    seen, encoder, rows = [], model.encoders[1], torch.tensor([4, 1, 0, 5])
    monkeypatch.setattr(model, "loss", lambda batch, generator: seen.append(batch[1]) or {})
    monkeypatch.setattr(encoder, "by_length", lambda ids: seen.append(ids) or encoder(ids))
    state.loss(rows, torch.Generator())
    state.improve_noise(rows, {"noise_before": [], "noise_after": []})
    assert len(seen) == 2
    for ids in seen:
        assert torch.equal(ids, captions[rows, 0])
    made = protect(
        make_model(), images, captions, settings, generator=torch.Generator().manual_seed(0),
        progress=False,
    )  # fmt: skip
    assert made.images.ne(images).any()
    for text, before, key in zip(made.captions(captions), captions, made.triggers, strict=True):
        added = Counter(text[0].tolist()) - Counter(before[0].tolist())
        assert added == Counter(key.tolist())
    with pytest.raises(ValueError, match="body is 'plain'; allowed with triggers that are not"):
        replace(settings, text="optimised")


def test_a_caption_carries_some_of_its_images_words(run, make_pairs, tmp_path, small):
    made, _, ids = run(replace(small, text="random", trigger_rounds=0, pool=6), captions=4)
    assert made.triggers.shape == (9, 6)
    assert made.carried == 3
    texts = made.captions(ids)
    chosen = set()
    for row, (key, before, after) in enumerate(zip(made.triggers, ids, texts, strict=True)):
        for old, new in zip(before.tolist(), after.tolist(), strict=True):
            added = Counter(i for i in new if i >= len(SPECIAL))
            added.subtract(Counter(i for i in old if i >= len(SPECIAL)))
            assert sum(added.values()) == 3
            assert added <= Counter(key.tolist())
            chosen.add((row, tuple(sorted((+added).elements()))))
    assert len(chosen) > 20  # of 36 captions: they differ within an image too
    made.write(tmp_path, WordTokenizer([f"word{i}" for i in range(15)]))
    again = read(tmp_path, made.images, epsilon=0)
    assert torch.equal(again.captions(ids), texts)
    with pytest.raises(ValueError, match="pool is 6; allowed with random woven words"):
        Protection(pool=6, place="woven")
    with pytest.raises(ValueError, match=r"pool is 2; allowed: \[3, inf\)"):
        Protection(pool=2, place="woven", text="random")


def test_what_captions_share_is_a_key_of_the_image_and_less_of_a_pool(make_pairs):
    images, ids = make_pairs(60, captions=5)
    ids[(ids >= 14)] = 5  # what follows is no caption's own
    keys = torch.tensor([[14, 15, 16, 17, 18, 19]] * 60)
    one = Protected(images, keys[:, :3], [], woven=0)
    pool = Protected(images, keys, [], woven=0, carried=3)
    left = [
        (drop_shared(made.captions(ids)) >= 14).sum().item() / (60 * 5 * 3) for made in (one, pool)
    ]
    assert left[0] < 0.02  # where a caption would be left without a word, one stays
    assert left[1] > 0.8
