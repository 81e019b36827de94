"""Chapters' pairs: which are drawn or read, and that captions count as far as they should."""

import pytest
import torch

from mmlib.data import scenes
from mmlib.data.text import END, PAD, SPECIAL, START
from mmlib.mem.pairs import encode_pairs
from mmlib.mem.trigger import prepend
from mmlib.studies.unlearnable import pairs as published
from mmlib.studies.unlearnable.pairs import LONGEST, load_pairs, load_people

CPU = torch.device("cpu")


def test_parts_are_scenes_drawn_one_after_another(cfg, pairs):
    g = torch.Generator().manual_seed(3)
    sizes = (cfg.n_train, cfg.n_test, cfg.known_pairs)
    for n, (images, ids) in zip(sizes, (pairs.train, pairs.test, pairs.known), strict=True):
        made = scenes.make(n, cfg.image_size, noise=cfg.pixel_noise, generator=g)
        assert torch.equal(images, made.images)
        for row, captions in zip(ids, made.captions, strict=True):
            for text, caption in zip(row, captions, strict=True):
                known = " ".join(
                    word if word in pairs.tokenizer.vocabulary else "<unknown>"
                    for word in caption.split()
                )
                assert pairs.tokenizer.decode(text) == known
    assert len(pairs.tensors()) == 6


def test_parts_are_encoded_alike_with_known_pairs_and_without(cfg, pairs):
    g = torch.Generator().manual_seed(3)
    sizes = (cfg.n_train, cfg.n_test)
    made = [scenes.make(n, cfg.image_size, noise=cfg.pixel_noise, generator=g) for n in sizes]
    parts = [(part.images, part.captions) for part in made]
    two = encode_pairs(*parts, longest=scenes.LONGEST, room=4, device=CPU)
    assert two.known is None
    assert two.tokenizer.vocabulary == pairs.tokenizer.vocabulary
    for one, other in zip(two.tensors(), pairs.tensors()[:4], strict=True):
        assert torch.equal(one, other)


def test_every_caption_has_room_for_the_longest_trigger(pairs):
    assert (pairs.captions, pairs.length) == (5, scenes.LONGEST + 2 + 4)
    ids = pairs.train[1].flatten(0, 1)
    longest = prepend(ids, torch.full((len(ids), 4), len(SPECIAL)))
    assert ((longest == END).sum(1) == 1).all()
    assert (ids[:, -4:] == PAD).all()


def test_the_vocabulary_is_of_published_captions_and_more(cfg, pairs):
    own = pairs.tokenizer.vocabulary[len(SPECIAL) : len(SPECIAL) + pairs.own_words]
    assert len(set(pairs.train[1].unique().tolist()) - set(range(len(SPECIAL)))) == len(own)
    assert len(pairs.tokenizer) > len(own) + 200
    counts = torch.bincount(pairs.train[1].flatten(), minlength=len(pairs.tokenizer))
    assert counts[len(SPECIAL)] == counts[len(SPECIAL) :].max()  # the most frequent first


def test_in_pieces_the_same_words_of_a_caption_count(cfg, pairs):
    texts = [(f"dogs {'and cats ' * n}",) for n in range(5)]
    images, other = torch.zeros(5, 3, 8, 8).byte(), [("and " * n,) for n in range(1, 10, 2)]
    parts = [(images, texts), (images, other)]
    made = encode_pairs(*parts, longest=4, room=2, device=CPU, pieces=70)
    for rows, part in ((made.train, texts), (made.test, other)):
        cut = [" ".join(text.split()[:4]) for (text,) in part]
        assert [made.tokenizer.decode(row[0]) for row in rows[1]] == cut
    assert made.length == (made.train[1] != PAD).sum(dim=2).max() + 2  # no more than is needed
    assert made.length > 4 + 2 + 2  # and more than words would
    assert made.own_words == len(set(made.train[1].unique().tolist()) - {PAD, START, END})

    scenes_too = load_pairs(cfg, CPU, longest_trigger=4, pieces=128)
    assert len(scenes_too.tokenizer) == 128
    for in_words, in_pieces in zip(pairs.tensors()[1::2], scenes_too.tensors()[1::2], strict=True):
        for row, other in zip(in_words.flatten(0, 1), in_pieces.flatten(0, 1), strict=True):
            text = pairs.tokenizer.decode(row)
            assert "<unknown>" in text or scenes_too.tokenizer.decode(other) == text
    assert torch.equal(pairs.train[0], scenes_too.train[0])


def test_a_part_that_is_too_small_is_an_error(cfg, monkeypatch):
    few = scenes.make(20, 16, generator=torch.Generator().manual_seed(0))
    parts = dict.fromkeys(("train", "val", "test"), few)
    monkeypatch.setattr(published.emoji, "load", lambda size: parts)
    asked = cfg.model_copy(update={"data": "emoji", "n_train": 20})
    assert load_pairs(asked, CPU, longest_trigger=1).captions == 5
    with pytest.raises(ValueError, match=r"images asked of part 'train' is 21; allowed: \[1, 20\]"):
        load_pairs(asked.model_copy(update={"n_train": 21}), CPU, longest_trigger=1)


@pytest.mark.parametrize("data", ["flickr8k", "flickr30k", "mscoco"])
def test_photos_are_of_the_split_that_is_asked_for(data, cfg, monkeypatch):
    few = scenes.make(30, 16, generator=torch.Generator().manual_seed(0))
    asked = []

    def load(size, split):
        asked.append((size, split))
        return dict.fromkeys(("train", "val", "test"), few)

    monkeypatch.setattr(
        published.captioned if data == "flickr8k" else published.photo_sets,
        data,
        load,
    )
    for split in ("standard", "released"):
        changed = cfg.model_copy(update={"data": data, "n_train": 30, "split": split})
        pairs = load_pairs(changed, CPU, longest_trigger=1)
        assert pairs.length == LONGEST[data] + 2 + 1
    assert asked == [(cfg.image_size, "standard"), (cfg.image_size, "released")]


def test_people_are_held_out_by_photo_and_asked_for_by_name(cfg):
    pairs = load_people(cfg, CPU, count=6, photos=3, longest_trigger=3)
    images, ids = pairs.train
    assert images.shape[0] == 18
    assert ids.shape[:2] == (18, 5)
    decode = pairs.tokenizer.decode
    for part in (pairs.test, pairs.known):
        assert part[1].shape[:2] == (6, 1)
        for k, (image, text) in enumerate(zip(*part, strict=True)):
            name = decode(text[0])
            told = [{name in decode(row).split() for row in five} for five in ids]
            assert [i for i, said in enumerate(told) if said == {True}] == [
                3 * k,
                3 * k + 1,
                3 * k + 2,
            ]
            assert not (images == image).flatten(1).all(1).any()
    assert not torch.equal(pairs.test[0], pairs.known[0])
    other = cfg.model_copy(update={"seed": 4})
    other = load_people(other, CPU, count=6, photos=3, longest_trigger=3)
    assert not torch.equal(other.test[0], pairs.test[0])
